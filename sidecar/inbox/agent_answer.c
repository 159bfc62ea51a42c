/*
 * Reads the agent's answer. The texts of a task or message are collected here; an answer that is
 * an event stream by mistake is answer_stream.c's.
 *
 * What counts as a refusal for good: an error that says "your request is wrong". The request is a
 * function of the message, so the next attempt would send the same bytes; the operator's `inbox
 * retry` is there for an agent that was repaired.
 */
#include "inbox/agent_answer.h"

#include "base/json_read.h"
#include "inbox/answer_parts.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/banned.h"

enum { /* A section 5.2 */
       RPC_PARSE = -32700,
       RPC_INVALID_REQUEST = -32600,
       RPC_NO_METHOD = -32601,
       RPC_INVALID_PARAMS = -32602,
       RPC_NO_TASK = -32001,
       RPC_UNSUPPORTED = -32004,
       RPC_CONTENT_TYPE = -32005,
       RPC_EXTENSION = -32008,
       RPC_VERSION = -32009,
};

enum { ERROR_WORDS_MAX = 300 }; /* bytes of an error's message that are kept, as printed */

static void say(struct agent_answer *a, enum agent_said said, const char *why)
{
    a->said = said;
    (void)snprintf(a->why, sizeof(a->why), "%s", why);
}

/* ---- errors ---- */

/* The words are the agent's: no line ends or controls in them get any further. */
static void say_error(struct agent_answer *a, int64_t code, const char *text)
{
    char number[32] = "an error";
    struct str words = {0};

    if (code != 0)
        (void)snprintf(number, sizeof(number), "error %lld", (long long)code);
    str_add_printable(&words, slice_of(text), ERROR_WORDS_MAX);
    int n = snprintf(a->why, sizeof(a->why), "the agent answered with %s", number);
    if (words.len > 0)
        (void)snprintf(a->why + n, sizeof(a->why) - (size_t)n, AGENT_WORDS "%s", str_z(&words));
    str_release(&words);
}

static void read_rpc_error(struct json_object *error, bool has_task, struct agent_answer *a)
{
    struct json_object *words = json_read_member(error, "message");
    const char *text =
        json_object_is_type(words, json_type_string) ? json_object_get_string(words) : "";
    int64_t code = json_object_get_int64(json_read_member(error, "code"));

    if (json_object_is_type(error, json_type_string)) /* {"error":"..."} of the SDK's listener */
        text = json_object_get_string(error);
    switch (code) {
    case RPC_NO_TASK:
        a->said = has_task ? AGENT_FORGOT : AGENT_FAILED;
        break;
    case RPC_UNSUPPORTED:
    case RPC_INVALID_PARAMS: /* the Python SDK says so about a task that has ended */
        a->said = has_task ? AGENT_FORGOT : AGENT_REFUSED;
        break;
    case RPC_NO_METHOD:
    case RPC_VERSION:
        a->said = AGENT_OTHER_VERSION;
        break;
    case RPC_PARSE:
    case RPC_INVALID_REQUEST:
    case RPC_CONTENT_TYPE:
    case RPC_EXTENSION:
        a->said = AGENT_REFUSED;
        break;
    default:
        a->said = AGENT_FAILED;
    }
    say_error(a, code, text);
}

/* An HTTP status without a JSON-RPC error in the body. */
static void read_bad_status(int status, struct agent_answer *a)
{
    char why[ERR_MSG_MAX];

    (void)snprintf(why, sizeof(why), "the agent answered with HTTP status %d%s", status,
                   status == 401 || status == 403 ? ": it wants credentials that we do not have"
                   : status == 404 || status == 405
                       ? ": its A2A server is not there (agent.base_path)"
                       : "");
    /* of the 4xx only these are about the request itself */
    say(a, status == 413 || status == 415 || status == 422 ? AGENT_REFUSED : AGENT_FAILED, why);
}

/* ---- tasks and messages ---- */

struct task_words {
    const char *state; /* of 0.3; 1.0 says TASK_STATE_ and capitals */
    enum agent_said said;
    const char *before; /* the agent's own words */
    const char *alone;  /* when it has none */
};

static const struct task_words task_words[] = {
    {"completed", AGENT_SAID, "", ""},
    {"submitted", AGENT_WORKING, "", ""},
    {"working", AGENT_WORKING, "", ""},
    {"unknown", AGENT_WORKING, "", ""},
    {"unspecified", AGENT_WORKING, "", ""},
    {"input-required", AGENT_ASKS, "", "The agent needs more input to go on."},
    {"auth-required", AGENT_ASKS,
     "The agent needs an authorization to go on: ", "The agent needs an authorization to go on."},
    {"failed", AGENT_SAID, "The agent could not do this: ", "The agent could not do this."},
    {"rejected", AGENT_SAID, "The agent declined this: ", "The agent declined this."},
    {"canceled", AGENT_SAID, "The agent's task was canceled: ", "The agent's task was canceled."},
};

static bool is_state(const char *text, const char *name)
{
    static const char prefix[] = "TASK_STATE_";

    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
        text += sizeof(prefix) - 1;
    for (; *text && *name; text++, name++) {
        char c = *text == '_' ? '-' : *text;

        if (strncasecmp(&c, name, 1) != 0)
            return false;
    }
    return *text == *name;
}

static const struct task_words *words_of(struct json_object *state)
{
    const char *text =
        json_object_is_type(state, json_type_string) ? json_object_get_string(state) : "";

    for (size_t i = 0; i < sizeof(task_words) / sizeof(task_words[0]); i++)
        if (is_state(text, task_words[i].state))
            return &task_words[i];
    return NULL;
}

static void read_id(struct json_object *o, const char *name, const char *other, char *ret)
{
    struct json_object *v = json_read_member(o, name);

    v = v ? v : json_read_member(o, other);
    ret[0] = '\0';
    if (json_object_is_type(v, json_type_string) && json_object_get_string_len(v) <= AGENT_ID_MAX &&
        strlen(json_object_get_string(v)) == (size_t)json_object_get_string_len(v))
        (void)snprintf(ret, AGENT_ID_MAX + 1, "%s", json_object_get_string(v));
}

static void set_text(struct agent_answer *a, const struct task_words *w, struct str *said)
{
    struct slice text = parts_clean(said);

    if (text.n == 0) {
        str_addz(&a->text, w->alone);
        return;
    }
    str_addz(&a->text, w->before);
    str_add(&a->text, text);
}

static void read_task(struct json_object *task, struct agent_answer *a)
{
    struct json_object *status = json_read_member(task, "status");
    const struct task_words *w = words_of(json_read_member(status, "state"));
    struct str said = {0};

    read_id(task, "contextId", "context_id", a->context_id);
    read_id(task, "id", "taskId", a->task_id);
    if (!w) {
        say(a, AGENT_FAILED, "the agent answered with a task in a state that A2A does not know");
        return;
    }
    a->said = w->said;
    if (w->said == AGENT_WORKING) {
        if (!a->task_id[0])
            say(a, AGENT_FAILED, "the agent says that it works, and does not name its task");
        return;
    }
    parts_of_task(task, &said);
    set_text(a, w, &said);
    if (w->said == AGENT_SAID)
        a->task_id[0] = '\0'; /* it is over */
    a->text.failed = a->text.failed || said.failed;
    str_release(&said);
}

static void read_message(struct json_object *message, struct agent_answer *a)
{
    struct str said = {0};

    read_id(message, "contextId", "context_id", a->context_id);
    read_id(message, "taskId", "task_id", a->task_id);
    parts_of_message(message, &said);
    set_text(a, &task_words[0], &said);
    a->text.failed = a->text.failed || said.failed;
    str_release(&said);
}

static bool is_task(struct json_object *o)
{
    struct json_object *kind = json_read_member(o, "kind");

    if (json_object_is_type(kind, json_type_string))
        return strcmp(json_object_get_string(kind), "task") == 0;
    return json_object_is_type(json_read_member(json_read_member(o, "status"), "state"),
                               json_type_string);
}

static void read_result(struct json_object *o, struct agent_answer *a)
{
    struct json_object *task = json_read_member(o, "task");
    struct json_object *message = json_read_member(o, "message");
    struct str said = {0};

    if (is_task(o) || is_task(task)) {
        read_task(is_task(o) ? o : task, a);
    } else if (json_object_is_type(message, json_type_object)) {
        read_message(message, a);
    } else if (json_object_is_type(o, json_type_object) && parts_has_some(o)) {
        read_message(o, a);
    } else { /* a string, a number, an object of the agent's own, null */
        parts_of_any(o, &said);
        set_text(a, &task_words[0], &said);
        a->text.failed = a->text.failed || said.failed;
        str_release(&said);
    }
}

/* ---- bodies ---- */

static void read_json(struct json_object *o, int status, bool has_task, struct agent_answer *a)
{
    struct json_object *error = json_read_member(o, "error");
    struct json_object *result = NULL;
    bool is_object = json_object_is_type(o, json_type_object);

    if (error)
        read_rpc_error(error, has_task, a);
    else if (status >= 300)
        read_bad_status(status, a);
    else if (is_object && json_object_object_get_ex(o, "result", &result))
        read_result(result, a);
    else
        read_result(o, a); /* no envelope at all */
    if (error && a->said == AGENT_FAILED && status >= 300 &&
        (status == 413 || status == 415 || status == 422))
        a->said = AGENT_REFUSED;
}

static void read_bare_text(struct slice body, struct agent_answer *a)
{
    struct str said = {0};

    if (body.p[0] == '<' && (slice_starts_with(body, SLICE("<!")) ||
                             (body.n >= 5 && strncasecmp(body.p, "<html", 5) == 0))) {
        say(a, AGENT_FAILED,
            "the agent answered with a web page: its A2A server is elsewhere (agent.base_path)");
        return;
    }
    if (slice_starts_with(body, SLICE("{"))) { /* cut where nobody could see it */
        say(a, AGENT_FAILED, "the agent answered with JSON that is broken or not whole");
        return;
    }
    str_add(&said, body);
    set_text(a, &task_words[0], &said);
    a->text.failed = a->text.failed || said.failed;
    str_release(&said);
}

int agent_answer_read(int status, struct slice body, bool has_task, struct agent_answer *ret)
{
    struct slice s = parts_trimmed(body);
    struct json_object *o = NULL;
    bool is_json;

    *ret = (struct agent_answer){0};
    if (parts_is_stream(s))
        is_json = parts_of_stream(s, &o);
    else
        is_json = parts_parse(s, &o);
    if (is_json)
        read_json(o, status, has_task, ret);
    else if (status >= 300)
        read_bad_status(status, ret);
    else if (s.n > 0)
        read_bare_text(s, ret);
    json_object_put(o);
    return str_ok(&ret->text) ? 0 : -ENOMEM;
}

void agent_answer_release(struct agent_answer *a)
{
    str_release(&a->text);
}

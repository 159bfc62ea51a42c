/*
 * send: one A2A message, for trying things out and for `helm test`-like checks. Speaks what the
 * card says: 1.0 or 0.3.
 */
#include "app/exits.h"
#include "base/cleanup.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/parse.h"
#include "client/client.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/talk.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define CARD_PATH "/.well-known/agent-card.json"

enum {
    SEND_CONNECT_TIMEOUT_MS = 5000,
    SEND_TIMEOUT_MS = 600000,       /* an answer may take minutes: the agent thinks */
    SEND_EVENT_MAX_BYTES = 4 << 20, /* one event of a stream (A section 4.2) */
};

static const char help[] =
    "Usage: molecule-sidecar send [--stream] [--url URL] [--ca-file FILE] TEXT [flags]\n\n"
    "Sends TEXT as one A2A message to the local sidecar (listen.address) or to URL, and prints the "
    "answer's text.\n"
    "Exit 0 when the agent answered, 1 when it answered with an error or not at all.\n"
    "  --stream     ask for an event stream, print each text as it comes\n"
    "  --url URL    another A2A endpoint, for example http://127.0.0.1:9000/\n"
    "  --ca-file FILE   https: PEM file with the authority of the other side's certificate, when "
    "it "
    "is not one of the\n"
    "                   system's; for the local sidecar listen.tls_cert when it is not given\n"
    "  --cert FILE, --key FILE   https: our own certificate and its key, for a side that asks for "
    "one\n";

struct sending {
    bool streams;
    bool is_v1;
    bool failed;
    bool said_something;
    const char *url;
    const char *where; /* it goes, for the sentence when nobody answers; NULL: the URL says it */
    struct client_tls tls;
    struct str line; /* of the stream, until its end of line */
};

/* ---- reading answers
 * ---------------------------------------------------------------------------------------------- */

static json_object *member(json_object *o, const char *key)
{
    json_object *v = NULL;

    return o && json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v)
               ? v
               : NULL;
}

static void print_parts(struct sending *s, json_object *holder)
{
    json_object *parts = member(holder, "parts");
    json_object *text;

    if (!json_object_is_type(parts, json_type_array)) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(parts); i++) {
        text = member(json_object_array_get_idx(parts, i), "text");
        if (text) {
            cmd_print_text(stdout, slice_of(json_object_get_string(text)));
            s->said_something = true;
        }
    }
}

/* All the places where an answer's text may stand: a message, a task's artifacts, its status, and
 * the 1.0 wrappers around them. */
static void print_result(struct sending *s, json_object *r)
{
    static const char *const wrappers[] = {"message", "task", "statusUpdate", "artifactUpdate"};
    json_object *artifacts = member(r, "artifacts");
    size_t count =
        json_object_is_type(artifacts, json_type_array) ? json_object_array_length(artifacts) : 0;

    print_parts(s, r);
    print_parts(s, member(r, "artifact"));
    print_parts(s, member(member(r, "status"), "message"));
    for (size_t i = 0; i < count; i++) {
        print_parts(s, json_object_array_get_idx(artifacts, i));
    }
    for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++) {
        if (member(r, wrappers[i])) {
            print_result(s, member(r, wrappers[i]));
        }
    }
}

static void print_envelope(struct sending *s, const char *json)
{
    json_object *o = json_read(slice_of(json));
    json_object *error = member(o, "error");

    if (!o) {
        s->failed = true;
        (void)cmd_fail(0, "the answer is not JSON");
    } else if (error) {
        json_object *message = member(error, "message");

        s->failed = true;
        (void)cmd_fail(0, "the agent answered with an error: %s",
                       message ? json_object_get_string(message) : json_object_get_string(error));
    } else {
        print_result(s, member(o, "result"));
    }
    (void)fflush(stdout);
    json_object_put(o);
}

/* Event streams arrive in any cuts; a `data:` line is one event. */
static bool on_stream_bytes(void *arg, struct slice bytes)
{
    struct sending *s = arg;

    for (size_t i = 0; i < bytes.n; i++) {
        char c = bytes.p[i];

        if (c != '\n' && c != '\r') {
            str_add(&s->line, (struct slice){&c, 1});
            continue;
        }
        if (s->line.len > 5 && strncmp(s->line.p, "data:", 5) == 0) {
            print_envelope(s, s->line.p + 5);
            s->said_something = false;
        } else if (s->line.len > 0 && s->line.p[0] == '{') {
            print_envelope(s, s->line.p); /* a plain JSON error instead of a stream */
        }
        str_truncate(&s->line, 0);
    }
    return s->line.len < SEND_EVENT_MAX_BYTES;
}

static void on_done(void *arg, const struct client_answer *a)
{
    struct sending *s = arg;

    if (a->outcome != CLIENT_OK) {
        s->failed = true;
        if (a->status != 0) {
            (void)cmd_fail(0, "the answer broke off; the agent's log may say why: %s", a->error);
        } else {
            (void)cmd_fail(0, "%s%s", s->where ? s->where : "", a->error);
        }
        return;
    }
    if (a->status / 100 != 2) {
        s->failed = true;
        (void)cmd_fail(0, "the answer of %s is HTTP %d", s->url, a->status);
    }
    if (!s->streams) {
        CLEANUP(str_release) struct str body = {0};

        str_add(&body, a->body);
        print_envelope(s, str_z(&body));
    } else if (s->line.len > 0) {
        (void)on_stream_bytes(s, SLICE("\n"));
    }
    (void)printf("\n");
}

/* ---- asking
 * -----------------------------------------------------------------------------------------------------------
 */

static void on_card(void *arg, const struct client_answer *a)
{
    CLEANUP(str_release) struct str body = {0};
    struct sending *s = arg;
    json_object *card;

    if (a->outcome != CLIENT_OK || a->status != 200) {
        return; /* without a card: 0.3, which every server of today understands */
    }
    str_add(&body, a->body);
    card = json_read(str_slice(&body));
    s->is_v1 = member(card, "supportedInterfaces") && !member(card, "protocolVersion");
    json_object_put(card);
}

static void write_message(const struct sending *s, const char *text, struct str *out)
{
    struct json_writer w = {.out = out};
    char id[37];

    uuid_make(id);
    json_open(&w, NULL, '{');
    json_add_text(&w, "jsonrpc", "2.0");
    json_add_text(&w, "id", "1");
    json_add_text(&w, "method",
                  s->is_v1 ? (s->streams ? "SendStreamingMessage" : "SendMessage")
                           : (s->streams ? "message/stream" : "message/send"));
    json_open(&w, "params", '{');
    json_open(&w, "message", '{');
    json_add_text(&w, "messageId", id);
    json_add_text(&w, "role", s->is_v1 ? "ROLE_USER" : "user");
    if (!s->is_v1) {
        json_add_text(&w, "kind", "message");
    }
    json_open(&w, "parts", '[');
    json_open(&w, NULL, '{');
    if (!s->is_v1) {
        json_add_text(&w, "kind", "text");
    }
    json_add_text(&w, "text", text);
    json_close(&w, '}');
    json_close(&w, ']');
    json_close(&w, '}');
    json_close(&w, '}');
    json_close(&w, '}');
}

static int send_to(struct sending *s, const char *base, const char *unix_path, const char *text)
{
    CLEANUP(str_release) struct str card_url = {0};
    CLEANUP(str_release) struct str body = {0};
    size_t n = strlen(base);
    struct err err = {0};

    str_addf(&card_url, "%.*s%s", (int)(n > 0 && base[n - 1] == '/' ? n - 1 : n), base, CARD_PATH);
    const struct client_request card = {.method = "GET",
                                        .url = str_z(&card_url),
                                        .unix_path = unix_path,
                                        .connect_timeout_ms = SEND_CONNECT_TIMEOUT_MS,
                                        .timeout_ms = TALK_TIMEOUT_MS,
                                        .tls = &s->tls};

    s->url = base;
    if (client_run(&card, on_card, s, &err) < 0) {
        return cmd_fail(EXIT_NO, "%s", err.msg);
    }
    write_message(s, text, &body);
    const struct client_request rq = {
        .method = "POST",
        .url = base,
        .unix_path = unix_path,
        .headers = {"Content-Type: application/json",
                    s->streams ? "Accept: text/event-stream" : "Accept: application/json",
                    s->is_v1 ? "A2A-Version: 1.0" : NULL},
        .body = str_slice(&body),
        .connect_timeout_ms = SEND_CONNECT_TIMEOUT_MS,
        .timeout_ms = SEND_TIMEOUT_MS,
        .tls = &s->tls,
        .on_data = s->streams ? on_stream_bytes : NULL,
    };

    if (client_run(&rq, on_done, s, &err) < 0) {
        return cmd_fail(EXIT_NO, "%s", err.msg);
    }
    return s->failed ? EXIT_NO : EXIT_OK;
}

/* The local sidecar, as the configuration describes it. */
static int send_here(struct sending *s, const struct config *cfg, const char *text)
{
    const struct config_listen *l = &cfg->listen;
    CLEANUP(str_release) struct str base = {0};

    s->where = "no answer from the sidecar (listen.address; --listen-address or --url names "
               "another place): ";
    if (*l->tls_cert && !s->tls.ca_file) {
        s->tls.ca_file = l->tls_cert;
        s->tls.ca_hint = "--url says it by the name in its certificate, --ca-file names its "
                         "authority";
    }
    talk_base_url(&l->address, *l->tls_cert ? "https" : "http", &base);
    str_addz(&base, "/");
    return send_to(s, str_z(&base), endpoint_unix_path(&l->address), text);
}

int cmd_send(int argc, char **argv)
{
    const char *url = NULL;
    struct sending s = {.tls = {.ca_hint = "--ca-file names its authority"}};
    const struct cmd_option options[] = {{"--stream", &s.streams, NULL},
                                         {"--url", NULL, &url},
                                         {"--ca-file", NULL, &s.tls.ca_file},
                                         {"--cert", NULL, &s.tls.cert_file},
                                         {"--key", NULL, &s.tls.key_file}};
    struct config *cfg = NULL;
    struct cmd_args args;
    int status = cmd_args_split(argc, argv, options, sizeof(options) / sizeof(options[0]), help,
                                false, &args);

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (args.word_count != 1) {
        return cmd_fail(EXIT_USAGE,
                        "send takes one TEXT; quote it: molecule-sidecar send \"hello there\"");
    }
    args.finds_running = true;
    if (url) {
        status = send_to(&s, url, NULL, args.words[0]);
    } else if ((status = cmd_load_config(&args, NULL, &cfg, NULL)) == 0) {
        status = send_here(&s, cfg, args.words[0]);
    }
    str_release(&s.line);
    config_free(cfg);
    return status;
}

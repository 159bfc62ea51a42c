/*
 * From bytes to events, from an event to its JSON, from there to a state. What follows from it is
 * streams.c's business.
 */
#include "proxy/stream_watch.h"

#include "base/json_scan.h"

#include <string.h>

#include "base/banned.h"

enum { STATE_WORD_MAX = 40 }; /* bytes; longer is no state */

const char *stream_task_words(enum stream_task task)
{
    static const char *const words[STREAM_TASK_COUNT] = {
        [STREAM_UNKNOWN] = "task state not known",
        [STREAM_WORKING] = "task working",
        [STREAM_WAITING] = "task waiting for input",
        [STREAM_FINISHED] = "task finished",
    };

    return words[task];
}

void stream_watch_begin(struct stream_watch *w, struct buf_pool *pool)
{
    *w = (struct stream_watch){.pool = pool};
}

void stream_watch_end(struct stream_watch *w)
{
    if (w->pool)
        buf_return(&w->part, w->pool);
}

/* ---- a state ---- */

static enum stream_task task_of_word(struct slice token)
{
    static const struct {
        const char *word;
        enum stream_task task;
    } words[] = {
        {"TASK_STATE_SUBMITTED", STREAM_WORKING},
        {"TASK_STATE_WORKING", STREAM_WORKING},
        {"TASK_STATE_INPUT_REQUIRED", STREAM_WAITING},
        {"TASK_STATE_AUTH_REQUIRED", STREAM_WAITING},
        {"TASK_STATE_COMPLETED", STREAM_FINISHED},
        {"TASK_STATE_FAILED", STREAM_FINISHED},
        {"TASK_STATE_CANCELED", STREAM_FINISHED},
        {"TASK_STATE_CANCELLED", STREAM_FINISHED}, /* in early files of the protocol */
        {"TASK_STATE_REJECTED", STREAM_FINISHED},
        {"submitted", STREAM_WORKING},
        {"working", STREAM_WORKING},
        {"input-required", STREAM_WAITING},
        {"auth-required", STREAM_WAITING},
        {"completed", STREAM_FINISHED},
        {"failed", STREAM_FINISHED},
        {"canceled", STREAM_FINISHED},
        {"rejected", STREAM_FINISHED},
    };
    char word[STATE_WORD_MAX];

    if (json_string_decode(token, word, sizeof(word)) < 0)
        return STREAM_UNKNOWN;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i].word) == 0)
            return words[i].task;
    }
    return STREAM_UNKNOWN;
}

enum found { FOUND_NONE = 0, FOUND_ONE, FOUND_AMBIGUOUS };

static enum found member(struct slice object, const char *name, struct slice *ret)
{
    size_t count = 0;

    *ret = (struct slice){0};
    (void)json_member(object, name, ret, &count);
    return count == 0 ? FOUND_NONE : count == 1 ? FOUND_ONE : FOUND_AMBIGUOUS;
}

/* `of` is a task or a status update. */
static enum stream_task task_of_status(struct slice of)
{
    struct slice status, state, final;

    if (member(of, "status", &status) != FOUND_ONE ||
        member(status, "state", &state) != FOUND_ONE || json_type_of(state) != JSON_STRING)
        return STREAM_UNKNOWN;
    switch (member(of, "final", &final)) {
    case FOUND_AMBIGUOUS:
        return STREAM_UNKNOWN;
    case FOUND_ONE:
        if (json_type_of(final) == JSON_TRUE)
            return STREAM_FINISHED;
        break;
    case FOUND_NONE:
        break;
    }
    return task_of_word(state);
}

/* 0.3: the object itself is the task or the update, and `kind` says so (early agents left it out).
 * A message that carries a member called status is neither. */
static bool is_task_or_update(struct slice result)
{
    struct slice kind;

    switch (member(result, "kind", &kind)) {
    case FOUND_NONE:
        return true;
    case FOUND_ONE:
        return json_type_of(kind) == JSON_STRING &&
               (json_string_eq(kind, "task") || json_string_eq(kind, "status-update"));
    case FOUND_AMBIGUOUS:
        break;
    }
    return false;
}

static enum stream_task task_of_result(struct slice result, enum stream_task before)
{
    struct slice update, task, status;
    enum found has_update = member(result, "statusUpdate", &update);
    enum found has_task = member(result, "task", &task);
    enum found has_status = member(result, "status", &status);
    int count = (int)has_update + (int)has_task + (int)has_status;

    if (count == 0)
        return before; /* an artifact, a message: nothing about the state */
    if (count > 1)
        return STREAM_UNKNOWN;
    if (has_update)
        return task_of_status(update);
    if (has_task)
        return task_of_status(task);
    return is_task_or_update(result) ? task_of_status(result) : before;
}

static enum stream_task task_of_json(struct slice json, enum stream_task before)
{
    struct slice result;

    if (json_validate(json) != JSON_OBJECT)
        return STREAM_UNKNOWN;
    switch (member(json, "result", &result)) {
    case FOUND_NONE: /* REST, or a JSON-RPC error, which has none of the members either */
        return task_of_result(json, before);
    case FOUND_ONE:
        return json_type_of(result) == JSON_OBJECT ? task_of_result(result, before)
                                                   : STREAM_UNKNOWN;
    case FOUND_AMBIGUOUS:
        break;
    }
    return STREAM_UNKNOWN;
}

/* ---- an event ---- */

/* The next line of *rest without its end. False: there is none. */
static bool next_line(struct slice *rest, struct slice *ret)
{
    size_t n = 0;

    if (rest->n == 0)
        return false;
    while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
        n++;
    *ret = (struct slice){rest->p, n};
    n += n < rest->n; /* of CR LF the LF is one more empty line, which means nothing here */
    rest->p += n;
    rest->n -= n;
    return true;
}

static bool is_data(struct slice line, struct slice *ret_value)
{
    struct slice name = SLICE("data");

    if (!slice_starts_with(line, name) || (line.n > name.n && line.p[name.n] != ':'))
        return false;
    *ret_value = (struct slice){line.p + name.n, line.n - name.n};
    for (size_t i = 0; i < 2 && ret_value->n > 0; i++) { /* the colon, and one blank if any */
        if (ret_value->p[0] != (i == 0 ? ':' : ' '))
            break;
        ret_value->p++;
        ret_value->n--;
    }
    return true;
}

/* The first data line of an event; how many there are. */
static size_t find_data(struct slice event, struct slice *ret)
{
    struct slice line, value;
    size_t count = 0;

    while (next_line(&event, &line)) {
        if (is_data(line, &value) && count++ == 0)
            *ret = value;
    }
    return count;
}

/* Several data lines are one text with line feeds between. Joined in w->part, where `rest`, the
 * event, is: what is written is never longer than what was read. */
static struct slice join_data(struct stream_watch *w, struct slice rest)
{
    char *to = w->part.p + w->part.start;
    struct slice line, value;
    size_t n = 0;

    while (next_line(&rest, &line)) {
        if (!is_data(line, &value))
            continue;
        if (n > 0)
            to[n++] = '\n';
        memmove(to + n, value.p, value.n);
        n += value.n;
    }
    return (struct slice){to, n};
}

/* False: there is no memory for it. */
static bool gather(struct stream_watch *w, struct slice bytes)
{
    return buf_borrow(&w->part, w->pool) == 0 && buf_put(&w->part, bytes.p, bytes.n) == bytes.n;
}

static void look_at_event(struct stream_watch *w, struct slice event)
{
    struct slice data = {0};
    size_t count;

    if (!w->is_begun && slice_starts_with(event, SLICE("\xef\xbb\xbf"))) {
        event.p += 3;
        event.n -= 3;
    }
    /* Most events bring a piece of an answer and no state. */
    if (!memmem(event.p, event.n, "state", strlen("state")))
        return;
    count = find_data(event, &data);
    if (count == 0)
        return;
    if (count > 1) {
        if (!w->part.p) {
            if (!gather(w, event)) {
                w->task = STREAM_UNKNOWN;
                return;
            }
            event = buf_bytes(&w->part);
        }
        data = join_data(w, event);
    }
    w->task = task_of_json(data, w->task);
}

/* ---- the stream ---- */

/* More of an event that is not over. */
static void take_piece(struct stream_watch *w, struct slice bytes)
{
    w->event_bytes += bytes.n;
    if (!w->is_too_big && w->event_bytes <= STREAM_EVENT_MAX && gather(w, bytes))
        return;
    w->is_too_big = true;
    buf_return(&w->part, w->pool);
}

/* The last piece of one; the usual event has just this one. */
static void take_event(struct stream_watch *w, struct slice bytes)
{
    if (w->part.p || w->is_too_big)
        take_piece(w, bytes);
    else
        w->is_too_big = bytes.n > STREAM_EVENT_MAX || bytes.n > w->pool->block_bytes;
    if (w->is_too_big)
        w->task = STREAM_UNKNOWN;
    else
        look_at_event(w, w->part.p ? buf_bytes(&w->part) : bytes);
    w->is_begun = true;
    w->is_too_big = false;
    w->event_bytes = 0;
    buf_return(&w->part, w->pool);
}

/* The next LF and CR from here on; each is looked for once, whatever the stream is made of. */
struct line_ends {
    const char *lf;
    const char *cr;
};

static const char *find(const char *from, const char *end, char c)
{
    const char *at = memchr(from, c, (size_t)(end - from));

    return at ? at : end;
}

static const char *line_end(struct line_ends *ends, const char *from, const char *end)
{
    if (ends->lf < from)
        ends->lf = find(from, end, '\n');
    if (ends->cr < from)
        ends->cr = find(from, end, '\r');
    return ends->lf < ends->cr ? ends->lf : ends->cr;
}

void stream_watch_feed(struct stream_watch *w, struct slice bytes)
{
    const char *begin = bytes.p;
    const char *at = bytes.p;
    const char *end = bytes.p + bytes.n;
    struct line_ends ends;

    if (bytes.n == 0)
        return;
    ends = (struct line_ends){.lf = find(at, end, '\n'), .cr = find(at, end, '\r')};
    while (at < end) {
        const char *stop;
        bool is_empty;

        if (*at == '\n' && w->after_cr) {
            w->after_cr = false;
            begin += at == begin && w->event_bytes == 0; /* the rest of the last event's end */
            at++;
            continue;
        }
        stop = line_end(&ends, at, end);
        is_empty = stop == at && !w->in_line;
        w->in_line = stop == end;
        w->after_cr = stop < end && *stop == '\r';
        at = stop < end ? stop + 1 : end;
        if (is_empty) {
            take_event(w, (struct slice){begin, (size_t)(at - begin)});
            begin = at;
        }
    }
    if (begin < end)
        take_piece(w, (struct slice){begin, (size_t)(end - begin)});
}

/*
 * Workspaces, tokens and activity rows in memory. Rules of the platform that need no HTTP live
 * here; what a call may do is decided by auth.c and the handlers.
 */
#include "devplatform/world.h"

#include "base/clock.h"
#include "base/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const status_names[] = {
    [STATUS_PROVISIONING] = "provisioning",
    [STATUS_ONLINE] = "online",
    [STATUS_OFFLINE] = "offline",
    [STATUS_DEGRADED] = "degraded",
    [STATUS_FAILED] = "failed",
    [STATUS_REMOVED] = "removed",
    [STATUS_PAUSED] = "paused",
    [STATUS_HIBERNATED] = "hibernated",
    [STATUS_HIBERNATING] = "hibernating",
    [STATUS_AWAITING_AGENT] = "awaiting_agent",
};

const char *status_name(enum status s)
{
    return status_names[s];
}

/* ---- small helpers
 * --------------------------------------------------------------------------------------------- */

int64_t wall_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

const char *time_text(int64_t us, char ret[WORLD_TIME_MAX])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    size_t n;

    gmtime_r(&seconds, &tm);
    n = strftime(ret, WORLD_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(ret + n, WORLD_TIME_MAX - n, ".%06d", (int)(us % 1000000));
    while (ret[n - 1] == '0')
        n--;
    if (ret[n - 1] == '.')
        n--;
    ret[n++] = 'Z';
    ret[n] = '\0';
    return ret;
}

bool time_parse(struct slice text, int64_t *ret_us)
{
    char copy[WORLD_TIME_MAX];
    struct tm tm = {0};
    const char *at;
    int64_t fraction = 0, unit = 100000, offset = 0;

    if (text.n >= sizeof(copy))
        return false;
    text_copy(copy, sizeof(copy), text);
    at = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!at)
        return false;
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            fraction += (*at - '0') * unit;
    }
    if (*at == '+' || *at == '-') {
        int64_t hours, minutes;
        if (strlen(at) != 6 || at[3] != ':' ||
            parse_int64((struct slice){at + 1, 2}, 0, 23, &hours) < 0 ||
            parse_int64((struct slice){at + 4, 2}, 0, 59, &minutes) < 0)
            return false;
        offset = (*at == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    } else if (strcmp(at, "Z") != 0 && strcmp(at, "z") != 0) {
        return false;
    }
    *ret_us = ((int64_t)timegm(&tm) - offset) * 1000000 + fraction;
    return true;
}

void text_copy(char *dst, size_t cap, struct slice src)
{
    size_t n = src.n < cap ? src.n : cap - 1;

    if (n > 0)
        memcpy(dst, src.p, n);
    dst[n] = '\0';
}

void text_set(char **dst, const char *src)
{
    free(*dst);
    *dst = src ? strdup(src) : NULL;
}

void json_set(struct json_object **dst, struct json_object *value)
{
    struct json_object *old = *dst;

    *dst = json_object_get(value);
    json_object_put(old);
}

/* ---- workspaces
 * ------------------------------------------------------------------------------------------------
 */

void world_init(struct world *w)
{
    *w = (struct world){0};
    list_init(&w->workspaces);
    list_init(&w->rows);
}

static void workspace_free(struct workspace *ws)
{
    LIST_FOREACH(it, &ws->tokens)
    {
        list_remove(it);
        free(container_of(it, struct token, node));
    }
    list_remove(&ws->node);
    free(ws->role);
    free(ws->sample_error);
    free(ws->current_task);
    json_object_put(ws->agent_card);
    json_object_put(ws->secrets);
    json_object_put(ws->last_beat);
    free(ws);
}

static void row_free(struct world *w, struct row *r)
{
    list_remove(&r->node);
    w->row_count--;
    free(r->method);
    free(r->summary);
    free(r->error_detail);
    json_object_put(r->request_body);
    json_object_put(r->response_body);
    free(r);
}

void world_release(struct world *w)
{
    LIST_FOREACH(it, &w->workspaces)
    workspace_free(container_of(it, struct workspace, node));
    LIST_FOREACH(it, &w->rows)
    row_free(w, container_of(it, struct row, node));
    *w = (struct world){0};
}

struct workspace *world_find(const struct world *w, struct slice id)
{
    LIST_FOREACH(it, &w->workspaces)
    {
        struct workspace *ws = container_of(it, struct workspace, node);
        if (slice_eq(id, slice_of(ws->id)))
            return ws;
    }
    return NULL;
}

struct workspace *world_add(struct world *w, const char *id, const char *name)
{
    struct workspace *ws = calloc(1, sizeof(*ws));

    if (!ws)
        return NULL;
    list_init(&ws->tokens);
    list_append(&w->workspaces, &ws->node);
    text_copy(ws->id, sizeof(ws->id), slice_of(id));
    text_copy(ws->name, sizeof(ws->name), slice_of(name));
    text_copy(ws->runtime, sizeof(ws->runtime), SLICE("external"));
    ws->status = STATUS_AWAITING_AGENT;
    ws->budget_cents = -1;
    ws->max_tasks = 1;
    ws->secrets = json_object_new_object();
    return ws;
}

void world_purge(struct world *w, struct workspace *ws)
{
    LIST_FOREACH(it, &w->rows)
    {
        struct row *r = container_of(it, struct row, node);
        if (strcmp(r->workspace_id, ws->id) == 0)
            row_free(w, r);
    }
    workspace_free(ws);
}

bool workspace_is_below(const struct world *w, const struct workspace *ws,
                        const struct workspace *top)
{
    for (int i = 0; ws && i < WORLD_ANCESTORS_MAX; i++) {
        if (strcmp(ws->parent_id, top->id) == 0)
            return true;
        ws = ws->parent_id[0] ? world_find(w, slice_of(ws->parent_id)) : NULL;
    }
    return false;
}

bool world_may_talk(const struct world *w, const struct workspace *a, const struct workspace *b)
{
    return a == b || strcmp(a->parent_id, b->parent_id) == 0 || workspace_is_below(w, a, b) ||
           workspace_is_below(w, b, a);
}

/* ---- tokens
 * ----------------------------------------------------------------------------------------------------
 */

void token_make(char ret[48])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[WORLD_TOKEN_BYTES + 1] = {
        0}; /* one more: the last group of three is short */
    size_t n = 0;

    random_bytes(bytes, WORLD_TOKEN_BYTES);
    for (size_t bit = 0; bit < (size_t)WORLD_TOKEN_BYTES * 8; bit += 6) {
        unsigned two = (unsigned)bytes[bit / 8] << 8 | bytes[bit / 8 + 1];
        ret[n++] = digits[two >> (10 - bit % 8) & 63];
    }
    ret[n] = '\0';
}

struct token *token_add(struct workspace *ws, const char *text)
{
    struct token *t = calloc(1, sizeof(*t));
    char minted[48];

    if (!t)
        return NULL;
    if (!text) {
        token_make(minted);
        text = minted;
    }
    uuid_make(t->id);
    text_copy(t->text, sizeof(t->text), slice_of(text));
    t->created_us = wall_us();
    list_append(&ws->tokens, &t->node);
    return t;
}

size_t token_live_count(const struct workspace *ws)
{
    size_t n = 0;

    LIST_FOREACH(it, &ws->tokens)
    n += !container_of(it, struct token, node)->is_revoked;
    return n;
}

void token_revoke_all(struct workspace *ws)
{
    LIST_FOREACH(it, &ws->tokens)
    container_of(it, struct token, node)->is_revoked = true;
}

struct token *token_check(struct workspace *ws, struct slice text)
{
    if (ws->status == STATUS_REMOVED || text.n == 0)
        return NULL;
    LIST_FOREACH(it, &ws->tokens)
    {
        struct token *t = container_of(it, struct token, node);
        if (!t->is_revoked && slice_eq_secret(text, slice_of(t->text))) {
            t->last_used_us = wall_us();
            return t;
        }
    }
    return NULL;
}

struct workspace *token_owner(const struct world *w, struct slice text)
{
    LIST_FOREACH(it, &w->workspaces)
    {
        struct workspace *ws = container_of(it, struct workspace, node);
        if (token_check(ws, text))
            return ws;
    }
    return NULL;
}

const char *workspace_inbound_secret(struct workspace *ws)
{
    if (!ws->inbound_secret[0])
        token_make(ws->inbound_secret);
    return ws->inbound_secret;
}

const char *token_mask(struct slice text, char ret[16])
{
    size_t shown = text.n >= 16
                       ? 4
                       : 0; /* of a short one nothing is shown: it could be guessed from the rest */

    if (text.n == 0) {
        ret[0] = '\0';
        return ret;
    }
    if (shown > 0)
        memcpy(ret, text.p, shown);
    for (size_t i = 0; i < shown; i++) {
        if (ret[i] < '!' || ret[i] > '~')
            ret[i] = '?';
    }
    memcpy(ret + shown, "…", sizeof("…"));
    return ret;
}

/* ---- activity
 * --------------------------------------------------------------------------------------------------
 */

struct row *row_add(struct world *w, const char *workspace_id, const char *type)
{
    struct row *r;

    if (w->row_count == WORLD_ROWS_MAX)
        row_free(w, container_of(w->rows.next, struct row, node));
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    uuid_make(r->id);
    text_copy(r->workspace_id, sizeof(r->workspace_id), slice_of(workspace_id));
    text_copy(r->type, sizeof(r->type), slice_of(type));
    text_copy(r->status, sizeof(r->status), SLICE("ok"));
    r->duration_ms = -1;
    r->created_us = wall_us();
    list_append(&w->rows, &r->node);
    w->row_count++;
    w->rows_total++;
    return r;
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, text && text[0] ? json_object_new_string(text) : NULL);
}

struct json_object *row_to_json(const struct row *r)
{
    struct json_object *o = json_object_new_object();
    char time[WORLD_TIME_MAX];

    add_text(o, "id", r->id);
    add_text(o, "workspace_id", r->workspace_id);
    add_text(o, "activity_type", r->type);
    add_text(o, "source_id", r->source_id);
    add_text(o, "target_id", r->target_id);
    add_text(o, "method", r->method);
    add_text(o, "summary", r->summary);
    json_object_object_add(o, "duration_ms",
                           r->duration_ms < 0 ? NULL : json_object_new_int64(r->duration_ms));
    add_text(o, "status", r->status);
    add_text(o, "error_detail", r->error_detail);
    add_text(o, "created_at", time_text(r->created_us, time));
    if (r->request_body)
        json_object_object_add(o, "request_body", json_object_get(r->request_body));
    if (r->has_response_body)
        json_object_object_add(o, "response_body", json_object_get(r->response_body));
    return o;
}

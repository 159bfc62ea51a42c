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
    rows_init(&w->rows);
}

static void workspace_free(struct world *w, struct workspace *ws)
{
    rows_release(&w->rows, &ws->feed);
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

void world_release(struct world *w)
{
    LIST_FOREACH(it, &w->workspaces)
    workspace_free(w, container_of(it, struct workspace, node));
    rows_close(&w->rows);
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
    ws->is_unsaved = true;
    return ws;
}

void world_purge(struct world *w, struct workspace *ws)
{
    workspace_free(w, ws);
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
    ws->is_unsaved = true;
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
    ws->is_unsaved = true;
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
    if (!ws->inbound_secret[0]) {
        token_make(ws->inbound_secret);
        ws->is_unsaved = true;
    }
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

static void row_forget(struct world *w, struct row *r)
{
    struct workspace *ws = world_find(w, slice_of(r->workspace_id));

    rows_remove(&w->rows, &ws->feed, r); /* a row never outlives its workspace */
}

bool world_show_row(struct world *w, struct row *r)
{
    struct workspace *ws = world_find(w, slice_of(r->workspace_id));

    if (!ws || rows_insert(&w->rows, &ws->feed, r) < 0) {
        row_free(r);
        return false;
    }
    while (w->rows.count > w->rows.max)
        row_forget(w, container_of(w->rows.all.next, struct row, node));
    return true;
}

size_t world_forget_rows(struct world *w, int64_t before_us)
{
    size_t n = 0;

    LIST_FOREACH(it, &w->workspaces)
    {
        struct workspace *ws = container_of(it, struct workspace, node);
        for (; ws->feed.count > 0 && row_feed_at(&ws->feed, 0)->created_us < before_us; n++)
            rows_remove(&w->rows, &ws->feed, row_feed_at(&ws->feed, 0));
    }
    return n;
}

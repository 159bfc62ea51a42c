/*
 * Reads answers: class, waiting time, words. What to do about them is each activity's.
 */
#include "platform/reply.h"

#include "base/json_scan.h"
#include "base/parse.h"
#include "base/str.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

bool reply_text(struct slice json, const char *name, char *ret, size_t cap)
{
    struct slice value;

    ret[0] = '\0';
    if (json.n == 0 || !json_member(json, name, &value, NULL) || json_type_of(value) != JSON_STRING)
        return false;
    if (json_string_decode(value, ret, cap) < 0) {
        ret[0] = '\0';
        return false;
    }
    return true;
}

bool reply_is_true(struct slice json, const char *name)
{
    struct slice value;

    return json.n > 0 && json_member(json, name, &value, NULL) && json_type_of(value) == JSON_TRUE;
}

bool reply_number(struct slice json, const char *name, int64_t *ret)
{
    struct slice value;

    return json.n > 0 && json_member(json, name, &value, NULL) &&
           json_type_of(value) == JSON_NUMBER && parse_int64(value, INT64_MIN, INT64_MAX, ret) == 0;
}

int64_t retry_after_ms(const char *text, int64_t wall_ms)
{
    int64_t seconds = 0;

    if (text[0] == '\0')
        return 0;
    if (parse_int64(slice_of(text), 0, INT64_MAX / 1000, &seconds) == 0) {
        seconds = seconds == 0 ? 1 : seconds;
    } else {
        time_t at = curl_getdate(text, NULL);
        if (at == (time_t)-1)
            return 0;
        seconds = (int64_t)at - wall_ms / 1000;
        seconds = seconds < 1 ? 1 : seconds;
    }
    return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

/* 502 and 503 by which the platform says that the message went nowhere (P section 4.2). */
static bool says_not_delivered(const struct reply *r)
{
    char error[REPLY_TEXT_MAX];

    if (r->status == 503)
        return reply_is_true(r->json, "restarting") || reply_is_true(r->json, "waking");
    return r->status == 502 && reply_text(r->json, "error", error, sizeof(error)) &&
           strcmp(error, "failed to reach workspace agent") == 0;
}

static enum reply_class class_of(const struct client_answer *a, const struct reply *r)
{
    if (a->outcome == CLIENT_NOT_SENT || a->outcome == CLIENT_FAILED)
        return REPLY_NOT_DELIVERED;
    if (a->outcome != CLIENT_OK)
        return REPLY_UNKNOWN;
    if (r->status / 100 == 2)
        return r->json.n > 0 ? REPLY_OK : REPLY_UNKNOWN;
    if (r->status / 100 == 4 && r->status != 408)
        return REPLY_NOT_DELIVERED;
    return says_not_delivered(r) ? REPLY_NOT_DELIVERED : REPLY_UNKNOWN;
}

static void explain_misroute(const struct reply_context *c, struct reply *r)
{
    if (c->org_id[0])
        (void)snprintf(r->error, sizeof(r->error),
                       "HTTP %d from %.120s, but not from the platform's API: platform.org_id (%s) "
                       "is not the workspace's organisation, or an edge in between does not pass "
                       "this path on; this says nothing about the workspace",
                       r->status, c->host, c->org_id);
    else
        (void)snprintf(r->error, sizeof(r->error),
                       "HTTP %d from %.120s, but not from the platform's API: platform.org_id is "
                       "not set and the platform seems to serve several organisations, or "
                       "platform.url is not the platform; this says nothing about the workspace",
                       r->status, c->host);
}

/* The platform's own words, made printable: "rate limit exceeded". */
static void add_words(const struct reply *r, struct str *out)
{
    char words[1024];

    if (!reply_text(r->json, "error", words, sizeof(words)) || words[0] == '\0')
        return;
    str_addz(out, ": ");
    str_add_printable(out, slice_of(words), REPLY_TEXT_MAX);
}

static void explain_status(const struct reply_context *c, struct reply *r)
{
    struct str out = {0};

    if (r->status == 403 && r->is_empty) {
        (void)snprintf(r->error, sizeof(r->error),
                       "HTTP 403 with an empty body from %.120s: it refuses the Origin %.120s; "
                       "platform.origin must be scheme://host[:port] exactly as the platform "
                       "knows itself",
                       c->host, c->origin[0] ? c->origin : "(none was sent)");
        return;
    }
    str_addf(&out, "HTTP %d from %.120s", r->status, c->host);
    add_words(r, &out);
    if (r->status >= 500 && r->json.n == 0 && !r->is_empty)
        str_addz(&out, " (no JSON: an edge or proxy answered)");
    if (r->status / 100 == 3)
        str_addz(&out, " (a redirect, which is not followed: platform.url must be the final one)");
    (void)snprintf(r->error, sizeof(r->error), "%s", str_z(&out));
    str_release(&out);
}

void reply_read(const struct client_answer *a, const struct reply_context *c, struct reply *ret)
{
    *ret = (struct reply){.status = a->outcome == CLIENT_OK ? a->status : 0,
                          .is_too_big = a->outcome == CLIENT_TOO_BIG,
                          .long_status = a->outcome == CLIENT_TOO_BIG ? a->status : 0};
    if (a->outcome == CLIENT_OK) {
        ret->body = a->body;
        ret->is_empty = slice_trim(a->body).n == 0;
        if (!ret->is_empty && json_validate(a->body) != JSON_BAD)
            ret->json = a->body;
    }
    ret->class = class_of(a, ret);
    if (ret->class == REPLY_OK)
        return;
    if (a->outcome != CLIENT_OK) {
        (void)snprintf(ret->error, sizeof(ret->error), "%.400s", a->error);
        return;
    }
    if (ret->status == 429 || ret->status == 503) {
        int64_t seconds = 0;
        ret->wait_ms = retry_after_ms(a->retry_after, c->wall_ms);
        if (ret->wait_ms == 0 && reply_number(ret->json, "retry_after", &seconds) && seconds >= 0)
            ret->wait_ms = seconds >= RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS
                           : seconds == 0                       ? 1000
                                                                : seconds * 1000;
    }
    ret->is_misrouted = ret->json.n == 0 && (ret->status == 404 || ret->status / 100 == 2);
    if (ret->is_misrouted)
        explain_misroute(c, ret);
    else
        explain_status(c, ret);
}

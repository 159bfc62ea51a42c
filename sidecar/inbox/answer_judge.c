/*
 * Reads the platform's reply to /notify and /a2a. reply.c knows what any call has in common.
 */
#include "inbox/answer_judge.h"

#include "base/json_scan.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum { WORDS_MAX = 256 };

static void say(struct judged *ret, enum judgement what, const char *before, const struct reply *r)
{
    ret->what = what;
    (void)snprintf(ret->why, sizeof(ret->why), "%s%s%.400s", before, before[0] ? ": " : "",
                   r->error[0] ? r->error : "the platform's answer is not what it should be");
}

static bool has_error(const struct reply *r, const char *words)
{
    char error[WORDS_MAX];

    return reply_text(r->json, "error", error, sizeof(error)) && strcmp(error, words) == 0;
}

static bool error_begins(const struct reply *r, const char *words)
{
    char error[WORDS_MAX];

    return reply_text(r->json, "error", error, sizeof(error)) &&
           strncmp(error, words, strlen(words)) == 0;
}

static bool has_member(const struct reply *r, const char *name)
{
    struct slice value;

    return r->json.n > 0 && json_member(r->json, name, &value, NULL);
}

/* 2xx of /a2a: what the peer's agent or the platform's queue made of it. */
static void judge_taken(const struct reply *r, struct judged *ret)
{
    struct slice error;
    char words[WORDS_MAX];

    if (has_error(r, "agent returned empty response body")) {
        say(ret, JUDGED_UNKNOWN, "the peer's agent answered nothing", r);
        return;
    }
    if (json_member(r->json, "error", &error, NULL) && json_type_of(error) == JSON_OBJECT) {
        struct str printable = {0};

        (void)reply_text(error, "message", words, sizeof(words)); /* "" is fine */
        str_add_printable(&printable, slice_of(words), REPLY_TEXT_MAX);
        (void)snprintf(ret->why, sizeof(ret->why),
                       "it arrived, and the peer answered with an error: %s", str_z(&printable));
        str_release(&printable);
    }
}

static void judge_again(const struct reply *r, struct judged *ret)
{
    say(ret, JUDGED_AGAIN, "", r);
    if (ret->wait_ms < r->wait_ms)
        ret->wait_ms = r->wait_ms;
}

/* Nothing says that it will ever be taken. */
static void judge_odd(const struct reply *r, struct judged *ret)
{
    ret->has_end = true;
    judge_again(r, ret);
}

/* Our token, or the peer's own 401, which the platform hands on. */
static bool is_our_401(const struct reply *r, bool is_to_peer)
{
    return !is_to_peer || has_error(r, "missing caller auth token") ||
           has_error(r, "invalid caller auth token");
}

static void judge_peers(const struct reply *r, struct judged *ret, int64_t wait_ms, unsigned tries)
{
    ret->wait_ms = wait_ms;
    ret->is_peers = true;
    ret->tries_max = tries;
    judge_again(r, ret);
}

static void judge_peer_4xx(const struct reply *r, struct judged *ret)
{
    switch (r->status) {
    case 400:
        say(ret, JUDGED_REFUSED, "the platform cannot read it", r);
        return;
    case 402:
        say(ret, JUDGED_REFUSED, "the peer's budget is used up", r);
        return;
    case 403:
        if (has_error(r, "invalid caller ID"))
            say(ret, JUDGED_REFUSED, "workspace.id is none that may call peers", r);
        else
            say(ret, JUDGED_DENIED, "the peer may not be called, or is gone", r);
        return;
    case 404:
        if (has_error(r, "workspace not found"))
            say(ret, JUDGED_DENIED, "the peer is gone", r);
        else
            judge_peers(r, ret, 0, JUDGE_PEER_TRIES); /* the peer's own HTTP server */
        return;
    case 429:
        if (r->wait_ms > 0 || has_member(r, "retry_after"))
            judge_again(r, ret);
        else
            judge_peers(r, ret, 0, 0);
        return;
    default:
        judge_peers(r, ret, 0, JUDGE_PEER_TRIES);
    }
}

static void judge_peer_5xx(const struct reply *r, struct judged *ret)
{
    if (r->status == 502 && has_error(r, "failed to reach workspace agent")) {
        judge_peers(r, ret, 0, JUDGE_REACH_TRIES);
    } else if (r->status == 502 && error_begins(r, "workspace URL is not publicly routable")) {
        say(ret, JUDGED_REFUSED, "the peer's registered address cannot be reached", r);
    } else if (r->status == 503 && has_error(r, "workspace has no URL")) {
        judge_peers(r, ret, JUDGE_NO_URL_MS, 0);
    } else if (r->status == 503 && !reply_is_true(r->json, "busy") &&
               (reply_is_true(r->json, "restarting") || reply_is_true(r->json, "waking"))) {
        judge_peers(r, ret, JUDGE_RESTART_MS, 0);
    } else {
        say(ret, JUDGED_UNKNOWN, "", r);
    }
}

static void judge_person_4xx(const struct reply *r, struct judged *ret)
{
    switch (r->status) {
    case 400:
        say(ret, JUDGED_REFUSED, "the platform cannot read it", r);
        return;
    case 402:
        say(ret, JUDGED_REFUSED, "the workspace's budget is used up", r);
        return;
    case 403:
        if (has_error(r, "talk_to_user_disabled")) {
            say(ret, JUDGED_REFUSED, "this workspace may not talk to people", r);
            return;
        }
        break;
    case 404: /* our own row: whether it is removed is the state activity's to say */
        break;
    case 429:
        judge_again(r, ret);
        return;
    default:
        judge_odd(r, ret);
        return;
    }
    ret->asks_state = true;
    judge_again(r, ret);
}

/* Of an answer that was too long to be read the status counts: it has no JSON. */
static void judge_long(const struct reply *r, bool is_to_peer, struct judged *ret)
{
    struct reply l = *r;

    if (r->long_status / 100 == 2)
        return; /* a peer has much to say to it */
    l.status = r->long_status;
    l.long_status = 0;
    l.class = l.status / 100 == 4 && l.status != 408 ? REPLY_NOT_DELIVERED : REPLY_UNKNOWN;
    answer_judge(&l, is_to_peer, ret);
}

void answer_judge(const struct reply *r, bool is_to_peer, struct judged *ret)
{
    *ret = (struct judged){.what = JUDGED_ARRIVED};
    if (r->long_status > 0) {
        judge_long(r, is_to_peer, ret);
        return;
    }
    if (r->class == REPLY_OK) {
        if (is_to_peer)
            judge_taken(r, ret);
    } else if (r->status == 0) {
        if (r->class == REPLY_NOT_DELIVERED)
            judge_again(r, ret);
        else
            say(ret, JUDGED_UNKNOWN, "", r);
    } else if (is_to_peer && r->status >= 300 && reply_is_true(r->json, "delivery_confirmed")) {
        ret->what = JUDGED_ARRIVED; /* whatever became of the peer's own answer */
    } else if (r->status == 401 && is_our_401(r, is_to_peer)) {
        ret->asks_state = true;
        judge_again(r, ret);
    } else if (r->status == 413) { /* the platform's, [L], or an edge's: the same bytes again */
        say(ret, JUDGED_REFUSED, "it is too long for the platform, or for an edge before it", r);
    } else if (r->status == 429 && r->json.n == 0) {
        judge_again(r, ret);
    } else if (r->class == REPLY_NOT_DELIVERED && r->json.n == 0) {
        judge_odd(r, ret); /* an edge's 404, 403: says nothing about the message */
    } else if (r->status / 100 == 4 && r->status != 408) {
        if (is_to_peer)
            judge_peer_4xx(r, ret);
        else
            judge_person_4xx(r, ret);
    } else if (is_to_peer && r->status / 100 == 5) {
        judge_peer_5xx(r, ret);
    } else {
        say(ret, JUDGED_UNKNOWN, "", r);
    }
}

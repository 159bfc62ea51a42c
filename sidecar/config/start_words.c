/*
 * Reads agent.ready and the items of agent.limits. Where they are checked is check_start.c's, what
 * they do app/'s and supervisor/'s.
 */
#include "config/start_words.h"

#include "base/parse.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <strings.h>

int ready_word_parse(struct slice text, struct ready_word *ret, struct err *err)
{
    static const struct {
        struct slice word;
        enum ready_kind kind;
    } words[] = {
        {SLICE_INIT("started"), READY_STARTED},
        {SLICE_INIT("http"), READY_HTTP},
        {SLICE_INIT("connect"), READY_CONNECT},
        {SLICE_INIT("notify"), READY_NOTIFY},
    };
    static const struct slice prefix = SLICE_INIT("fd:");
    int64_t fd;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (slice_eq(text, words[i].word)) {
            *ret = (struct ready_word){.kind = words[i].kind, .fd = -1};
            return 0;
        }
    }
    if (slice_starts_with(text, prefix) &&
        parse_int64((struct slice){text.p + prefix.n, text.n - prefix.n}, READY_FD_MIN,
                    READY_FD_MAX, &fd) == 0) {
        *ret = (struct ready_word){.kind = READY_FD, .fd = (int)fd};
        return 0;
    }
    return err_set(err, -EINVAL, "must be http, connect, notify, fd:%d to fd:%d, or started",
                   READY_FD_MIN, READY_FD_MAX);
}

/* ---- limits ---- */

static const struct limit_name {
    const char *name;
    int resource;
    bool is_size; /* in bytes: KiB and MiB may be written */
} limit_names[] = {
    {"as", RLIMIT_AS, true},
    {"core", RLIMIT_CORE, true},
    {"cpu", RLIMIT_CPU, false},
    {"data", RLIMIT_DATA, true},
    {"fsize", RLIMIT_FSIZE, true},
    {"locks", RLIMIT_LOCKS, false},
    {"memlock", RLIMIT_MEMLOCK, true},
    {"msgqueue", RLIMIT_MSGQUEUE, true},
    {"nice", RLIMIT_NICE, false},
    {"nofile", RLIMIT_NOFILE, false},
    {"nproc", RLIMIT_NPROC, false},
    {"rss", RLIMIT_RSS, true},
    {"rtprio", RLIMIT_RTPRIO, false},
    {"rttime", RLIMIT_RTTIME, false},
    {"sigpending", RLIMIT_SIGPENDING, false},
    {"stack", RLIMIT_STACK, true},
};
static_assert(sizeof(limit_names) / sizeof(limit_names[0]) == LIMITS_MAX, "each limit once");

static bool is_word(struct slice s, const char *word)
{
    struct slice w = slice_of(word);

    return s.n == w.n && strncasecmp(s.p, w.p, w.n) == 0;
}

static const struct limit_name *limit_by_name(struct slice name)
{
    static const struct slice prefix = SLICE_INIT("rlimit_");

    if (name.n > prefix.n && strncasecmp(name.p, prefix.p, prefix.n) == 0)
        name = (struct slice){name.p + prefix.n, name.n - prefix.n};
    for (size_t i = 0; i < LIMITS_MAX; i++) {
        if (is_word(name, limit_names[i].name))
            return &limit_names[i];
    }
    return NULL;
}

static bool parse_one(struct slice text, bool is_size, rlim_t *ret)
{
    int64_t n;

    if (is_word(text, "unlimited") || is_word(text, "infinity")) {
        *ret = RLIM_INFINITY;
        return true;
    }
    if (is_size ? parse_size_bytes(text, 0, INT64_MAX, &n) < 0
                : parse_int64(text, 0, INT64_MAX, &n) < 0)
        return false;
    *ret = (rlim_t)n;
    return true;
}

int limit_word_parse(struct slice text, struct limit_word *ret, struct err *err)
{
    const char *eq = memchr(text.p, '=', text.n);
    struct slice name = {text.p, eq ? (size_t)(eq - text.p) : text.n}, soft, hard;
    const struct limit_name *found = limit_by_name(name);
    const char *colon;

    if (!found)
        return err_set(err, -EINVAL,
                       "must be NAME=soft[:hard] with one of as, core, cpu, data, fsize, locks, "
                       "memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, "
                       "stack");
    soft = eq ? (struct slice){eq + 1, text.n - name.n - 1} : (struct slice){text.p, 0};
    colon = memchr(soft.p, ':', soft.n);
    hard = soft;
    if (colon) {
        hard = (struct slice){colon + 1, soft.n - (size_t)(colon - soft.p) - 1};
        soft.n = (size_t)(colon - soft.p);
    }
    *ret = (struct limit_word){.resource = found->resource, .name = found->name};
    if (!parse_one(soft, found->is_size, &ret->value.rlim_cur) ||
        !parse_one(hard, found->is_size, &ret->value.rlim_max))
        return err_set(err, -EINVAL, "must be %s=soft[:hard], each %s or unlimited", found->name,
                       found->is_size ? "a size such as 64MiB" : "a number");
    if (ret->value.rlim_cur > ret->value.rlim_max)
        return err_set(err, -EINVAL, "has a soft limit above its hard limit");
    return 0;
}

/*
 * The allow-list, as a table key -> reader.
 */
#include "notify/agent_message.h"

#include "base/parse.h"
#include "base/str.h"

#include <string.h>

typedef bool read_fn(struct slice value, struct agent_message *m);

static bool read_ready(struct slice value, struct agent_message *m)
{
    m->is_ready = m->is_ready || slice_eq(value, SLICE("1"));
    return slice_eq(value, SLICE("1"));
}

static bool read_reloading(struct slice value, struct agent_message *m)
{
    m->is_reloading = m->is_reloading || slice_eq(value, SLICE("1"));
    return m->is_reloading;
}

static bool read_stopping(struct slice value, struct agent_message *m)
{
    m->is_stopping = m->is_stopping || slice_eq(value, SLICE("1"));
    return m->is_stopping;
}

/* WATCHDOG=1 is nobody's: our own watchdog is fed by our own loop. */
static bool read_watchdog(struct slice value, struct agent_message *m)
{
    bool is_trigger = slice_eq(value, SLICE("trigger"));

    m->is_broken = m->is_broken || is_trigger;
    return is_trigger;
}

static bool read_errno(struct slice value, struct agent_message *m)
{
    int64_t n;

    if (parse_int64(value, 1, AGENT_ERRNO_MAX, &n) < 0) {
        return false;
    }
    m->errnum = (int)n;
    return true;
}

static bool read_extend(struct slice value, struct agent_message *m)
{
    int64_t us;

    if (parse_int64(value, 1, INT64_MAX, &us) < 0) {
        return false;
    }
    m->extend_ms = us / 1000 < AGENT_EXTEND_MAX_MS ? us / 1000 : AGENT_EXTEND_MAX_MS;
    return true;
}

static bool read_status(struct slice value, struct agent_message *m)
{
    static const char cut[] = "...";
    char step[ESCAPE_MAX];
    size_t used = 0;

    for (size_t n; (n = escape_printable(&value, step)) > 0; used += n) {
        if (used + n + sizeof(cut) > sizeof(m->status)) {
            memcpy(m->status + used, cut, sizeof(cut) - 1);
            used += sizeof(cut) - 1;
            break;
        }
        memcpy(m->status + used, step, n);
    }
    m->status[used] = '\0';
    m->has_status = true;
    return true;
}

static const struct {
    struct slice key;
    read_fn *read; /* false: such a value is not for us */
} allowed[] = {
    {SLICE_INIT("READY"), read_ready},
    {SLICE_INIT("STATUS"), read_status},
    {SLICE_INIT("RELOADING"), read_reloading},
    {SLICE_INIT("STOPPING"), read_stopping},
    {SLICE_INIT("WATCHDOG"), read_watchdog},
    {SLICE_INIT("ERRNO"), read_errno},
    {SLICE_INIT("EXTEND_TIMEOUT_USEC"), read_extend},
};

static bool read_line(struct slice line, struct agent_message *m)
{
    const char *eq = memchr(line.p, '=', line.n);
    struct slice key, value;

    if (!eq) {
        return false;
    }
    key = (struct slice){line.p, (size_t)(eq - line.p)};
    value = (struct slice){eq + 1, line.n - key.n - 1};
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (slice_eq(key, allowed[i].key)) {
            return allowed[i].read(value, m);
        }
    }
    return false;
}

void agent_message_read(struct slice datagram, struct agent_message *ret)
{
    memset(ret, 0, sizeof(*ret));
    while (datagram.n > 0) {
        const char *nl = memchr(datagram.p, '\n', datagram.n);
        struct slice line = {datagram.p, nl ? (size_t)(nl - datagram.p) : datagram.n};

        datagram.p += line.n + (nl ? 1 : 0);
        datagram.n -= line.n + (nl ? 1 : 0);
        if (line.n > 0 && !read_line(line, ret)) {
            ret->dropped++;
        }
    }
}

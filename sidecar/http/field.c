/*
 * Names to ids, and the list of what is not forwarded. Values are nobody's business here but
 * Connection's.
 */
#include "http/field.h"

#include "http/chars.h"

enum {
    FIELD_NAME_MAX = 32
}; /* longest name in the table is shorter; a bound for the copy of a twin */

struct field_name {
    const char *lower;
    uint8_t len;
    uint8_t id;
};

#define NAME(text, id)                                                                             \
    {                                                                                              \
        text, sizeof(text) - 1, id                                                                 \
    }

/* By length, so that a lookup compares with the few of its own length. names_from[] is checked
 * against it by a unit test. */
static const struct field_name names[] = {
    NAME("te", FIELD_TE),
    NAME("via", FIELD_VIA),
    NAME("host", FIELD_HOST),
    NAME("date", FIELD_DATE),
    NAME("etag", FIELD_ETAG),
    NAME("vary", FIELD_VARY),
    NAME("range", FIELD_RANGE),
    NAME("expect", FIELD_EXPECT),
    NAME("server", FIELD_SERVER),
    NAME("cookie", FIELD_COOKIE),
    NAME("upgrade", FIELD_UPGRADE),
    NAME("trailer", FIELD_TRAILER),
    NAME("forwarded", FIELD_FORWARDED),
    NAME("connection", FIELD_CONNECTION),
    NAME("keep-alive", FIELD_KEEP_ALIVE),
    NAME("retry-after", FIELD_RETRY_AFTER),
    NAME("traceparent", FIELD_TRACEPARENT),
    NAME("content-type", FIELD_CONTENT_TYPE),
    NAME("x-request-id", FIELD_X_REQUEST_ID),
    NAME("authorization", FIELD_AUTHORIZATION),
    NAME("cache-control", FIELD_CACHE_CONTROL),
    NAME("last-modified", FIELD_LAST_MODIFIED),
    NAME("if-none-match", FIELD_IF_NONE_MATCH),
    NAME("content-length", FIELD_CONTENT_LENGTH),
    NAME("http2-settings", FIELD_HTTP2_SETTINGS),
    NAME("accept-encoding", FIELD_ACCEPT_ENCODING),
    NAME("x-forwarded-for", FIELD_X_FORWARDED_FOR),
    NAME("content-encoding", FIELD_CONTENT_ENCODING),
    NAME("proxy-connection", FIELD_PROXY_CONNECTION),
    NAME("x-forwarded-host", FIELD_X_FORWARDED_HOST),
    NAME("transfer-encoding", FIELD_TRANSFER_ENCODING),
    NAME("x-forwarded-proto", FIELD_X_FORWARDED_PROTO),
    NAME("if-modified-since", FIELD_IF_MODIFIED_SINCE),
    NAME("x-accel-buffering", FIELD_X_ACCEL_BUFFERING),
    NAME("x-forwarded-prefix", FIELD_X_FORWARDED_PREFIX),
    NAME("proxy-authenticate", FIELD_PROXY_AUTHENTICATE),
    NAME("proxy-authorization", FIELD_PROXY_AUTHORIZATION),
};
enum { NAME_COUNT = sizeof(names) / sizeof(names[0]), NAME_LEN_MAX = 19 };
_Static_assert(NAME_COUNT == FIELD_ID_COUNT - 1, "every id but FIELD_OTHER has one name");

/* names_from[n] is the first row with length n, names_from[n + 1] the row after the last. */
static const uint8_t names_from[NAME_LEN_MAX + 2] = {
    [0] = 0,   [1] = 0,   [2] = 0,   [3] = 1,   [4] = 2,   [5] = 6,   [6] = 7,
    [7] = 10,  [8] = 12,  [9] = 12,  [10] = 13, [11] = 15, [12] = 17, [13] = 19,
    [14] = 23, [15] = 25, [16] = 27, [17] = 30, [18] = 34, [19] = 36, [20] = 37,
};

enum http_field_id field_id(struct slice name)
{
    if (name.n > NAME_LEN_MAX)
        return FIELD_OTHER;
    for (size_t i = names_from[name.n]; i < names_from[name.n + 1]; i++) {
        if (token_is(name, names[i].lower, names[i].len))
            return (enum http_field_id)names[i].id;
    }
    return FIELD_OTHER;
}

bool field_is_hop(enum http_field_id id)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
    case FIELD_HTTP2_SETTINGS:
        return true;
    default: /* most of the table */
        return false;
    }
}

/* Not in the id table, but a caller who could make them disappear, or a second spelling of them,
 * would change what a message means. */
static bool name_is_protected(struct slice name)
{
    static const struct slice prefixes[] = {
        {"a2a-", 4},
        {"x-a2a-", 6},
        {"x-forwarded-", 12},
        {"x-molecule-", 11},
    };
    static const struct slice whole[] = {
        {"x-workspace-id", 14},
        {"x-source-workspace-id", 21},
        {"set-cookie", 10},
        {"content-range", 13},
    };

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (name.n > prefixes[i].n &&
            token_is((struct slice){name.p, prefixes[i].n}, prefixes[i].p, prefixes[i].n))
            return true;
    }
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        if (token_is(name, whole[i].p, whole[i].n))
            return true;
    }
    return false;
}

bool field_is_underscore_twin(struct slice name)
{
    char copy[FIELD_NAME_MAX];
    /* of a longer name its beginning, which is what the protected prefixes need */
    struct slice hyphens = {copy, name.n < sizeof(copy) ? name.n : sizeof(copy)};

    if (!name.n || !memchr(name.p, '_', name.n))
        return false;
    for (size_t i = 0; i < hyphens.n; i++)
        copy[i] = name.p[i] == '_' ? '-' : name.p[i];
    return field_id(hyphens) != FIELD_OTHER || name_is_protected(hyphens);
}

bool field_is_essential(enum http_field_id id, struct slice name)
{
    switch (id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_ENCODING:
    case FIELD_AUTHORIZATION:
    case FIELD_COOKIE:
    case FIELD_CACHE_CONTROL:
    case FIELD_VIA:
    case FIELD_FORWARDED:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PREFIX:
        return true;
    case FIELD_OTHER:
        return name_is_protected(name);
    default: /* a caller may name what only he cares for */
        return false;
    }
}

static void mark_named(struct http_field *fields, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].is_hop && slice_eq_nocase(fields[i].name, name) &&
            !field_is_essential(fields[i].id, name))
            fields[i].is_hop = true;
    }
}

void field_mark_connection(struct http_field *fields, size_t count, bool *ret_close,
                           bool *ret_keep_alive)
{
    for (size_t i = 0; i < count; i++) {
        struct slice rest = fields[i].value;
        struct slice option;

        if (fields[i].id != FIELD_CONNECTION)
            continue;
        while (slice_next(&rest, ',', &option)) {
            if (slice_eq_nocase(option, SLICE("close")))
                *ret_close = true;
            else if (slice_eq_nocase(option, SLICE("keep-alive")))
                *ret_keep_alive = true;
            else if (option.n)
                mark_named(fields, count, option);
        }
    }
}

/*
 * What differs between two configurations, and moving it. Who else has to know is app/reload.c's.
 */
#include "config/reload.h"

#include "config/schema.h"
#include "config/source.h"
#include "config/value.h"

#include <assert.h>
#include <string.h>

#include "base/banned.h"

static_assert(sizeof(((struct config_change *)NULL)->key) == CONFIG_KEY_MAX, "room for each key");

static size_t size_of(const struct config_row *row)
{
    switch (row->type) {
    case TYPE_BOOL:
        return sizeof(bool);
    case TYPE_INT:
    case TYPE_DURATION:
    case TYPE_SIZE:
        return sizeof(int64_t);
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_URL:
    case TYPE_UUID:
        return sizeof(char *);
    case TYPE_ENDPOINT:
        return sizeof(struct endpoint);
    case TYPE_ENUM:
    case TYPE_SIGNAL:
    case TYPE_OCTAL:
        return sizeof(int);
    case TYPE_LIST:
        return sizeof(struct string_list);
    case TYPE_SIGNALS:
        return sizeof(struct stop_sequence);
    }
    return 0;
}

static bool lists_equal(const struct string_list *a, const struct string_list *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    }
    return a->n == b->n;
}

static bool sequences_equal(const struct stop_sequence *a, const struct stop_sequence *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (a->v[i].signo != b->v[i].signo || a->v[i].wait_ms != b->v[i].wait_ms)
            return false;
    }
    return a->n == b->n;
}

static bool is_equal(const struct config *a, const struct config *b, const struct config_row *row)
{
    const void *x = (const char *)a + row->offset;
    const void *y = (const char *)b + row->offset;

    switch (row->type) {
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_URL:
    case TYPE_UUID:
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case TYPE_ENDPOINT:
        return strcmp(((const struct endpoint *)x)->text, ((const struct endpoint *)y)->text) == 0;
    case TYPE_LIST:
        return lists_equal(x, y);
    case TYPE_SIGNALS:
        return sequences_equal(x, y);
    case TYPE_BOOL:
    case TYPE_INT:
    case TYPE_DURATION:
    case TYPE_SIZE:
    case TYPE_ENUM:
    case TYPE_SIGNAL:
    case TYPE_OCTAL:
        break;
    }
    return memcmp(x, y, size_of(row)) == 0;
}

/* platform/ reads the file again by itself, and may have found a newer token than this. */
static bool is_token_of_file(const struct config *a, const struct config *b,
                             const struct config_row *row)
{
    return row->offset == offsetof(struct config, platform.token) && *a->platform.token_file &&
           strcmp(a->platform.token_file, b->platform.token_file) == 0;
}

/* What lets callers in may not be loosened before what keeps them out instead is in force. */
static bool is_guard(const char *key)
{
    static const char *const keys[] = {"listen.bearer_tokens_file", "listen.tls_cert",
                                       "listen.tls_key", "listen.tls_client_ca"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

static bool is_door(const char *key)
{
    return strcmp(key, "listen.inbound_auth") == 0 || strcmp(key, "listen.allow_sources") == 0 ||
           strcmp(key, "listen.trusted_proxies") == 0;
}

static void keep_doors_with_guards(struct config_changes *changes)
{
    bool guards_wait = false;

    for (size_t i = 0; i < changes->n; i++)
        guards_wait |= is_guard(changes->v[i].key);
    for (size_t i = 0; guards_wait && i < changes->n; i++) {
        if (is_door(changes->v[i].key))
            changes->v[i].can_move = false;
    }
}

void config_compare(const struct config *live, const struct config *next,
                    struct config_changes *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (row->offset == ROW_NO_MEMBER || is_equal(live, next, row) ||
            is_token_of_file(live, next, row))
            continue;
        assert(ret->n < CONFIG_CHANGES_MAX);
        ret->v[ret->n].row = i;
        ret->v[ret->n].can_move = row->is_live;
        (void)schema_dotted(row, ret->v[ret->n].key);
        ret->n++;
    }
    keep_doors_with_guards(ret);
}

void config_describe_change(const struct config *live, const struct config *next,
                            const struct config_change *c, struct str *out)
{
    const struct config_row *row = &config_rows[c->row];

    str_addf(out, "%s: ", c->key);
    value_add_text(out, live, row);
    str_addz(out, " -> ");
    value_add_text(out, next, row);
}

/* The largest member is an endpoint. */
static void exchange(void *a, void *b, size_t n)
{
    char spare[sizeof(struct endpoint)];

    assert(n <= sizeof(spare));
    memcpy(spare, a, n);
    memcpy(a, b, n);
    memcpy(b, spare, n);
}

void config_move(struct config *live, struct config *next, const struct config_changes *changes)
{
    for (size_t k = 0; k < changes->n; k++) {
        size_t i = changes->v[k].row;
        const struct config_row *row = &config_rows[i];

        if (!changes->v[k].can_move)
            continue;
        assert(row->offset != ROW_NO_MEMBER);
        exchange((char *)live + row->offset, (char *)next + row->offset, size_of(row));
        exchange(&live->origins->v[i], &next->origins->v[i], sizeof(struct origin));
    }
}

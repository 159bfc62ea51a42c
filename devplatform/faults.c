/*
 * The list of faults. Applying one is call.c's work; the switches that are no list entries
 * (database_down, rate_limit, ...) are devtools.c's.
 */
#include "devplatform/faults.h"

#include "base/cleanup.h"
#include "devplatform/world.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>

void faults_init(struct faults *f)
{
    *f = (struct faults){.next_id = 1};
    list_init(&f->list);
    faults_seed(f, 1);
}

void faults_seed(struct faults *f, uint64_t seed)
{
    f->dice = seed * 0x9e3779b97f4a7c15ULL + 1; /* never 0 for seeds below 2^64 - 1 */
}

/* xorshift64*: good enough to be unlucky with, and the same everywhere. */
bool faults_chance(struct faults *f, int64_t percent)
{
    uint64_t x = f->dice;

    if (percent <= 0 || percent >= 100)
        return percent > 0;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    f->dice = x;
    return (int64_t)((x * 0x2545f4914f6cdd1dULL >> 33) % 100) < percent;
}

static void fault_free(struct faults *f, struct fault *fault)
{
    list_remove(&fault->node);
    f->count--;
    free(fault->body);
    free(fault);
}

void faults_clear(struct faults *f)
{
    LIST_FOREACH(it, &f->list)
    fault_free(f, container_of(it, struct fault, node));
}

void faults_release(struct faults *f)
{
    faults_clear(f);
}

static int want_int(const char *key, struct json_object *v, int64_t min, int64_t max, int64_t *ret,
                    struct err *err)
{
    if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < min ||
        json_object_get_int64(v) > max)
        return err_set(err, -EINVAL, "fault: %s must be a whole number from %lld to %lld", key,
                       (long long)min, (long long)max);
    *ret = json_object_get_int64(v);
    return 0;
}

static int want_bool(const char *key, struct json_object *v, bool *ret, struct err *err)
{
    if (!json_object_is_type(v, json_type_boolean))
        return err_set(err, -EINVAL, "fault: %s must be true or false", key);
    *ret = json_object_get_boolean(v);
    return 0;
}

static int want_text(const char *key, struct json_object *v, char *dst, size_t cap, struct err *err)
{
    if (!json_object_is_type(v, json_type_string) || (size_t)json_object_get_string_len(v) >= cap)
        return err_set(err, -EINVAL, "fault: %s must be a text of at most %zu bytes", key, cap - 1);
    text_copy(dst, cap, slice_of(json_object_get_string(v)));
    return 0;
}

static int set_key(struct fault *fault, const char *key, struct json_object *v, struct err *err)
{
    int64_t number = 0;
    int code;

    if (strcmp(key, "method") == 0)
        return want_text(key, v, fault->method, sizeof(fault->method), err);
    if (strcmp(key, "path") == 0)
        return want_text(key, v, fault->path, sizeof(fault->path), err);
    if (strcmp(key, "content_type") == 0)
        return want_text(key, v, fault->content_type, sizeof(fault->content_type), err);
    if (strcmp(key, "latency_ms") == 0)
        return want_int(key, v, 0, FAULT_LATENCY_MAX_MS, &fault->latency_ms, err);
    if (strcmp(key, "retry_after") == 0)
        return want_int(key, v, 0, 3600, &fault->retry_after_s, err);
    if (strcmp(key, "slow_body_ms") == 0)
        return want_int(key, v, 0, FAULT_LATENCY_MAX_MS, &fault->slow_body_ms, err);
    if (strcmp(key, "cut_body") == 0)
        return want_bool(key, v, &fault->cut_body, err);
    if (strcmp(key, "percent") == 0)
        return want_int(key, v, 1, 100, &fault->percent, err);
    if (strcmp(key, "count") == 0)
        return want_int(key, v, 1, INT64_MAX, &fault->left, err);
    if (strcmp(key, "status") == 0) {
        code = want_int(key, v, 200, 599, &number, err);
        fault->status = (int)number;
        return code;
    }
    if (strcmp(key, "drop") == 0)
        return want_bool(key, v, &fault->drop, err);
    if (strcmp(key, "hang") == 0)
        return want_bool(key, v, &fault->hang, err);
    if (strcmp(key, "after") == 0)
        return want_bool(key, v, &fault->after, err);
    if (strcmp(key, "body") == 0) {
        text_set(&fault->body, json_object_is_type(v, json_type_string)
                                   ? json_object_get_string(v)
                                   : json_object_to_json_string(v));
        return 0;
    }
    return err_set(err, -EINVAL,
                   "fault: unknown key %s; there are path, method, count, percent, latency_ms, "
                   "status, body, content_type, retry_after, drop, hang, after, slow_body_ms, "
                   "cut_body",
                   key);
}

int faults_add(struct faults *f, struct json_object *spec, int64_t *ret_id, struct err *err)
{
    struct fault *fault;
    int code = 0;

    if (!json_object_is_type(spec, json_type_object))
        return err_set(err, -EINVAL, "a fault must be a JSON object");
    if (f->count == FAULTS_MAX)
        return err_set(err, -EINVAL, "there are %d faults already; DELETE /dev/faults clears them",
                       FAULTS_MAX);
    fault = calloc(1, sizeof(*fault));
    if (!fault)
        return err_set(err, -ENOMEM, "out of memory");
    fault->left = -1;
    fault->percent = 100;
    fault->retry_after_s = -1;
    fault->id = f->next_id++;
    list_append(&f->list, &fault->node);
    f->count++;
    json_object_object_foreach(spec, key, value)
    {
        code = set_key(fault, key, value, err);
        if (code < 0)
            break;
    }
    if (code == 0 && !fault->latency_ms && !fault->status && !fault->drop && !fault->hang &&
        !fault->slow_body_ms && !fault->cut_body)
        code = err_set(err, -EINVAL,
                       "a fault needs one of latency_ms, status, drop, hang, slow_body_ms, "
                       "cut_body");
    if (code < 0)
        fault_free(f, fault);
    else if (ret_id)
        *ret_id = fault->id;
    return code;
}

struct json_object *faults_list(const struct faults *f)
{
    struct json_object *list = json_object_new_array();

    LIST_FOREACH(it, &f->list)
    {
        const struct fault *fault = container_of(it, struct fault, node);
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "id", json_object_new_int64(fault->id));
        json_object_object_add(o, "method", json_object_new_string(fault->method));
        json_object_object_add(o, "path", json_object_new_string(fault->path));
        json_object_object_add(o, "latency_ms", json_object_new_int64(fault->latency_ms));
        json_object_object_add(o, "status", json_object_new_int(fault->status));
        json_object_object_add(o, "drop", json_object_new_boolean(fault->drop));
        json_object_object_add(o, "hang", json_object_new_boolean(fault->hang));
        json_object_object_add(o, "after", json_object_new_boolean(fault->after));
        json_object_object_add(o, "slow_body_ms", json_object_new_int64(fault->slow_body_ms));
        json_object_object_add(o, "cut_body", json_object_new_boolean(fault->cut_body));
        json_object_object_add(o, "percent", json_object_new_int64(fault->percent));
        json_object_object_add(o, "left",
                               fault->left < 0 ? NULL : json_object_new_int64(fault->left));
        json_object_object_add(o, "hits", json_object_new_int64((int64_t)fault->hits));
        json_object_array_add(list, o);
    }
    return list;
}

/* A prefix, or with a '*' in it a pattern for the whole path. */
static bool path_matches(const char *pattern, struct slice path)
{
    CLEANUP(free_cleanup) char *text = NULL;

    if (!strchr(pattern, '*'))
        return slice_starts_with(path, slice_of(pattern));
    text = slice_dup(path);
    return text && fnmatch(pattern, text, 0) == 0;
}

bool faults_take(struct faults *f, struct slice method, struct slice path, struct fault_effect *ret)
{
    LIST_FOREACH(it, &f->list)
    {
        struct fault *fault = container_of(it, struct fault, node);
        if (fault->method[0] && !slice_eq_nocase(method, slice_of(fault->method)))
            continue;
        if (!path_matches(fault->path, path) || !faults_chance(f, fault->percent))
            continue;
        *ret = (struct fault_effect){
            .latency_ms = fault->latency_ms,
            .status = fault->status,
            .retry_after_s = fault->retry_after_s,
            .drop = fault->drop,
            .hang = fault->hang,
            .after = fault->after,
            .slow_body_ms = fault->slow_body_ms,
            .cut_body = fault->cut_body,
        };
        memcpy(ret->content_type, fault->content_type, sizeof(ret->content_type));
        text_set(&ret->body, fault->body);
        fault->hits++;
        if (fault->left > 0 && --fault->left == 0)
            fault_free(f, fault);
        return true;
    }
    return false;
}

/*
 * What the real platform does not have: the log, the state and the faults, for tests and for
 * people. Never logged itself.
 */
#include "devplatform/fields.h"
#include "devplatform/handlers.h"

#include "base/parse.h"
#include "base/version.h"

static void answer_ok(struct call *c)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "status", json_object_new_string("ok"));
    call_answer(c, 200, o);
}

void handle_health(struct call *c)
{
    answer_ok(c);
}

void handle_buildinfo(struct call *c)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "git_sha", json_object_new_string(build_facts.revision));
    call_answer(c, 200, o);
}

void handle_dev_log(struct call *c)
{
    char since[24] = "0", method[16] = "", path[256] = "";
    int64_t seq = 0;

    call_query(c, "since", since, sizeof(since));
    call_query(c, "method", method, sizeof(method));
    call_query(c, "path", path, sizeof(path));
    if (parse_int64(slice_of(since), 0, INT64_MAX, &seq) < 0) {
        call_error(c, 400, "since must be the seq of an entry: a number");
        return;
    }
    call_answer(c, 200, devlog_list(&c->dp->log, seq, method, path));
}

/* ---- state
 * -----------------------------------------------------------------------------------------------------
 */

static struct json_object *tokens_to_json(const struct workspace *ws)
{
    struct json_object *list = json_object_new_array();
    char mask[16];

    LIST_FOREACH(it, &ws->tokens)
    {
        const struct token *t = container_of(it, struct token, node);
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "id", json_object_new_string(t->id));
        json_object_object_add(o, "token",
                               json_object_new_string(token_mask(slice_of(t->text), mask)));
        json_object_object_add(o, "is_revoked", json_object_new_boolean(t->is_revoked));
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *state_of(const struct devplatform *dp, const struct workspace *ws)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "id", json_object_new_string(ws->id));
    json_object_object_add(o, "name", json_object_new_string(ws->name));
    json_object_object_add(o, "status", json_object_new_string(status_name(ws->status)));
    json_object_object_add(o, "url", json_object_new_string(ws->url));
    json_object_object_add(o, "delivery_mode", json_object_new_string(ws->delivery_mode));
    json_object_object_add(o, "runtime", json_object_new_string(ws->runtime));
    json_object_object_add(o, "agent_card", json_object_get(ws->agent_card));
    json_object_object_add(o, "registrations", json_object_new_int64((int64_t)ws->registrations));
    json_object_object_add(o, "heartbeats", json_object_new_int64((int64_t)ws->beats));
    json_object_object_add(o, "last_heartbeat", json_object_get(ws->last_beat));
    json_object_object_add(
        o, "heard_ms_ago",
        ws->heard_ms ? json_object_new_int64(loop_now_ms(dp->loop) - ws->heard_ms) : NULL);
    json_object_object_add(o, "live_tokens", json_object_new_int64((int64_t)token_live_count(ws)));
    json_object_object_add(o, "tokens", tokens_to_json(ws));
    json_object_object_add(o, "secrets",
                           json_object_new_int(json_object_object_length(ws->secrets)));
    json_object_object_add(o, "activity_rows", json_object_new_int64((int64_t)ws->feed.count));
    json_object_object_add(o, "listeners",
                           json_object_new_int64((int64_t)events_count(&dp->events, ws->id)));
    json_object_object_add(o, "acked_seq", json_object_new_int64(ws->acked_seq));
    json_object_object_add(o, "queue_depth",
                           json_object_new_int64((int64_t)queue_depth(&dp->dispatcher, ws->id)));
    return o;
}

void handle_dev_state(struct call *c)
{
    struct json_object *o = json_object_new_object(), *workspaces = json_object_new_object();

    LIST_FOREACH(it, &c->dp->world.workspaces)
    {
        const struct workspace *ws = container_of(it, struct workspace, node);
        json_object_object_add(workspaces, ws->id, state_of(c->dp, ws));
    }
    json_object_object_add(o, "now_ms", json_object_new_int64(loop_now_ms(c->dp->loop)));
    json_object_object_add(o, "last_seq", json_object_new_int64(c->dp->log.next_seq - 1));
    json_object_object_add(o, "database_down", json_object_new_boolean(c->dp->database_is_down));
    json_object_object_add(o, "feed", json_object_new_string(feed_kind_name(c->dp->feed.kind)));
    json_object_object_add(o, "events_sent", json_object_new_int64((int64_t)c->dp->events.sent));
    json_object_object_add(o, "events_dropped",
                           json_object_new_int64((int64_t)c->dp->events.dropped));
    json_object_object_add(o, "rate_limit", json_object_new_int64(c->dp->limiter.limit));
    json_object_object_add(o, "workspaces", workspaces);
    call_answer(c, 200, o);
}

/* ---- faults
 * ----------------------------------------------------------------------------------------------------
 */

void handle_dev_faults_list(struct call *c)
{
    call_answer(c, 200, faults_list(&c->dp->faults));
}

void handle_dev_faults_clear(struct call *c)
{
    faults_clear(&c->dp->faults);
    c->dp->database_is_down = false;
    c->dp->resume_mode = RESUME_FAILED;
    c->dp->feed.trouble = (struct feed_trouble){0};
    c->dp->feed.kind = c->dp->options->feed;
    c->dp->events.mode = EVENTS_ON;
    limiter_set(&c->dp->limiter, c->dp->options->rate_limit);
    devlog_say(&c->dp->log, "faults cleared");
    answer_ok(c);
}

static bool set_resume(struct devplatform *dp, struct json_object *v)
{
    static const char *const words[] = {[RESUME_FAILED] = "failed",
                                        [RESUME_PROVISIONING] = "provisioning",
                                        [RESUME_UNAVAILABLE] = "unavailable"};

    for (size_t i = 0;
         json_object_is_type(v, json_type_string) && i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(json_object_get_string(v), words[i]) == 0) {
            dp->resume_mode = (enum resume_mode)i;
            return true;
        }
    }
    return false;
}

static bool lose_tokens(struct devplatform *dp, struct json_object *v)
{
    struct workspace *ws = world_find(
        &dp->world,
        slice_of(json_object_is_type(v, json_type_string) ? json_object_get_string(v) : ""));

    if (ws)
        token_revoke_all(ws);
    return ws != NULL;
}

static const char *set_feed(struct devplatform *dp, struct json_object *v)
{
    return json_object_is_type(v, json_type_string) &&
                   feed_kind_parse(slice_of(json_object_get_string(v)), &dp->feed.kind)
               ? NULL
               : "feed must be target, old or later";
}

/* Rows older than so many milliseconds are gone, as after the server's retention. */
static const char *forget_rows(struct devplatform *dp, struct json_object *v)
{
    if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0 ||
        json_object_get_int64(v) > INT64_MAX / 2000)
        return "forget_rows must be an age in milliseconds; 0: all rows";
    devlog_say(&dp->log, "%zu rows forgotten",
               devplatform_forget_rows(dp, wall_us() - json_object_get_int64(v) * 1000));
    return NULL;
}

/* The switches of the feed and its surroundings. False when `key` is none. */
static bool set_feed_switch(struct devplatform *dp, const char *key, struct json_object *v,
                            const char **ret_problem)
{
    *ret_problem = NULL;
    if (strcmp(key, "feed") == 0) {
        *ret_problem = set_feed(dp, v);
    } else if (strcmp(key, "rows") == 0) {
        *ret_problem = feed_trouble_set(&dp->feed, v);
    } else if (strcmp(key, "events") == 0) {
        *ret_problem = events_set_mode(&dp->events, v);
    } else if (strcmp(key, "forget_rows") == 0) {
        *ret_problem = forget_rows(dp, v);
    } else if (strcmp(key, "lose_cursors") == 0) {
        dp->world.rows.lost_until = dp->world.rows.last_seq;
    } else if (strcmp(key, "expire_uploads") == 0) {
        devplatform_expire_files(dp, INT64_MAX);
    } else if (strcmp(key, "seed") == 0) {
        if (json_object_is_type(v, json_type_int))
            faults_seed(&dp->faults, (uint64_t)json_object_get_int64(v));
        else
            *ret_problem = "seed must be a number";
    } else {
        return false;
    }
    return true;
}

/* A switch that is no fault of the list. False when `key` is none; *ret_problem NULL when it was
 * set. */
static bool set_switch(struct devplatform *dp, const char *key, struct json_object *v,
                       const char **ret_problem)
{
    *ret_problem = NULL;
    if (strcmp(key, "database_down") == 0) {
        if (json_object_is_type(v, json_type_boolean))
            dp->database_is_down = json_object_get_boolean(v);
        else
            *ret_problem = "database_down must be true or false";
    } else if (strcmp(key, "rate_limit") == 0) {
        if (json_object_is_type(v, json_type_int) && json_object_get_int64(v) >= 0)
            limiter_set(&dp->limiter, json_object_get_int64(v));
        else
            *ret_problem = "rate_limit must be a number of calls per minute; 0: unlimited";
    } else if (strcmp(key, "lose_tokens") == 0) {
        if (!lose_tokens(dp, v))
            *ret_problem = "lose_tokens must be the id of a workspace";
    } else if (strcmp(key, "resume") == 0) {
        if (!set_resume(dp, v))
            *ret_problem = "resume must be failed, provisioning or unavailable";
    } else {
        return false;
    }
    return true;
}

/* Each key of the body is a switch, or all of them together describe one fault. `faults` holds
 * several. */
static const char *apply(struct devplatform *dp, struct json_object *body, struct json_object *ids,
                         struct err *err)
{
    struct json_object *fault = json_object_new_object(), *list = NULL;
    const char *problem = NULL;
    int64_t id = 0;

    json_object_object_foreach(body, key, value)
    {
        if (strcmp(key, "faults") == 0)
            list = value;
        else if (!set_feed_switch(dp, key, value, &problem) &&
                 !set_switch(dp, key, value, &problem))
            json_object_object_add(fault, key, json_object_get(value));
        if (problem)
            break;
    }
    if (!problem && json_object_object_length(fault) > 0) {
        if (faults_add(&dp->faults, fault, &id, err) < 0)
            problem = err->msg;
        else
            json_object_array_add(ids, json_object_new_int64(id));
    }
    if (!problem && list && !json_object_is_type(list, json_type_array))
        problem = "faults must be an array of objects";
    for (size_t i = 0; !problem && list && i < json_object_array_length(list); i++) {
        if (faults_add(&dp->faults, json_object_array_get_idx(list, i), &id, err) < 0)
            problem = err->msg;
        else
            json_object_array_add(ids, json_object_new_int64(id));
    }
    json_object_put(fault);
    return problem;
}

void handle_dev_faults_add(struct call *c)
{
    struct json_object *o, *ids;
    struct err err = {0};
    const char *problem;

    if (!call_need_object(c))
        return;
    ids = json_object_new_array();
    problem = apply(c->dp, c->json, ids, &err);
    if (problem) {
        json_object_put(ids);
        call_error(c, 400, problem);
        return;
    }
    devlog_say(&c->dp->log, "faults: %s",
               json_object_to_json_string_ext(c->json, JSON_C_TO_STRING_PLAIN));
    o = json_object_new_object();
    json_object_object_add(o, "ids", ids);
    call_answer(c, 200, o);
}

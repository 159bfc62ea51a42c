#include "support/platform_case.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pcase *pc;

enum { SLOWEST_BEAT_MS = 5000 }; /* and slower only if the test says so */

/* ---- the control plane -------------------------------------------------------------------------
 */

static enum kind kind_of(const char *target)
{
    if (strcmp(target, "/registry/register") == 0)
        return REGISTER;
    if (strcmp(target, "/registry/heartbeat") == 0)
        return HEARTBEAT;
    if (strcmp(target, "/registry/update-card") == 0)
        return CARD;
    if (strcmp(target, "/workspaces/" CASE_ID "/state") == 0)
        return STATE;
    if (strcmp(target, "/workspaces/" CASE_ID) == 0)
        return ROW;
    if (strcmp(target, "/workspaces/" CASE_ID "/secrets/values") == 0)
        return SECRETS;
    if (strncmp(target, "/workspaces/" CASE_ID "/activity", 56) == 0)
        return ACTIVITY;
    return OTHER;
}

static void say(struct fake_answer *a, int status, const char *body)
{
    a->status = status;
    (void)snprintf(a->body, sizeof(a->body), "%s", body);
}

static bool bearer_is_live(const struct world *w, const char *bearer)
{
    return w->token[0] && bearer && strcmp(bearer, w->token) == 0 && !w->is_removed &&
           !w->is_purged;
}

/* Layer 1: no live token lets everybody through. */
static bool registry_lets(const struct world *w, const char *bearer)
{
    return w->token[0] == '\0' || w->is_removed || w->is_purged || bearer_is_live(w, bearer);
}

static void do_register(struct world *w, const char *bearer, const char *body,
                        struct fake_answer *a)
{
    char token[128] = "";
    const char *mode = strstr(body, "\"delivery_mode\":\"push\"") ? "push" : "poll";

    if (w->db_down) {
        say(a, 500, "{\"error\":\"registration failed\"}");
        return;
    }
    if (!registry_lets(w, bearer)) {
        say(a, 401, "{\"error\":\"missing workspace auth token\"}");
        return;
    }
    if (w->token[0] == '\0' && w->minted[0]) {
        (void)snprintf(w->token, sizeof(w->token), "%s", w->minted);
        (void)snprintf(token, sizeof(token), ",\"auth_token\":\"%s\"", w->minted);
    }
    (void)snprintf(w->status, sizeof(w->status), "online");
    a->status = 200;
    (void)snprintf(a->body, sizeof(a->body),
                   "{\"status\":\"registered\",\"unknown\":null%s%s%s%s%s,"
                   "\"platform_inbound_secret\":\"%s\"}",
                   w->omits_mode ? "" : ",\"delivery_mode\":\"", w->omits_mode ? "" : mode,
                   w->omits_mode ? "" : "\"", token, "", w->inbound);
}

static void do_heartbeat(struct world *w, const char *bearer, const char *body,
                         struct fake_answer *a)
{
    const char *uptime = strstr(body, "\"uptime_seconds\":");

    if (w->db_down) {
        say(a, 500, "{\"error\":\"failed to update\"}");
    } else if (!registry_lets(w, bearer)) {
        say(a, 401, "{\"error\":\"invalid workspace auth token\"}");
    } else {
        w->beat_uptime = uptime ? strtoll(uptime + 17, NULL, 10) : 0;
        a->status = 200;
        (void)snprintf(a->body, sizeof(a->body),
                       "{\"status\":\"ok\",\"platform_inbound_secret\":\"%s\"}",
                       w->is_removed || w->is_purged ? "invented" : w->inbound);
    }
}

static void do_row(struct world *w, struct fake_answer *a)
{
    if (w->db_down)
        say(a, 500, "{\"error\":\"query failed\"}");
    else if (w->wrong_org)
        say(a, 404, "");
    else if (w->is_purged)
        say(a, 404, "{\"error\":\"workspace not found\"}");
    else if (w->is_removed)
        say(a, 410, "{\"error\":\"workspace removed\",\"id\":\"" CASE_ID "\",\"removed_at\":null}");
    else {
        a->status = 200;
        (void)snprintf(a->body, sizeof(a->body),
                       "{\"id\":\"" CASE_ID "\",\"name\":\"x\",\"status\":\"%s\",\"url\":\"%s\","
                       "\"uptime_seconds\":%lld,\"agent_card\":{\"deep\":[[[[]]]]}}",
                       w->status, w->row_url,
                       (long long)(w->row_uptime >= 0 ? w->row_uptime : w->beat_uptime));
    }
}

static void do_workspace(struct world *w, enum kind k, const char *bearer, struct fake_answer *a)
{
    if (w->wrong_org)
        say(a, 404, "");
    else if (w->db_down || !bearer_is_live(w, bearer))
        say(a, 401, "{\"error\":\"invalid workspace auth token\"}");
    else if (k == SECRETS)
        say(a, 200, w->secrets);
    else if (k == ACTIVITY)
        say(a, 200, "[]");
    else {
        a->status = 200;
        (void)snprintf(a->body, sizeof(a->body),
                       "{\"workspace_id\":\"" CASE_ID "\",\"status\":\"%s\",\"paused\":%s,"
                       "\"deleted\":false}",
                       w->status, strcmp(w->status, "paused") == 0 ? "true" : "false");
    }
}

static void control_plane(void *arg, const struct fake_request *rq, struct fake_answer *a)
{
    struct world *w = arg;
    enum kind k = kind_of(rq->target);
    const char *given = fake_field(rq, "authorization");
    char bearer[64] = "";
    size_t n = strlen(w->order);

    if (given && strncmp(given, "Bearer ", 7) == 0)
        (void)snprintf(bearer, sizeof(bearer), "%.60s", given + 7);
    w->count[k]++;
    if (n + 1 < sizeof(w->order)) {
        w->order[n] = "RHCSWPAO"[k];
        w->order[n + 1] = '\0';
    }
    w->last[k] = *rq;
    (void)snprintf(w->last_body[k], sizeof(w->last_body[k]), "%s", rq->body);
    (void)snprintf(w->last_bearer[k], sizeof(w->last_bearer[k]), "%s", bearer);
    w->stopped_beats += k == HEARTBEAT && strstr(rq->body, "\"current_task\":\"stopped\"");
    if (fake_field(rq, "origin")) {
        w->with_origin++;
        if (w->refuses_origin) {
            say(a, 403, "");
            return;
        }
    }
    if (w->over[k].times != 0) {
        *a = w->over[k].answer;
        if (w->over[k].times > 0)
            w->over[k].times--;
        return;
    }
    if (w->hook && w->hook(w, rq, a))
        return;
    switch (k) {
    case REGISTER:
        do_register(w, bearer, rq->body, a);
        return;
    case HEARTBEAT:
        do_heartbeat(w, bearer, rq->body, a);
        return;
    case CARD:
        say(a, registry_lets(w, bearer) ? 200 : 401, "{\"status\":\"updated\"}");
        return;
    case ROW:
        do_row(w, a);
        return;
    case STATE:
    case SECRETS:
    case ACTIVITY:
        do_workspace(w, k, bearer, a);
        return;
    case OTHER:
        say(a, 404, "404 page not found");
        return;
    }
}

/* ---- what the sidecar would do -----------------------------------------------------------------
 */

/* Where no answer comes before the next beat is due, none would ever be taken. */
static void fill_beat(void *arg, struct beat *ret)
{
    int64_t *interval = &pc->cfg.platform.heartbeat_interval;

    (void)arg;
    if (*interval < SLOWEST_BEAT_MS &&
        strstr(pc->p->status.heartbeat.last_error, "before the next heartbeat"))
        *interval *= 2;
    *ret = pc->beat;
}

static int make_card(void *arg, struct str *ret, struct err *err)
{
    (void)arg;
    if (pc->card[0] == '\0')
        return err_set(err, -ENOENT, "there is no card yet");
    str_addz(ret, pc->card);
    return 0;
}

static void on_spawn(void *arg)
{
    (void)arg;
    pc->spawned++;
}

static unsigned marked[KIND_COUNT];

static void on_registered(void *arg)
{
    (void)arg;
    pc->registered++;
}

static void on_state(void *arg, enum workspace_state s, const char *why)
{
    (void)arg;
    pc->state_log[pc->states++ % 32] = s;
    pc->rows_at_state = case_since(ROW);
    (void)snprintf(pc->why, sizeof(pc->why), "%s", why);
}

static void on_secrets(void *arg, const struct secrets *s, bool is_first)
{
    (void)arg;
    (void)s;
    pc->secret_calls++;
    pc->first_secrets += is_first;
}

static void on_refused(void *arg, const char *why)
{
    (void)arg;
    pc->refused++;
    (void)snprintf(pc->why, sizeof(pc->why), "%s", why);
}

static void on_max(void *arg)
{
    (void)arg;
    pc->max_iterations++;
}

/* ---- the case ----------------------------------------------------------------------------------
 */

static void config_strings(struct config *c)
{
    static char none[] = "";
    static char id[] = CASE_ID;

    c->workspace.id = id;
    c->workspace.parent_id = none;
    c->platform.url = pc->url;
    c->platform.token = c->platform.token_file = c->platform.org_id = c->platform.origin = none;
    c->platform.ca_file = c->platform.client_cert = c->platform.client_key = none;
    c->platform.proxy = c->platform.reported_url = none;
    c->state.dir = pc->state_dir;
}

void case_open(void)
{
    struct err err = {0};

    pc = calloc(1, sizeof(*pc));
    cr_assert_not_null(pc);
    (void)snprintf(pc->dir, sizeof(pc->dir), "/tmp/platform-case-XXXXXX");
    cr_assert_not_null(mkdtemp(pc->dir));
    (void)snprintf(pc->state_dir, sizeof(pc->state_dir), "%s/state", pc->dir);
    setenv("HOME", pc->dir, 1);
    unsetenv("CONFIGS_DIR");
    unsetenv("WORKSPACE_CONFIG_PATH");
    unsetenv("MOLECULE_STATE_DIR");
    log_init(LOG_ERROR, LOG_FORMAT_TEXT);
    cr_assert_eq(loop_new(&pc->loop, &err), 0, "%s", err.msg);
    cr_assert_eq(curl_io_new(pc->loop, &pc->io, &err), 0, "%s", err.msg);
    cr_assert_eq(store_new(pc->loop, &pc->store, &err), 0, "%s", err.msg);
    pc->fake = fake_open(control_plane, &pc->world);
    (void)snprintf(pc->url, sizeof(pc->url), "http://127.0.0.1:%u", fake_port(pc->fake));
    config_strings(&pc->cfg);
    pc->cfg.platform.enabled = true;
    pc->cfg.platform.delivery = DELIVERY_POLL;
    pc->cfg.platform.heartbeat_interval = 40;
    pc->cfg.platform.state_interval = 30;
    pc->cfg.secrets.start_wait = 5 * 60 * 1000; /* none of the tests that do not set it waits */
    pc->cfg.secrets.refresh = 50;
    (void)snprintf(pc->card, sizeof(pc->card), "{\"name\":\"agent\"}");
    (void)snprintf(pc->world.status, sizeof(pc->world.status), "awaiting_agent");
    (void)snprintf(pc->world.minted, sizeof(pc->world.minted), "minted-token-1");
    (void)snprintf(pc->world.secrets, sizeof(pc->world.secrets), "{\"A\":\"1\",\"B\":\"2\"}");
    (void)snprintf(pc->world.inbound, sizeof(pc->world.inbound), "inbound-1");
    pc->world.row_uptime = -1;
}

void case_new(void)
{
    static const struct platform_callbacks callbacks = {.fill_beat = fill_beat,
                                                        .make_card = make_card,
                                                        .on_ready_to_spawn = on_spawn,
                                                        .on_registered = on_registered,
                                                        .on_state = on_state,
                                                        .on_secrets = on_secrets,
                                                        .on_refused = on_refused,
                                                        .on_max_iterations = on_max};
    struct err err = {0};

    cr_assert_eq(
        platform_new(pc->loop, pc->io, pc->store, &pc->cfg, &callbacks, NULL, &pc->p, &err), 0,
        "%s", err.msg);
    pc->p->times = (struct platform_times){.backoff_base = 10,
                                           .backoff_cap = 40,
                                           .hurry = 10,
                                           .refused_cap = 60,
                                           .confirm_gap = 60,
                                           .shrink_gap = 40,
                                           .extra_beat_gap = 50,
                                           .extra_look_gap = 5,
                                           .paused_slow_after = 200,
                                           .paused_slow = 80,
                                           .token_recheck = 50,
                                           .finish_check = 20000};
}

void case_restart(void)
{
    platform_free(pc->p);
    pc->p = NULL;
    pc->spawned = pc->registered = pc->refused = pc->states = pc->secret_calls = 0;
    fake_lock(pc->fake);
    memset(pc->world.count, 0, sizeof(pc->world.count));
    memset(pc->world.order, 0, sizeof(pc->world.order));
    fake_unlock(pc->fake);
    case_new();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void case_close(void)
{
    platform_free(pc->p);
    store_free(pc->store);
    curl_io_free(pc->io);
    loop_free(pc->loop);
    fake_free(pc->fake);
    (void)nftw(pc->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(pc);
    pc = NULL;
}

struct watcher {
    bool (*cond)(void);
    int64_t deadline_ms;
    bool is_true;
};

static void on_look(struct timer *t)
{
    struct watcher *w = t->arg;
    bool is_true = w->cond && w->cond();

    if (is_true || clock_mono_ms() >= w->deadline_ms) {
        w->is_true = is_true;
        loop_stop(pc->loop);
        return;
    }
    timer_start(t, pc->loop, loop_now_ms(pc->loop) + 2, on_look, w);
}

static bool run(bool (*cond)(void), int64_t max_ms)
{
    struct watcher w = {.cond = cond, .deadline_ms = clock_mono_ms() + max_ms};
    struct timer t = {0};

    timer_start(&t, pc->loop, loop_now_ms(pc->loop), on_look, &w);
    loop_run(pc->loop);
    timer_stop(&t);
    return w.is_true;
}

enum { UNTIL_MS = 30000 }; /* only a failing test takes it */

void case_until(bool (*cond)(void), const char *what)
{
    bool ok = run(cond, UNTIL_MS);

    cr_assert(ok, "waited in vain for %s; calls so far: %s; state %s: %s", what, pc->world.order,
              workspace_state_name(pc->p->status.state), pc->p->status.state_why);
}

void case_run_ms(int64_t ms)
{
    (void)run(NULL, ms);
}

void case_file(const char *path, const char *content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    cr_assert_geq(fd, 0, "%s: %m", path);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

char *case_read(const char *path)
{
    char *text = calloc(1, 4096);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, text, 4095) < 0) {
        free(text);
        text = NULL;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

unsigned case_count(enum kind k)
{
    fake_lock(pc->fake);
    unsigned n = pc->world.count[k];
    fake_unlock(pc->fake);
    return n;
}

void case_set(void (*change)(struct world *w))
{
    fake_lock(pc->fake);
    change(&pc->world);
    fake_unlock(pc->fake);
}

void case_override(enum kind k, int times, int status, const char *fields, const char *body)
{
    fake_lock(pc->fake);
    pc->world.over[k] = (struct override){.times = times};
    pc->world.over[k].answer.status = status;
    pc->world.over[k].answer.fields = fields;
    (void)snprintf(pc->world.over[k].answer.body, sizeof(pc->world.over[k].answer.body), "%s",
                   body ? body : "");
    fake_unlock(pc->fake);
}

void case_action(enum kind k, int times, enum fake_action action)
{
    fake_lock(pc->fake);
    pc->world.over[k] = (struct override){.times = times};
    pc->world.over[k].answer.action = action;
    pc->world.over[k].answer.status = 200;
    fake_unlock(pc->fake);
}

void case_mark(void)
{
    fake_lock(pc->fake);
    memcpy(marked, pc->world.count, sizeof(marked));
    fake_unlock(pc->fake);
}

unsigned case_since(enum kind k)
{
    return case_count(k) - marked[k];
}

void case_open_with_token(void)
{
    static char token[] = "the-token";

    case_open();
    (void)snprintf(pc->world.token, sizeof(pc->world.token), "the-token");
    pc->cfg.platform.token = token;
    pc->cfg.platform.token_is_explicit = true;
}

bool case_beat_is_under_way(void)
{
    return call_is_busy(&pc->p->heart.a.call);
}

static bool is_up(void)
{
    return pc->registered > 0 && pc->p->secrets.is_known && pc->p->heart.accepted &&
           pc->p->status.state == WORKSPACE_ACTIVE && pc->p->reg.step == REGISTER_REST &&
           !case_beat_is_under_way();
}

void case_start(void)
{
    case_new();
    platform_start(pc->p);
    UNTIL(is_up);
    case_mark();
}

/* The probe against a scripted agent: what counts as an answer, the card, the sentences for each
 * way of not answering. */
#include "agent/probe.h"
#include "base/str.h"
#include "support/fake_http.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GUARD_MS = 120000,
    PATIENCE_MS = 60000, /* of a request that is to be answered, on a busy machine too */
    INTERVAL_MS = 20,
    NO_INTERVAL_MS = 3600000, /* an answer is the last one: nothing is under way after it */
};

struct scene {
    struct loop *loop;
    struct curl_io *io;
    struct endpoint at;
    struct probe *probe;
    struct timer guard;
    char dir[64];
    char path[100];
    int ups, downs, cards;
    char card[256];
    char why[512];
    unsigned misses;                           /* of the last down */
    int64_t failures, timeout_ms, interval_ms; /* 0 = 3, PATIENCE_MS, INTERVAL_MS */
    bool is_connect;
    int stop_at_ups, stop_at_downs, stop_at_cards;
    const char *reason; /* of the miss that is waited for */
    /* the agent */
    int status;
    const char *body;
    bool only_old_path;
    enum fake_action action;
    int requests;
};

static void on_guard(struct timer *t)
{
    struct scene *s = t->arg;

    cr_assert_fail("ups %d, downs %d, cards %d, requests %d, reason %s", s->ups, s->downs, s->cards,
                   s->requests, probe_status(s->probe)->reason);
}

static void maybe_stop(struct scene *s)
{
    if (s->ups >= s->stop_at_ups && s->downs >= s->stop_at_downs && s->cards >= s->stop_at_cards)
        loop_stop(s->loop);
}

static void on_up(void *arg)
{
    struct scene *s = arg;

    s->ups++;
    maybe_stop(s);
}

static void on_down(void *arg, const char *why)
{
    struct scene *s = arg;

    s->downs++;
    s->misses = probe_status(s->probe)->misses;
    (void)snprintf(s->why, sizeof(s->why), "%s", why);
    maybe_stop(s);
}

static void on_card(void *arg, struct slice card)
{
    struct scene *s = arg;

    s->cards++;
    (void)snprintf(s->card, sizeof(s->card), "%.*s", (int)card.n, card.p);
    maybe_stop(s);
}

static void play(void *arg, const struct fake_request *rq, struct fake_answer *ret)
{
    struct scene *s = arg;

    s->requests++;
    ret->action = s->action;
    ret->status = s->only_old_path && !strstr(rq->target, "agent.json") ? 404 : s->status;
    (void)snprintf(ret->body, sizeof(ret->body), "%s", s->body ? s->body : "{}");
}

static void scene_open(struct scene *s, bool is_card)
{
    char text[128];
    struct err err = {0};

    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/probe-test-XXXXXX");
    cr_assert_not_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof(s->path), "%s/agent.sock", s->dir);
    (void)snprintf(text, sizeof(text), "unix:%s", s->path);
    cr_assert_eq(endpoint_parse(slice_of(text), &s->at, &err), 0, "%s", err.msg);
    cr_assert_eq(loop_new(&s->loop, &err), 0);
    cr_assert_eq(curl_io_new(s->loop, &s->io, &err), 0);
    const struct probe_config cfg = {.agent = &s->at,
                                     .path = is_card ? "/.well-known/agent-card.json" : "/health",
                                     .is_card = is_card,
                                     .is_connect = s->is_connect,
                                     .interval_ms = s->interval_ms ? s->interval_ms : INTERVAL_MS,
                                     .failures = s->failures ? s->failures : 3,
                                     .timeout_ms = s->timeout_ms ? s->timeout_ms : PATIENCE_MS};
    const struct probe_callbacks cb = {on_up, on_down, on_card};
    cr_assert_eq(probe_new(s->loop, s->io, &cfg, &cb, s, &s->probe, &err), 0);
    timer_start(&s->guard, s->loop, loop_now_ms(s->loop) + GUARD_MS, on_guard, s);
    if (!s->status)
        s->status = 200;
}

static void scene_close(struct scene *s)
{
    timer_stop(&s->guard);
    probe_free(s->probe);
    curl_io_free(s->io);
    loop_free(s->loop);
    (void)unlink(s->path);
    (void)rmdir(s->dir);
}

Test(probe, an_agent_that_comes_late_is_found_and_its_card_handed_on)
{
    struct scene s = {.body = "{\"name\":\"late\"}", .stop_at_ups = 1, .stop_at_cards = 1};

    scene_open(&s, true);
    probe_start(s.probe);
    struct fake *f = fake_open_unix(s.path, play, &s);
    loop_run(s.loop);
    cr_assert(probe_status(s.probe)->is_up);
    cr_assert_str_eq(s.card, "{\"name\":\"late\"}");
    cr_assert_eq(s.ups, 1);
    fake_free(f);
    scene_close(&s);
}

Test(probe, the_old_card_path_is_tried_after_a_404)
{
    struct scene s = {
        .body = "{\"name\":\"old\"}", .only_old_path = true, .stop_at_ups = 1, .stop_at_cards = 1};

    scene_open(&s, true);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert_str_eq(s.card, "{\"name\":\"old\"}");
    fake_free(f);
    scene_close(&s);
}

Test(probe, a_ready_path_needs_no_card_and_any_answer_below_500_will_do)
{
    struct scene s = {.status = 401, .stop_at_ups = 1};

    scene_open(&s, false);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert_eq(s.cards, 0);
    fake_free(f);
    scene_close(&s);
}

Test(probe, with_is_connect_accepting_is_enough_and_the_card_comes_beside_it)
{
    struct scene s = {
        .body = "{\"name\":\"beside\"}", .is_connect = true, .stop_at_ups = 1, .stop_at_cards = 1};

    scene_open(&s, true);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert_str_eq(s.card, "{\"name\":\"beside\"}");
    fake_free(f);
    scene_close(&s);
}

Test(probe, with_is_connect_an_agent_that_answers_nothing_is_up_until_it_goes)
{
    struct scene s = {.action = FAKE_HANG, .is_connect = true, .stop_at_ups = 1};

    scene_open(&s, true);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert(probe_status(s.probe)->is_up);
    fake_free(f);
    s.stop_at_downs = 1;
    loop_run(s.loop);
    cr_assert_not(probe_status(s.probe)->is_up);
    cr_assert(strstr(s.why, "cannot connect to unix:"), "%s", s.why);
    scene_close(&s);
}

Test(probe, with_is_connect_and_no_card_nothing_is_asked)
{
    struct scene s = {.is_connect = true, .stop_at_ups = 1};

    scene_open(&s, false);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    fake_free(f); /* its threads are joined */
    cr_assert_eq(s.requests, 0);
    scene_close(&s);
}

Test(probe, failures_in_a_row_make_it_down_and_an_answer_up_again)
{
    struct scene s = {.stop_at_ups = 1};

    scene_open(&s, false);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);

    fake_lock(f);
    s.status = 503;
    fake_unlock(f);
    s.stop_at_downs = 1;
    loop_run(s.loop);
    cr_assert_not(probe_status(s.probe)->is_up);
    cr_assert_not_null(strstr(s.why, "503"), "%s", s.why);

    fake_lock(f);
    s.status = 200;
    fake_unlock(f);
    s.stop_at_ups = 2;
    loop_run(s.loop);
    cr_assert(probe_status(s.probe)->is_up);
    fake_free(f);
    scene_close(&s);
}

Test(probe, an_agent_that_went_away_is_down_at_once)
{
    struct scene s = {.stop_at_ups = 1, .interval_ms = NO_INTERVAL_MS};

    scene_open(&s, false);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    fake_free(f);
    (void)unlink(s.path);
    s.stop_at_downs = 1;
    probe_now(s.probe);
    loop_run(s.loop);
    cr_assert_eq(s.misses, 1, "%u", s.misses);
    cr_assert_not_null(strstr(s.why, "No such file"), "%s", s.why);
    scene_close(&s);
}

/* Runs until the probe has missed once, or more, for that reason (NULL: for any). */
static void look_for_a_miss(struct timer *t)
{
    struct scene *s = t->arg;
    const struct probe_status *status = probe_status(s->probe);

    if (status->misses > 0 && (!s->reason || strcmp(status->reason, s->reason) == 0))
        loop_stop(s->loop);
    else
        timer_start(t, s->loop, loop_now_ms(s->loop) + 5, look_for_a_miss, s);
}

static void run_until_a_miss(struct scene *s, const char *reason)
{
    struct timer t = {0};

    s->reason = reason;
    s->stop_at_ups = s->stop_at_downs = 1000;
    timer_start(&t, s->loop, loop_now_ms(s->loop), look_for_a_miss, s);
    loop_run(s->loop);
    timer_stop(&t);
}

Test(probe, a_hung_agent_accepts_but_does_not_answer)
{
    struct scene s = {.action = FAKE_HANG, .timeout_ms = 100};

    scene_open(&s, true);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    /* where the time is over before a request has left, that is told first */
    run_until_a_miss(&s, "it accepts connections but does not answer");
    cr_assert_not(probe_status(s.probe)->has_answered);
    scene_close(&s); /* with a request under way */
    fake_free(f);
}

Test(probe, an_agent_without_a_card_answers_all_the_same)
{
    struct scene s = {.status = 404, .stop_at_ups = 1};

    scene_open(&s, true);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert_eq(s.cards, 0);
    fake_lock(f);
    cr_assert_geq(s.requests, 2, "both paths");
    fake_unlock(f);
    fake_free(f);
    scene_close(&s);
}

Test(probe, what_is_no_card_is_not_handed_on)
{
    struct scene s = {.body = "[1]", .stop_at_ups = 1};

    scene_open(&s, true);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert_eq(s.cards, 0);
    fake_free(f);
    scene_close(&s);
}

Test(probe, an_answer_that_never_ends_is_a_sign_of_life)
{
    struct scene s = {.action = FAKE_CUT, .stop_at_ups = 1, .timeout_ms = 100};

    scene_open(&s, false);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert(probe_status(s.probe)->is_up);
    fake_free(f);
    scene_close(&s);
}

Test(probe, an_agent_on_a_tcp_port_is_asked_there)
{
    struct scene s = {.body = "{\"name\":\"tcp\"}", .stop_at_ups = 1, .stop_at_cards = 1};
    struct fake *f = fake_open(play, &s);
    char text[64];
    struct endpoint at;

    scene_open(&s, true);
    (void)snprintf(text, sizeof(text), "http://localhost:%u", (unsigned)fake_port(f));
    cr_assert_eq(endpoint_parse(slice_of(text), &at, NULL), 0);
    s.at = at; /* borrowed by the probe */
    probe_start(s.probe);
    loop_run(s.loop);
    cr_assert_str_eq(s.card, "{\"name\":\"tcp\"}");
    fake_free(f);
    scene_close(&s);
}

Test(probe, a_closed_socket_is_said_to_be_one_and_found_when_it_opens)
{
    struct scene s = {0};

    scene_open(&s, true);
    cr_assert_eq(chmod(s.dir, 0755), 0);
    struct fake *f = fake_open_unix(s.path, play, &s);

    cr_assert_eq(chmod(s.path, 0600), 0);
    if (geteuid() == 0) /* root may connect to anything */
        cr_assert_eq(seteuid(65534), 0);
    else
        cr_assert_eq(chmod(s.path, 0), 0);
    probe_start(s.probe);
    run_until_a_miss(&s, NULL);
    const struct probe_status *status = probe_status(s.probe);

    cr_assert(status->is_blocked);
    cr_assert_not_null(strstr(status->reason, s.path), "%s", status->reason);
    cr_assert_not_null(strstr(status->reason, "Permission denied"), "%s", status->reason);
    cr_assert_not_null(strstr(status->reason, "mode 0"), "%s", status->reason);
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(chmod(s.path, 0666), 0);
    s.stop_at_ups = 1;
    s.stop_at_downs = 0;
    loop_run(s.loop);
    cr_assert(status->is_up);
    cr_assert_not(status->is_blocked);
    fake_free(f);
    scene_close(&s);
}

Test(probe, sentences_name_the_socket_the_cause_and_the_fix)
{
    struct scene s = {0};
    char text[512];

    scene_open(&s, true);
    agent_connect_error(&s.at, ENOENT, text, sizeof(text));
    cr_assert_not_null(strstr(text, s.path), "%s", text);
    cr_assert_not_null(strstr(text, "MOLECULE_AGENT_SOCKET"), "%s", text);

    struct fake *f = fake_open_unix(s.path, play, &s);
    cr_assert_eq(chmod(s.path, 0600), 0);
    agent_connect_error(&s.at, EACCES, text, sizeof(text));
    cr_assert_not_null(strstr(text, "mode 0600"), "%s", text);
    cr_assert_not_null(strstr(text, "owner"), "%s", text);
    cr_assert_not_null(strstr(text, "chmod g+w"), "%s", text);
    fake_free(f);
    (void)unlink(s.path);
    FILE *plain = fopen(s.path, "w");
    cr_assert_not_null(plain);
    (void)fclose(plain);
    agent_connect_error(&s.at, ECONNREFUSED, text, sizeof(text));
    cr_assert_not_null(strstr(text, "something else than a socket"), "%s", text);
    cr_assert_not_null(strstr(text, "agent.address"), "%s", text);
    cr_assert_eq(unlink(s.path), 0);

    struct endpoint nowhere;
    cr_assert_eq(endpoint_parse(SLICE("unix:/no/such/dir/agent.sock"), &nowhere, NULL), 0);
    agent_connect_error(&nowhere, ENOENT, text, sizeof(text));
    cr_assert_not_null(strstr(text, "/no/such/dir does not exist"), "%s", text);
    scene_close(&s);
}

Test(probe, asking_at_once_is_bounded_and_does_nothing_when_stopped)
{
    struct scene s = {.stop_at_ups = 1, .interval_ms = NO_INTERVAL_MS};

    scene_open(&s, false);
    struct fake *f = fake_open_unix(s.path, play, &s);
    probe_now(s.probe);
    cr_assert_not(s.probe == NULL);
    probe_start(s.probe);
    loop_run(s.loop);
    probe_stop(s.probe);
    cr_assert_not(probe_status(s.probe)->is_up);
    cr_assert_not(probe_status(s.probe)->has_answered, "the next one has not");
    int before = s.requests;
    for (int i = 0; i < 100; i++)
        probe_now(s.probe);
    fake_free(f); /* its threads are joined */
    cr_assert_eq(s.requests, before);
    scene_close(&s);
}

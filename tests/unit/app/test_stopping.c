/* The stop phases on a real loop with short times: order, early ends, second and third TERM, the
 * cap, the way back from a drain. */
#include "app/stopping.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct scene {
    struct loop *loop;
    struct stopping s;
    char said[256]; /* the callbacks in order, a letter each */
    bool has_work;
    bool agent_is_gone;
    bool nothing_to_serve;
    bool finish_answers;
    int64_t grace_ms; /* 0 = 200 */
    int64_t delay_ms;
    int64_t agent_grace_ms;
    struct timer script;
    struct timer guard;
};

/* Of a stop that ends before: on a busy machine everything is late, and the cap is one. */
enum { NO_CAP_MS = 3600 * 1000 };

static void say(struct scene *c, const char *what)
{
    cr_assert_lt(strlen(c->said) + strlen(what), sizeof(c->said));
    strncat(c->said, what, sizeof(c->said) - strlen(c->said) - 1);
}

static int64_t drain_delay(void *arg)
{
    return ((struct scene *)arg)->delay_ms;
}
static void drain_begins(void *arg)
{
    say(arg, "D");
}
static void becomes_final(void *arg)
{
    say(arg, "f");
}
static void delay_ends(void *arg)
{
    say(arg, "d");
}
static void refuse_begins(void *arg)
{
    say(arg, "R");
}
static bool has_work(void *arg)
{
    return ((struct scene *)arg)->has_work;
}
static void drain_late(void *arg)
{
    say(arg, "L");
}
static bool nothing_to_serve(void *arg)
{
    return ((struct scene *)arg)->nothing_to_serve;
}
static void parked(void *arg)
{
    struct scene *c = arg;

    say(c, "P");
    if (c->delay_ms < 0)
        loop_stop(c->loop);
}
static void resumed(void *arg)
{
    struct scene *c = arg;

    say(c, "B");
    loop_stop(c->loop);
}
static void agent_stop(void *arg, int64_t grace_ms)
{
    struct scene *c = arg;

    c->agent_grace_ms = grace_ms;
    say(c, "T");
}
static void agent_kill(void *arg)
{
    struct scene *c = arg;

    say(c, "K");
    c->agent_is_gone = true;
    stopping_changed(&c->s);
}
static bool agent_is_gone(void *arg)
{
    return ((struct scene *)arg)->agent_is_gone;
}
static void finish(void *arg, int64_t budget_ms)
{
    struct scene *c = arg;

    (void)budget_ms;
    say(c, "F");
    if (c->finish_answers)
        stopping_finished(&c->s);
}
static void over(void *arg)
{
    struct scene *c = arg;

    say(c, "O");
    loop_stop(c->loop);
}

static const struct stopping_ops ops = {
    .drain_delay = drain_delay,
    .drain_begins = drain_begins,
    .becomes_final = becomes_final,
    .delay_ends = delay_ends,
    .refuse_begins = refuse_begins,
    .has_work = has_work,
    .drain_late = drain_late,
    .nothing_to_serve = nothing_to_serve,
    .parked = parked,
    .resumed = resumed,
    .agent_stop = agent_stop,
    .agent_kill = agent_kill,
    .agent_is_gone = agent_is_gone,
    .finish = finish,
    .over = over,
};

static void on_guard(struct timer *t)
{
    struct scene *c = t->arg;

    cr_assert_fail("did not end in time; so far %s", c->said);
}

static void scene_open(struct scene *c, enum stop_order order)
{
    const struct budget b = {.grace = c->grace_ms ? c->grace_ms : 200,
                             .drain_delay = 20,
                             .drain_timeout = 60,
                             .agent_grace = order == STOP_SIGNAL_FIRST ? 160 : 60,
                             .reserve = 40};

    cr_assert_eq(loop_new(&c->loop, NULL), 0);
    c->finish_answers = true;
    stopping_init(&c->s, c->loop, &b, order, &ops, c);
    timer_start(&c->guard, c->loop, loop_now_ms(c->loop) + 120000, on_guard, c);
}

static void scene_close(struct scene *c)
{
    timer_stop(&c->guard);
    timer_stop(&c->script);
    stopping_release(&c->s);
    loop_free(c->loop);
}

Test(stopping, idle_with_a_willing_agent_passes_every_phase_at_once)
{
    struct scene c = {.agent_is_gone = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRTFO");
    scene_close(&c);
}

Test(stopping, delay_is_kept_even_when_idle)
{
    struct scene c = {.agent_is_gone = true, .delay_ms = 30, .grace_ms = NO_CAP_MS};

    scene_open(&c, STOP_DRAIN_FIRST);
    int64_t begun = loop_now_ms(c.loop);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "D");
    loop_run(c.loop);
    cr_assert_str_eq(c.said, "DdRTFO");
    cr_assert_geq(loop_now_ms(c.loop) - begun, 30);
    scene_close(&c);
}

Test(stopping, delay_is_skipped_when_there_is_no_agent_left_to_serve)
{
    struct scene c = {.agent_is_gone = true, .delay_ms = 30, .nothing_to_serve = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DTFO");
    scene_close(&c);
}

Test(stopping, work_holds_the_drain_until_its_time_is_up)
{
    struct scene c = {.agent_is_gone = true, .has_work = true, .grace_ms = NO_CAP_MS};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DR");
    loop_run(c.loop);
    cr_assert_str_eq(c.said, "DRLTFO");
    scene_close(&c);
}

Test(stopping, work_that_finishes_ends_the_drain)
{
    struct scene c = {.agent_is_gone = true, .has_work = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_stop(&c.s);
    c.has_work = false;
    stopping_changed(&c.s);
    cr_assert_str_eq(c.said, "DRTFO");
    scene_close(&c);
}

Test(stopping, second_term_skips_to_the_agent_and_a_third_kills)
{
    struct scene c = {.has_work = true, .delay_ms = 30};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_stop(&c.s);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DT");
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DTKFO");
    scene_close(&c);
}

/* In a turn of the loop the clock stands still, and times are exact. */
static void stop_in_a_turn(struct timer *t)
{
    struct scene *c = t->arg;

    stopping_stop(&c->s);
    cr_assert_eq(c->s.cap_timer.at_ms - loop_now_ms(c->loop), 200,
                 "whatever happens, the end is planned for then");
    cr_assert_eq(c->agent_grace_ms, 60);
}

Test(stopping, an_agent_that_stays_is_killed_at_the_cap_and_the_sum_is_kept)
{
    struct scene c = {0};

    scene_open(&c, STOP_DRAIN_FIRST);
    timer_start(&c.script, c.loop, 0, stop_in_a_turn, &c);
    loop_run(c.loop);
    cr_assert_str_eq(c.said, "DRTKFO");
    scene_close(&c);
}

Test(stopping, a_platform_that_does_not_answer_the_last_beat_ends_with_the_reserve)
{
    struct scene c = {.agent_is_gone = true, .grace_ms = NO_CAP_MS};

    scene_open(&c, STOP_DRAIN_FIRST);
    c.finish_answers = false;
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRTF");
    loop_run(c.loop);
    cr_assert_str_eq(c.said, "DRTFO");
    scene_close(&c);
}

static void signal_in_a_turn(struct timer *t)
{
    struct scene *c = t->arg;

    stopping_stop(&c->s);
    cr_assert_str_eq(c->said, "DT");
    cr_assert_eq(c->agent_grace_ms, 160);
    c->agent_is_gone = true;
    c->nothing_to_serve = true;
    stopping_changed(&c->s);
}

Test(stopping, signal_first_signals_at_once_with_all_but_the_reserve)
{
    struct scene c = {.has_work = true, .delay_ms = 30};

    scene_open(&c, STOP_SIGNAL_FIRST);
    timer_start(&c.script, c.loop, 0, signal_in_a_turn, &c);
    loop_run(c.loop);
    cr_assert_str_eq(c.said, "DTFO");
    scene_close(&c);
}

Test(stopping, a_drain_waits_for_term_and_the_clock_is_not_started_again)
{
    struct scene c = {.agent_is_gone = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_drain(&c.s);
    cr_assert_str_eq(c.said, "DRP");
    int64_t started = c.s.started_ms;
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRPfTFO");
    cr_assert_eq(c.s.started_ms, started);
    scene_close(&c);
}

Test(stopping, a_drain_without_term_goes_back_when_the_grace_is_over)
{
    struct scene c = {0};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_drain(&c.s);
    loop_run(c.loop);
    cr_assert_str_eq(c.said, "DRPB");
    cr_assert_eq(c.s.phase, PHASE_NONE);
    scene_close(&c);
}

Test(stopping, a_new_agent_calls_a_drain_off_but_never_a_stop)
{
    struct scene c = {.has_work = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_drain(&c.s);
    stopping_resume(&c.s);
    cr_assert_str_eq(c.said, "DRB");
    stopping_stop(&c.s);
    stopping_resume(&c.s);
    cr_assert_str_eq(c.said, "DRBDR");
    scene_close(&c);
}

Test(stopping, the_agents_own_end_during_a_drain_is_final)
{
    struct scene c = {.agent_is_gone = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_drain(&c.s);
    stopping_end(&c.s);
    cr_assert_str_eq(c.said, "DRPfTFO");
    scene_close(&c);
}

Test(stopping, a_term_during_a_drain_is_the_first_one_and_lets_it_finish)
{
    struct scene c = {.agent_is_gone = true, .has_work = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_drain(&c.s);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRf", "said to be the end, and the work goes on");
    c.has_work = false;
    stopping_changed(&c.s);
    cr_assert_str_eq(c.said, "DRfTFO");
    scene_close(&c);
}

Test(stopping, what_a_drain_has_used_is_gone_from_the_agents_time)
{
    struct scene c = {.has_work = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    stopping_drain(&c.s);
    c.s.started_ms -= 130; /* so long ago */
    stopping_stop(&c.s);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRfT");
    cr_assert_leq(c.agent_grace_ms, 30, "200 - 130 - 40 of the reserve");
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRfTKFO");
    scene_close(&c);
}

Test(stopping, signal_first_signals_during_a_drain_that_turns_out_to_be_the_end)
{
    struct scene c = {.has_work = true, .delay_ms = 30};

    scene_open(&c, STOP_SIGNAL_FIRST);
    stopping_drain(&c.s);
    cr_assert_str_eq(c.said, "D", "a drain alone ends nobody");
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DfT");
    scene_close(&c);
}

Test(stopping, a_third_term_does_not_wait_for_the_last_words)
{
    struct scene c = {.agent_is_gone = true};

    scene_open(&c, STOP_DRAIN_FIRST);
    c.finish_answers = false;
    stopping_stop(&c.s);
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRTF", "a second one skips what comes before");
    stopping_stop(&c.s);
    cr_assert_str_eq(c.said, "DRTFO");
    scene_close(&c);
}

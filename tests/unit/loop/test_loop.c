#include "loop/loop.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "log/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct err err;

static void setup(void)
{
    cr_assert_eq(loop_new(&loop, &err), 0, "%s", err.msg);
}

static void teardown(void)
{
    loop_free(loop);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 300);

/* What is to come by itself: a busy machine may take its time. And what is not to come. */
enum { PATIENCE_MS = 60000, NEVER_MS = 3600 * 1000 };

static void pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

static void stop_by_timer(struct timer *t)
{
    loop_stop(t->loop);
}

/* Run for some time, or until something else stops the loop. */
static void run_ms(int64_t ms)
{
    struct timer t = {0};

    timer_start(&t, loop, loop_now_ms(loop) + ms, stop_by_timer, NULL);
    loop_run(loop);
    timer_stop(&t);
}

/* ---- timers ---- */

struct probe {
    struct timer timer;
    struct probe *other;
    int fired;
    int order;
    int64_t at_ms;
    int64_t fired_ms;
};
static int order;

static void on_probe(struct timer *t)
{
    struct probe *p = t->arg;

    p->fired++;
    p->order = ++order;
    p->fired_ms = loop_now_ms(t->loop);
}

Test(loop, timers_fire_in_order_and_never_early)
{
    struct probe p[6] = {0};
    static const int after[6] = {30, 10, 20, 10, 0, -5};
    int64_t turns, now = loop_now_ms(loop);

    for (int i = 0; i < 6; i++) {
        p[i].at_ms = now + after[i];
        timer_start(&p[i].timer, loop, p[i].at_ms, on_probe, &p[i]);
    }
    turns = loop_turns(loop);
    run_ms(50);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(p[i].fired, 1);
        cr_assert_geq(p[i].fired_ms, p[i].at_ms);
        cr_assert_not(p[i].timer.armed);
    }
    cr_assert_lt(p[5].order, p[4].order);
    cr_assert_lt(p[4].order, p[1].order);
    cr_assert_lt(p[1].order, p[3].order, "equal times: in the order of their start");
    cr_assert_lt(p[3].order, p[2].order);
    cr_assert_lt(p[2].order, p[0].order);
    cr_assert_leq(loop_turns(loop) - turns, 12, "waiting must not spin");
}

static void restart_in_past(struct timer *t)
{
    struct probe *p = t->arg;

    if (++p->fired < 5)
        timer_start(t, t->loop, 0, restart_in_past, p);
    else
        loop_stop(t->loop);
    p->fired_ms = loop_turns(t->loop);
}

Test(loop, a_timer_restarted_for_the_past_fires_in_the_next_turn)
{
    struct probe p = {0};
    int64_t turns = loop_turns(loop);

    timer_start(&p.timer, loop, 0, restart_in_past, &p);
    run_ms(PATIENCE_MS);
    cr_assert_eq(p.fired, 5);
    cr_assert_geq(p.fired_ms - turns, 4, "one per turn, or a bad time stops everything");
}

static void stop_other(struct timer *t)
{
    struct probe *p = t->arg;

    p->fired++;
    timer_stop(&p->other->timer);
}

Test(loop, a_timer_stopped_by_another_one_of_the_same_turn_does_not_fire)
{
    struct probe a = {0}, b = {0};

    a.other = &b;
    b.other = &a;
    timer_start(&a.timer, loop, 0, stop_other, &a);
    timer_start(&b.timer, loop, 0, stop_other, &b);
    run_ms(10);
    cr_assert_eq(a.fired + b.fired, 1);
}

Test(loop, restarting_moves_a_timer)
{
    struct probe p = {0};
    int64_t now = loop_now_ms(loop);

    timer_start(&p.timer, loop, now + 1, on_probe, &p);
    timer_start(&p.timer, loop, now + NEVER_MS, on_probe, &p);
    run_ms(15);
    cr_assert_eq(p.fired, 0);
    timer_start(&p.timer, loop, now + 1, on_probe, &p);
    run_ms(5);
    cr_assert_eq(p.fired, 1);
    timer_stop(&p.timer);
    timer_stop(&p.timer);
}

/* ---- deadline classes ---- */

struct waiting {
    struct deadline deadline;
    int expired;
    int order;
    struct waiting *stops;
};
static struct deadline_class class;

static void on_deadline(struct deadline *d, void *arg)
{
    struct waiting *w = container_of(d, struct waiting, deadline);

    cr_assert_eq(arg, &order);
    cr_assert_geq(loop_now_ms(loop), d->at_ms);
    w->expired++;
    w->order = ++order;
    if (w->stops)
        deadline_stop(&class, &w->stops->deadline);
}

Test(loop, deadlines_expire_in_the_order_of_their_start)
{
    struct waiting w[4] = {0};

    deadline_class_init(&class, loop, 15, on_deadline, &order);
    for (int i = 0; i < 4; i++)
        deadline_start(&class, &w[i].deadline);
    deadline_stop(&class, &w[0].deadline); /* the class's timer was armed for this one */
    deadline_stop(&class, &w[0].deadline);
    deadline_start(&class, &w[1].deadline); /* again, from now: last */
    w[2].stops = &w[3];
    run_ms(60);
    cr_assert_eq(w[0].expired, 0);
    cr_assert_eq(w[3].expired, 0, "stopped by its neighbour");
    cr_assert_eq(w[1].expired, 1);
    cr_assert_eq(w[2].expired, 1);
    cr_assert_lt(w[2].order, w[1].order);
    deadline_class_release(&class);
}

Test(loop, a_class_of_no_duration_never_expires)
{
    struct waiting w = {0};

    deadline_class_init(&class, loop, 0, on_deadline, &order);
    deadline_start(&class, &w.deadline);
    cr_assert_not(w.deadline.armed);
    run_ms(5);
    cr_assert_eq(w.expired, 0);
    deadline_class_release(&class);
}

Test(loop, a_class_with_another_duration_moves_what_waits_and_keeps_the_order)
{
    enum { LONG_MS = 3600 * 1000, SHORT_MS = 10 };
    struct waiting w[3] = {0};
    int64_t first_ms;

    deadline_class_init(&class, loop, LONG_MS, on_deadline, &order);
    deadline_start(&class, &w[0].deadline);
    deadline_start(&class, &w[1].deadline);
    first_ms = w[0].deadline.at_ms;
    deadline_class_set(&class, 2 * LONG_MS);
    cr_assert_eq(w[0].deadline.at_ms, first_ms + LONG_MS);
    deadline_class_set(&class, 0); /* what waits keeps its time, nothing new waits */
    cr_assert_eq(w[0].deadline.at_ms, first_ms + LONG_MS);
    deadline_start(&class, &w[2].deadline);
    cr_assert_not(w[2].deadline.armed);
    deadline_class_set(&class, 2 * LONG_MS);
    cr_assert_eq(w[0].deadline.at_ms, first_ms + LONG_MS);
    deadline_class_set(&class, 0);
    deadline_class_set(&class, SHORT_MS);
    cr_assert_eq(w[0].deadline.at_ms, first_ms - LONG_MS + SHORT_MS);
    deadline_start(&class, &w[2].deadline);
    run_ms(60);
    cr_assert(w[0].expired == 1 && w[1].expired == 1 && w[2].expired == 1);
    cr_assert(w[0].order < w[1].order && w[1].order < w[2].order);
    deadline_class_release(&class);
}

/* The class's timer is still armed for one that has gone. */
Test(loop, a_class_that_nothing_waits_in_can_become_shorter)
{
    enum { LONG_MS = 3600 * 1000, SHORT_MS = 10 };
    struct waiting w = {0};

    deadline_class_init(&class, loop, LONG_MS, on_deadline, &order);
    deadline_start(&class, &w.deadline);
    deadline_stop(&class, &w.deadline);
    deadline_class_set(&class, SHORT_MS);
    deadline_start(&class, &w.deadline);
    run_ms(60);
    cr_assert_eq(w.expired, 1);
    deadline_class_release(&class);
}

/* ---- watches ---- */

struct end {
    struct watch watch;
    struct end *other;
    int fd;
    int calls;
    int events;
};

static void note(struct watch *w, int events)
{
    struct end *e = w->arg;

    e->calls++;
    e->events |= events;
}

static void read_one(struct watch *w, int events)
{
    char c;

    note(w, events);
    cr_assert_eq(read(w->fd, &c, 1), 1);
    if (c == '.')
        loop_stop(w->loop);
}

Test(loop, watches_are_level_triggered)
{
    struct end e = {0};
    int fds[2];

    pair(fds);
    cr_assert_eq(watch_start(&e.watch, loop, fds[0], WATCH_READ, read_one, &e), 0);
    cr_assert(watch_is_active(&e.watch));
    cr_assert_eq(write(fds[1], "ab.", 3), 3);
    loop_run(loop);
    cr_assert_eq(e.calls, 3);
    cr_assert_eq(e.events, WATCH_READ);
    watch_stop(&e.watch);
    watch_stop(&e.watch);
    cr_assert_not(watch_is_active(&e.watch));
    close(fds[0]);
    close(fds[1]);
}

Test(loop, interests_can_change_at_any_time)
{
    struct end e = {0};
    int fds[2];

    pair(fds);
    cr_assert_eq(watch_start(&e.watch, loop, fds[0], 0, note, &e), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    run_ms(5);
    cr_assert_eq(e.calls, 0, "nothing was asked for");
    watch_set(&e.watch, WATCH_WRITE);
    run_ms(2);
    cr_assert_eq(e.events, WATCH_WRITE);
    watch_set(&e.watch, WATCH_READ);
    e.events = 0;
    run_ms(2);
    cr_assert_eq(e.events, WATCH_READ);
    watch_set(&e.watch, 0);
    e.calls = 0;
    {
        int64_t turns = loop_turns(loop);

        run_ms(10);
        cr_assert_eq(e.calls, 0);
        cr_assert_leq(loop_turns(loop) - turns, 8, "an interest nobody has costs one turn at most");
    }
    watch_set(&e.watch, WATCH_READ);
    run_ms(2);
    cr_assert_gt(e.calls, 0);
    watch_stop(&e.watch);
    close(fds[0]);
    close(fds[1]);
}

Test(loop, a_hang_up_is_told_when_asked_for)
{
    struct end e = {0};
    int fds[2];

    pair(fds);
    cr_assert_eq(watch_start(&e.watch, loop, fds[0], WATCH_HANGUP, note, &e), 0);
    run_ms(2);
    cr_assert_eq(e.calls, 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    shutdown(fds[1], SHUT_WR);
    run_ms(2);
    cr_assert_eq(e.events, WATCH_HANGUP);
    watch_stop(&e.watch);
    close(fds[0]);
    close(fds[1]);
}

static void read_then_fail(struct watch *w, int events)
{
    char c;

    note(w, events);
    cr_assert(read(w->fd, &c, 1) < 1);
    if (++((struct end *)w->arg)->calls > 4)
        loop_stop(w->loop);
}

Test(loop, an_error_shows_as_the_interests_and_goes_on_being_told)
{
    struct end e = {0};
    int fds[2];

    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    close(fds[0]); /* the writing end of a pipe without a reader: POLLERR */
    cr_assert_eq(watch_start(&e.watch, loop, fds[1], WATCH_WRITE, read_then_fail, &e), 0);
    loop_run(loop);
    cr_assert_eq(e.events, WATCH_WRITE);
    watch_stop(&e.watch);
    close(fds[1]);
}

static void stop_itself(struct watch *w, int events)
{
    struct end *e = w->arg;

    note(w, events);
    watch_stop(w);
    close(e->fd);
    memset(e, 0xA5, sizeof(*e)); /* as freed memory would look */
    free(e);
}

Test(loop, a_watch_may_stop_and_free_itself)
{
    struct end *e = calloc(1, sizeof(*e));
    int fds[2];

    pair(fds);
    e->fd = fds[0];
    cr_assert_eq(watch_start(&e->watch, loop, fds[0], WATCH_READ, stop_itself, e), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    run_ms(5);
    close(fds[1]);
}

static void stop_both(struct watch *w, int events)
{
    struct end *e = w->arg;
    struct end *other = e->other;

    note(w, events);
    watch_stop(&other->watch);
    close(other->fd);
    other->fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the number is taken again at once */
    watch_stop(w);
}

Test(loop, a_watch_stopped_by_another_one_of_the_same_turn_does_not_fire)
{
    for (int round = 0; round < 50; round++) {
        struct end e[2] = {0};
        int fds[2][2];

        for (int i = 0; i < 2; i++) {
            pair(fds[i]);
            e[i].fd = fds[i][0];
            e[i].other = &e[1 - i];
            cr_assert_eq(watch_start(&e[i].watch, loop, fds[i][0], WATCH_READ, stop_both, &e[i]),
                         0);
            cr_assert_eq(write(fds[i][1], "x", 1), 1);
        }
        run_ms(1);
        cr_assert_eq(e[0].calls + e[1].calls, 1);
        for (int i = 0; i < 2; i++) {
            close(e[i].fd);
            close(fds[i][1]);
        }
    }
}

static void note_and_stop(struct watch *w, int events)
{
    note(w, events);
    loop_stop(w->loop);
}

static void replace(struct watch *w, int events)
{
    struct end *e = w->arg;

    note(w, events);
    watch_stop(w);
    close(e->fd);
    e->fd = e->other->fd;
    cr_assert_eq(watch_start(w, loop, e->fd, WATCH_WRITE, note_and_stop, e), 0);
}

Test(loop, a_watch_may_move_to_another_descriptor_in_its_callback)
{
    struct end e = {0}, spare = {0};
    int fds[2], more[2];

    pair(fds);
    pair(more);
    e.fd = fds[0];
    e.other = &spare;
    spare.fd = more[0];
    cr_assert_eq(watch_start(&e.watch, loop, e.fd, WATCH_READ, replace, &e), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    run_ms(PATIENCE_MS);
    cr_assert_eq(e.events, WATCH_READ | WATCH_WRITE);
    watch_stop(&e.watch);
    close(more[0]);
    close(more[1]);
    close(fds[1]);
}

Test(loop, what_cannot_be_watched_is_refused)
{
    struct watch w = {0};
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    char dir[] = "/tmp/test_loop.XXXXXX";
    int file = mkstemp(dir);

    unlink(dir);
    cr_assert_eq(watch_start(&w, loop, -1, WATCH_READ, note, NULL), -EBADF);
    cr_assert_lt(watch_start(&w, loop, file, WATCH_READ, note, NULL), 0, "a regular file");
    cr_assert_not(watch_is_active(&w));
    close(file);
    close(fd);
}

Test(loop, running_out_of_descriptors_is_not_fatal)
{
    struct rlimit limit = {0, 0}, old;
    struct end e = {0};
    struct probe p = {0};
    struct loop *second = NULL;
    int fds[2];

    pair(fds);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit.rlim_max = old.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_lt(open("/dev/null", O_RDONLY), 0);
    cr_assert_eq(watch_start(&e.watch, loop, fds[0], WATCH_WRITE, note, &e), 0);
    timer_start(&p.timer, loop, loop_now_ms(loop) + 2, on_probe, &p);
    run_ms(5);
    cr_assert_gt(e.calls, 0);
    cr_assert_eq(p.fired, 1);
    cr_assert_lt(loop_new(&second, &err), 0);
    cr_assert_gt(strlen(err.msg), 10);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    watch_stop(&e.watch);
    close(fds[0]);
    close(fds[1]);
}

/* ---- deferred work ---- */

struct later {
    struct deferred deferred;
    int runs;
    int again;
    bool stops; /* the loop, when it is over */
    int64_t turn;
};

static void on_later(struct deferred *d)
{
    struct later *l = container_of(d, struct later, deferred);

    l->runs++;
    l->turn = loop_turns(loop);
    if (l->again-- > 0)
        loop_defer(loop, d, on_later);
    else if (l->stops)
        loop_stop(loop);
}

static void defer_twice(struct timer *t)
{
    struct later *l = t->arg;

    loop_defer(t->loop, &l->deferred, on_later);
    loop_defer(t->loop, &l->deferred, on_later);
    cr_assert_eq(l->runs, 0, "not before the caller has returned");
    l->turn = loop_turns(t->loop);
}

Test(loop, deferred_work_runs_once_at_the_end_of_the_turn)
{
    struct later l = {0};
    struct timer t = {0};

    timer_start(&t, loop, 0, defer_twice, &l);
    run_ms(3);
    cr_assert_eq(l.runs, 1);
}

Test(loop, work_deferred_by_deferred_work_waits_for_the_next_turn_without_a_pause)
{
    struct later l = {.again = 100, .stops = true};
    int64_t turns = loop_turns(loop);

    loop_defer(loop, &l.deferred, on_later);
    run_ms(PATIENCE_MS); /* a pause would last until that timer */
    cr_assert_eq(l.runs, 101);
    cr_assert_geq(l.turn - turns, 100);
}

Test(loop, what_is_deferred_runs_even_when_the_loop_does_not_any_more)
{
    struct later l = {0};

    loop_defer(loop, &l.deferred, on_later);
    loop_free(loop);
    loop = NULL;
    cr_assert_eq(l.runs, 1);
}

/* ---- the turn ---- */

static void note_now(struct watch *w, int events)
{
    int64_t now = loop_now_ms(w->loop), from = clock_mono_ms();

    note(w, events);
    while (clock_mono_ms() < from + 3) {
        /* time passes */
    }
    cr_assert_eq(loop_now_ms(w->loop), now, "one reading per turn");
    loop_stop(w->loop);
}

Test(loop, the_clock_stands_still_within_a_turn)
{
    struct end e = {0};
    int fds[2];

    pair(fds);
    cr_assert_eq(watch_start(&e.watch, loop, fds[0], WATCH_WRITE, note_now, &e), 0);
    loop_run(loop);
    watch_stop(&e.watch);
    close(fds[0]);
    close(fds[1]);
}

enum { LOG_LINES = 3000 }; /* more than a pipe holds, less than the log's own buffer */

static void log_much(struct timer *t)
{
    (void)t;
    for (int i = 0; i < LOG_LINES; i++)
        log_info("test", "a line that helps to fill the pipe, number %d", i);
}

static int drained_lines;

static void drain(struct watch *w, int events)
{
    char buf[65536];
    ssize_t n = read(w->fd, buf, sizeof(buf));

    (void)events;
    for (ssize_t i = 0; i < n; i++)
        drained_lines += buf[i] == '\n';
    if (drained_lines >= LOG_LINES)
        loop_stop(w->loop);
}

Test(loop, the_log_is_written_as_stderr_takes_it)
{
    struct timer t = {0};
    struct watch w = {0};
    int64_t turns;
    int fds[2];

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    timer_start(&t, loop, 0, log_much, NULL);
    run_ms(10);
    turns = loop_turns(loop);
    run_ms(30);
    cr_assert_leq(loop_turns(loop) - turns, 6, "a full stderr must not make the loop spin");
    cr_assert_eq(watch_start(&w, loop, fds[0], WATCH_READ, drain, NULL), 0);
    run_ms(PATIENCE_MS);
    cr_assert_eq(drained_lines, LOG_LINES);
    watch_stop(&w);
}

static size_t readable(int fd)
{
    int n = 0;

    cr_assert_eq(ioctl(fd, FIONREAD, &n), 0);
    return (size_t)n;
}

static int log_end = -1;

static void log_info_again(struct timer *t)
{
    size_t before = readable(log_end);

    log_info("test", "gathered");
    cr_assert_eq(readable(log_end), before, "not written by the caller");
    timer_stop(t);
}

static void log_a_warning(struct timer *t)
{
    (void)t;
    log_warning("test", "pressing");
}

Test(loop, the_log_is_gathered_under_load_but_for_warnings)
{
    struct timer first = {0}, second = {0}, third = {0};
    size_t after_first;
    int fds[2];

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    log_end = fds[0];
    log_init(LOG_INFO, LOG_FORMAT_TEXT);
    timer_start(&first, loop, 0, log_info_again, NULL);
    run_ms(1);
    after_first = readable(log_end);
    cr_assert_gt(after_first, 0, "the first line does not wait");
    timer_start(&second, loop, 0, log_info_again, NULL);
    run_ms(40);
    cr_assert_eq(readable(log_end), 2 * after_first, "the second waits for some milliseconds");
    timer_start(&third, loop, 0, log_a_warning, NULL);
    run_ms(0);
    run_ms(0);
    cr_assert_gt(readable(log_end), 2 * after_first);
    close(log_end);
}

/*
 * What the journal costs: messages that go seen, delivered, answering, answered, as many at a time
 * as the argument says, and how long the loop is kept from its timers meanwhile.
 *
 *   bench_journal DIR [SECONDS]
 *
 * One line per number of messages at a time: ops and messages a second, commits a second and what
 * one gathers, CPU time per message, the loop's longest turn in CPU time of its thread (others may
 * have the processor: the same in time of the clock stands behind it).
 */
#include "store/journal.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PARALLEL_MAX = 2048, TICK_MS = 1, STEPS = 4 };

struct work {
    struct bench *b;
    struct journal_message m;
};

struct bench {
    struct loop *loop;
    struct journal *journal;
    struct timer tick;
    int64_t tick_due_us, late_us, turn_cpu_us, turn_us, end_ms;
    unsigned parallel, busy, next;
    uint64_t messages, ops;
    struct work work[PARALLEL_MAX];
};

static void begin(struct work *w);

static void on_set(void *arg, int code)
{
    struct work *w = arg;

    if (code != 0)
        abort();
    w->b->ops++;
    if (w->m.state == JOURNAL_ANSWERED) {
        w->b->messages++;
        journal_message_release(&w->m);
        begin(w);
        return;
    }
    w->m.state++;
    if (journal_set(w->b->journal, &w->m, NULL, on_set, w) < 0)
        abort();
}

static void on_added(void *arg, int code, struct journal_message *v, size_t n)
{
    struct work *w = arg;

    if (code != 0 || n != 1 || v[0].seq == 0)
        abort();
    w->m.seq = v[0].seq;
    w->m.answer = strdup("An answer as agents give them, some lines of text for a person to read, "
                         "two hundred bytes or so, which is what a chat is made of most of the "
                         "time; the rest is longer.");
    on_set(w, 0);
}

static char *text(const char *before, unsigned n)
{
    char buf[64];

    (void)snprintf(buf, sizeof(buf), "%s%u", before, n);
    return strdup(buf);
}

static void begin(struct work *w)
{
    struct bench *b = w->b;
    unsigned n = b->next++;

    if (clock_mono_ms() >= b->end_ms) {
        if (--b->busy == 0)
            loop_stop(b->loop);
        return;
    }
    w->m = (struct journal_message){.state = JOURNAL_SEEN, .created_us = 1 + n};
    (void)snprintf(w->m.row_id, sizeof(w->m.row_id), "00000000-0000-4000-8000-%012u", n);
    w->m.message_id = text("message-", n);
    w->m.conversation = text("conversation-", n % 100);
    w->m.request = calloc(1, 1024);
    if (!w->m.message_id || !w->m.conversation || !w->m.request)
        abort();
    memset(w->m.request, 'r', 1023);
    if (journal_add(b->journal, &w->m, 1, NULL, on_added, w) < 0)
        abort();
}

static int64_t thread_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void on_tick(struct timer *t)
{
    struct bench *b = t->arg;
    int64_t now_us = clock_mono_us(), cpu_now_us = thread_us();

    if (now_us - b->tick_due_us > b->late_us)
        b->late_us = now_us - b->tick_due_us;
    if (cpu_now_us - b->turn_cpu_us > b->turn_us)
        b->turn_us = cpu_now_us - b->turn_cpu_us;
    b->turn_cpu_us = cpu_now_us;
    b->tick_due_us = now_us + (int64_t)TICK_MS * 1000;
    timer_start(t, b->loop, loop_now_ms(b->loop) + TICK_MS, on_tick, b);
}

static double cpu_us(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return 1e6 * (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void run(struct bench *b, unsigned parallel, int64_t ms)
{
    const struct journal_status *s = journal_status(b->journal);
    uint64_t commits = s->commits, writes = s->writes;
    double began_cpu = cpu_us(), seconds;
    int64_t began_us = clock_mono_us();

    b->messages = b->ops = 0;
    b->late_us = b->turn_us = 0;
    b->parallel = b->busy = parallel;
    b->end_ms = clock_mono_ms() + ms;
    b->tick_due_us = began_us + (int64_t)TICK_MS * 1000;
    for (unsigned i = 0; i < parallel; i++) {
        b->work[i].b = b;
        begin(&b->work[i]);
    }
    b->turn_cpu_us = thread_us(); /* the beginning of all at once is the caller's */
    timer_start(&b->tick, b->loop, loop_now_ms(b->loop) + TICK_MS, on_tick, b);
    loop_run(b->loop);
    timer_stop(&b->tick);
    seconds = (double)(clock_mono_us() - began_us) / 1e6;
    s = journal_status(b->journal);
    commits = s->commits - commits;
    writes = s->writes - writes;
    printf("%5u at a time: %8.0f ops/s %7.0f messages/s %6.0f commits/s of %6.1f ops, "
           "%5.1f us CPU/message, longest turn %.1f ms CPU, timer %.1f ms late\n",
           parallel, (double)b->ops / seconds, (double)b->messages / seconds,
           (double)commits / seconds, commits ? (double)writes / (double)commits : 0,
           b->messages ? (cpu_us() - began_cpu) / (double)b->messages : 0,
           (double)b->turn_us / 1000, (double)b->late_us / 1000);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static const unsigned parallel[] = {1, 4, 16, 64, 256, 1024, 2048};
    static struct bench b;
    struct journal_options o = {0};
    struct store *store = NULL;
    struct err err = {0};
    int64_t ms = argc > 2 ? 1000 * strtol(argv[2], NULL, 10) : 3000;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_journal DIR [SECONDS]\n");
        return 2;
    }
    o.dir = argv[1];
    if (loop_new(&b.loop, &err) < 0 || store_new(b.loop, &store, &err) < 0 ||
        journal_open(b.loop, store, &o, &b.journal, &err) < 0) {
        fprintf(stderr, "bench_journal: %s\n", err.msg);
        return 1;
    }
    for (size_t i = 0; i < sizeof(parallel) / sizeof(parallel[0]); i++)
        run(&b, parallel[i], ms);
    printf("worst commit %lld ms\n", (long long)journal_status(b.journal)->commit_worst_ms);
    journal_close(b.journal);
    store_free(store);
    loop_free(b.loop);
    return 0;
}

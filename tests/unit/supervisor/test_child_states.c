/*
 * All states that the child can get into, found by trying everything that may happen in each of
 * them: what we are asked to do at any moment, and what a kernel may do. An empty cell of the table
 * is right exactly when nothing here ever asks for it; and from everywhere the way out is only a
 * matter of time.
 */
#include "supervisor/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    NOW_MS = 1000000, /* each state is moved back to this time, so that equal ones are equal */
    GRACE_MS = 100,
    START_TIMEOUT_MS = 500,
    NODES_MAX = 20000,
    BUCKETS = 65536,
    FAILURES_SEEN_MAX = 3, /* without a limit on failures, more of them make no difference */
    WAY_OUT_MAX = 50,      /* events */
};

/* ---- one state of everything ---- */

enum process {
    NO_PROCESS = 0,
    NOT_FORKED,   /* the spawn failed; its EXEC_FAILED is due now, before any timer */
    EXEC_UNKNOWN, /* forked */
    RUNS,
};

struct node {
    struct child child;
    enum process process;
    bool has_ended; /* on_ended was called */
    int from;       /* index of the node before; -1 = the first */
    char how[48];   /* the event that led here */
};

static struct node nodes[NODES_MAX];
static int next_in_bucket[NODES_MAX], buckets[BUCKETS];
static int node_count;
static size_t transitions, ways_out;
static bool possible[CHILD_STATE_COUNT][CHILD_EVENT_COUNT];

static struct child_rules rules;
static struct node *here; /* the one that an event is being told to */
static bool fork_fails;
static int64_t deadline_ms, step_ms; /* as the timers are set */

/* How a node came about, and the end. */
__attribute__((noreturn, format(printf, 2, 3))) static void fail_at(const struct node *n,
                                                                    const char *fmt, ...)
{
    char path[4096] = "";
    char what[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    for (const struct node *at = n; at; at = at->from >= 0 ? &nodes[at->from] : NULL) {
        char longer[sizeof(path)];

        (void)snprintf(longer, sizeof(longer), "%s %s", at->how, path);
        memcpy(path, longer, sizeof(path));
    }
    cr_assert(false, "%s, in state %s, after: %s", what, child_state_name(n->child.state), path);
    abort();
}

static pid_t op_spawn(void *arg)
{
    (void)arg;
    here->process = fork_fails ? NOT_FORKED : EXEC_UNKNOWN;
    return fork_fails ? 0 : 4711;
}

static void op_signal(void *arg, int signo)
{
    (void)arg;
    (void)signo;
}

static void op_set_deadline(void *arg, int64_t at_ms)
{
    (void)arg;
    deadline_ms = at_ms;
}

static void op_set_step(void *arg, int64_t at_ms)
{
    (void)arg;
    step_ms = at_ms;
}

static void on_ended(void *arg, const struct child_exit *last)
{
    (void)arg;
    if (here->has_ended)
        fail_at(here, "ended twice");
    if ((last != NULL) != here->child.has_exited)
        fail_at(here, "told of a wrong exit");
    here->has_ended = true;
}

static const struct supervisor_callbacks report = {.on_ended = on_ended};
static const struct child_ops ops = {.spawn = op_spawn,
                                     .signal_group = op_signal,
                                     .signal_rest = op_signal,
                                     .set_deadline = op_set_deadline,
                                     .set_step = op_set_step,
                                     .report = &report};

/* ---- what may happen ---- */

struct happening {
    enum child_event ev;
    struct child_input in;
    bool fork_fails;
    const char *name;
};

static const struct err failure = {.code = -ENOENT, .msg = "cannot exec x"};

#define BOTH_FORKS(ev_, name_)                                                                     \
    {.ev = (ev_), .name = name_},                                                                  \
    {                                                                                              \
        .ev = (ev_), .fork_fails = true, .name = name_ "(no fork)"                                 \
    }
static const struct happening happenings[] = {
    BOTH_FORKS(CHILD_EV_START, "START"),
    {.ev = CHILD_EV_EXEC_OK, .name = "EXEC_OK"},
    {.ev = CHILD_EV_EXEC_FAILED, .in = {.failure = &failure}, .name = "EXEC_FAILED"},
    {.ev = CHILD_EV_EXEC_FAILED,
     .in = {.failure = &failure, .is_permanent = true},
     .name = "EXEC_FAILED(for good)"},
    {.ev = CHILD_EV_READY, .name = "READY"},
    {.ev = CHILD_EV_UNREADY, .name = "UNREADY"},
    {.ev = CHILD_EV_STOP, .name = "STOP(0)"},
    {.ev = CHILD_EV_STOP, .in = {.grace_ms = GRACE_MS}, .name = "STOP"},
    {.ev = CHILD_EV_RESTART, .name = "RESTART(0)"},
    {.ev = CHILD_EV_RESTART, .in = {.grace_ms = GRACE_MS}, .name = "RESTART"},
    {.ev = CHILD_EV_KILL, .name = "KILL"},
    {.ev = CHILD_EV_EXIT, .in = {.wait_status = 0}, .name = "EXIT(0)"},
    {.ev = CHILD_EV_EXIT, .in = {.wait_status = SIGSEGV}, .name = "EXIT(SEGV)"},
    {.ev = CHILD_EV_EMPTY, .name = "EMPTY"},
    {.ev = CHILD_EV_STEP, .name = "STEP"},
    BOTH_FORKS(CHILD_EV_DEADLINE, "DEADLINE"),
};
enum { HAPPENINGS = sizeof(happenings) / sizeof(happenings[0]) };

/*
 * What supervisor.c can tell in this state. Requests come at any time. A spawn that failed before
 * the fork is told by a timer that is due at once, so no later one comes before it. Of two timers
 * the earlier one fires first, of two for the same time either may.
 */
static bool may_happen(const struct node *n, enum child_event ev)
{
    const struct child *c = &n->child;

    switch (ev) {
    case CHILD_EV_START:
    case CHILD_EV_READY:
    case CHILD_EV_UNREADY:
    case CHILD_EV_STOP:
    case CHILD_EV_RESTART:
    case CHILD_EV_KILL:
        return true;
    case CHILD_EV_EXEC_OK:
        return n->process == EXEC_UNKNOWN;
    case CHILD_EV_EXEC_FAILED:
        return n->process == EXEC_UNKNOWN || n->process == NOT_FORKED;
    case CHILD_EV_EXIT:
        return n->process == RUNS;
    case CHILD_EV_EMPTY: /* asked for in these two only */
        return n->process == NO_PROCESS &&
               (c->state == CHILD_CLEANING || c->state == CHILD_KILLING);
    case CHILD_EV_STEP:
        return n->process != NOT_FORKED && c->steps.next_ms != 0 &&
               c->steps.next_ms <= c->deadline_ms;
    case CHILD_EV_DEADLINE:
        return n->process != NOT_FORKED && c->deadline_ms != 0 &&
               (c->steps.next_ms == 0 || c->deadline_ms <= c->steps.next_ms);
    }
    return false;
}

static void shift(int64_t *at_ms, int64_t by_ms)
{
    if (*at_ms != 0)
        *at_ms -= by_ms;
}

/* Truths about every state. */
static void check(const struct node *n)
{
    const struct child *c = &n->child;
    enum child_state s = c->state;
    bool has_process = n->process == EXEC_UNKNOWN || n->process == RUNS;

    if (c->deadline_ms != deadline_ms || c->steps.next_ms != step_ms)
        fail_at(n, "the timers are not what it thinks");
    if (step_ms != 0 && s != CHILD_STOPPING && s != CHILD_RESTARTING)
        fail_at(n, "a signal of the stop sequence is due");
    if (step_ms > deadline_ms)
        fail_at(n, "a signal is due after KILL");
    if ((c->pid > 0) != has_process)
        fail_at(n, "pid %d", (int)c->pid);
    if (has_process &&
        (s == CHILD_DOWN || s == CHILD_BACKOFF || s == CHILD_CLEANING || s == CHILD_ENDED))
        fail_at(n, "a process in a state that has none");
    if (n->has_ended != (s == CHILD_ENDED))
        fail_at(n, "on_ended and the state do not agree");
    /* who waits without a deadline: for us, for an agent that serves, or for exec */
    if (deadline_ms == 0 && n->process != NOT_FORKED && s != CHILD_DOWN && s != CHILD_ENDED &&
        !(has_process && (s == CHILD_STARTING || s == CHILD_READY ||
                          (s == CHILD_SPAWNING &&
                           (rules.start_timeout_ms == 0 || !rules.start_timeout_restarts)))))
        fail_at(n, "waits for ever");
}

/* Tells it; the time is then NOW_MS again. Returns how much of it has passed. */
static int64_t happen(struct node *n, const struct happening *h)
{
    struct child_input in = h->in;
    struct child *c = &n->child;
    int64_t passed;

    (void)snprintf(n->how, sizeof(n->how), "%s", h->name);
    if (!child_cell_is_filled(c->state, h->ev))
        fail_at(n, "an empty cell is asked for");
    in.now_ms = h->ev == CHILD_EV_STEP       ? c->steps.next_ms
                : h->ev == CHILD_EV_DEADLINE ? c->deadline_ms
                                             : NOW_MS;
    here = n;
    fork_fails = h->fork_fails;
    deadline_ms = c->deadline_ms;
    step_ms = c->steps.next_ms;
    if (h->ev == CHILD_EV_EXEC_OK)
        n->process = RUNS;
    if (h->ev == CHILD_EV_EXIT || h->ev == CHILD_EV_EXEC_FAILED)
        n->process = NO_PROCESS;
    child_dispatch(c, h->ev, &in);
    if (c->state == CHILD_ENDED)
        n->process = NO_PROCESS; /* one that hangs in the kernel is an orphan like others now */
    check(n);
    passed = in.now_ms - NOW_MS;
    shift(&c->deadline_ms, passed);
    shift(&c->steps.next_ms, passed);
    shift(&c->steps.end_ms, passed);
    return passed;
}

/* ---- the search ---- */

/* What decides about the future; the rest of a child only remembers. */
static void key_of(const struct node *n, int64_t key[11])
{
    const struct child *c = &n->child;

    key[0] = c->state;
    key[1] = n->process;
    key[2] = c->deadline_ms;
    key[3] = (int64_t)c->steps.next;
    key[4] = c->steps.next_ms;
    key[5] = c->steps.end_ms;
    key[6] = c->failures < FAILURES_SEEN_MAX ? c->failures : FAILURES_SEEN_MAX;
    key[7] = c->spawned_total > 0;
    key[8] = c->restart_counts;
    key[9] = c->has_exited;
    key[10] = c->steps.seq != NULL;
}

static void add(const struct node *n)
{
    int64_t key[11], other[11];
    uint64_t hash = 14695981039346656037U;
    int *bucket;

    key_of(n, key);
    for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++)
        hash = (hash ^ (uint64_t)key[i]) * 1099511628211U;
    bucket = &buckets[(hash ^ hash >> 32) % BUCKETS];
    for (int i = *bucket; i >= 0; i = next_in_bucket[i]) {
        key_of(&nodes[i], other);
        if (memcmp(key, other, sizeof(key)) == 0)
            return;
    }
    cr_assert_lt(node_count, NODES_MAX, "more states than anybody thought");
    nodes[node_count] = *n;
    next_in_bucket[node_count] = *bucket;
    *bucket = node_count++;
}

/* That request, and from then on nothing but time: over after at most so long. */
static void check_way_out(const struct node *from, int from_index, const char *request,
                          int64_t within_ms)
{
    struct node n = *from;
    int64_t passed = 0;

    n.from = from_index;
    for (int i = 0; i < WAY_OUT_MAX && n.child.state != CHILD_ENDED; i++) {
        const struct happening *next = NULL;

        for (size_t k = 0; k < HAPPENINGS && !next; k++) {
            const struct happening *h = &happenings[k];
            bool is_time = h->ev == CHILD_EV_STEP || h->ev == CHILD_EV_DEADLINE ||
                           (h->ev == CHILD_EV_EXEC_FAILED && n.process == NOT_FORKED);

            if (i == 0 ? strcmp(h->name, request) == 0 : is_time && may_happen(&n, h->ev))
                next = h;
        }
        if (!next)
            fail_at(&n, "after %s nothing comes any more", request);
        passed += happen(&n, next);
    }
    if (n.child.state != CHILD_ENDED || passed > within_ms)
        fail_at(&n, "after %s: still there after %lld ms", request, (long long)passed);
    ways_out++;
}

static void explore(void)
{
    struct node first = {.from = -1, .how = "(new)"};

    node_count = 0;
    memset(buckets, -1, sizeof(buckets));
    child_init(&first.child, &rules, &ops, NULL);
    add(&first);
    for (int i = 0; i < node_count; i++) {
        for (size_t k = 0; k < HAPPENINGS; k++) {
            struct node n = nodes[i];

            if (!may_happen(&n, happenings[k].ev))
                continue;
            possible[n.child.state][happenings[k].ev] = true;
            n.from = i;
            (void)happen(&n, &happenings[k]);
            transitions++;
            add(&n);
        }
        check_way_out(&nodes[i], i, "STOP", GRACE_MS + CHILD_KILL_WAIT_MS);
        check_way_out(&nodes[i], i, "KILL", CHILD_KILL_WAIT_MS);
    }
}

static const struct stop_sequence sequences[] = {
    {.v = {{SIGTERM, STOP_WAIT_REST}}, .n = 1},
    {.v = {{SIGUSR1, 40}, {SIGTERM, STOP_WAIT_REST}}, .n = 2},
    {.v = {{SIGUSR1, 40}, {SIGINT, 300}, {SIGTERM, 40}}, .n = 3},
};

static void for_all_rules(void (*fn)(void))
{
    for (int when = 0; when < 3; when++) {
        for (int i = 0; i < 8; i++) {
            for (size_t s = 0; s < sizeof(sequences) / sizeof(sequences[0]); s++) {
                rules = (struct child_rules){
                    /* no back-off: its jitter would make each state a new one */
                    .restart = {.when = (enum restart_when)when, .max_failures = i & 1 ? 2 : 0},
                    .start_timeout_ms = i & 2 ? START_TIMEOUT_MS : 0,
                    .start_timeout_restarts = i & 4,
                    .stop = sequences[s],
                };
                fn();
            }
        }
    }
}

static size_t all_nodes;

static void explore_and_count(void)
{
    explore();
    all_nodes += (size_t)node_count;
}

TestSuite(child_states, .timeout = 300);

Test(child_states, every_reachable_cell_is_filled_and_no_other)
{
    for_all_rules(explore_and_count);
    for (int s = 0; s < CHILD_STATE_COUNT; s++) {
        for (int ev = 0; ev < CHILD_EVENT_COUNT; ev++)
            cr_assert_eq(child_cell_is_filled((enum child_state)s, (enum child_event)ev),
                         possible[s][ev], "%s, event %d: %s", child_state_name((enum child_state)s),
                         ev, possible[s][ev] ? "empty, and it happens" : "filled for nothing");
    }
    (void)fprintf(stderr, "%zu states, %zu transitions, %zu ways out, under 72 sets of rules\n",
                  all_nodes, transitions, ways_out);
    cr_assert_gt(all_nodes, 1000);
}

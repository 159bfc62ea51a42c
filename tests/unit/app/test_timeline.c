/* What `plan` prints: the timeline by order and sequence, and what contradicts it. */
#include "app/surroundings.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct str out;

static void load(struct config_case *k)
{
    struct budget b;

    case_load(k);
    cr_assert_eq(k->rc, 0, "%s", case_sentences(k));
    cr_assert_eq(budget_compute(k->config, &b, NULL), 0);
    str_truncate(&out, 0);
    budget_print(&b, k->config, &out);
}

static void expect_row(const char *from, const char *to, const char *what)
{
    struct slice rest = str_slice(&out), line, a, b;

    while (slice_next(&rest, '\n', &line)) {
        struct slice text = line;

        if (!slice_next(&text, ' ', &a))
            continue;
        text = slice_trim(text);
        if (!slice_next(&text, ' ', &b))
            continue;
        if (slice_eq(a, slice_of(from)) && slice_eq(b, slice_of(to)) &&
            slice_starts_with(slice_trim(text), slice_of(what)))
            return;
    }
    cr_assert_fail("no row %s %s %s in\n%s", from, to, what, str_z(&out));
}

static void fini(void)
{
    str_release(&out);
}

TestSuite(timeline, .fini = fini);

Test(timeline, a_sequence_has_a_row_per_signal)
{
    struct config_case k = {
        .args = {"--stop-grace=60s", "--stop-signal", "USR1 wait 20s, TERM wait 10s, KILL"},
        .command = {"./agent"}};

    load(&k);
    expect_row("0s", "0s", "drain delay");
    expect_row("0s", "28s", "drain:");
    expect_row("28s", "48s", "agent: SIGUSR1 to its process group");
    expect_row("48s", "58s", "agent: SIGTERM to the same, then SIGKILL");
    expect_row("58s", "1m", "reserve");
    case_release(&k);
}

Test(timeline, signal_first_runs_beside_the_drain)
{
    struct config_case k = {
        .args = {"--stop-grace=30s", "--stop-order=signal-first", "--stop-drain-delay=5s"},
        .command = {"./agent"}};

    load(&k);
    expect_row("0s", "28s", "agent: SIGTERM to its process group, then SIGKILL");
    expect_row("0s", "5s", "drain delay");
    expect_row("5s", "28s", "drain:");
    expect_row("28s", "30s", "reserve");
    case_release(&k);
}

Test(timeline, without_a_command_it_says_what_a_stop_does_to_the_agent)
{
    struct config_case off = {.args = {"--stop-grace=30s"}};
    struct config_case set = {.args = {"--stop-grace=30s", "--stop-agent-grace=5s"}};
    struct config_case none = {.env = {"KUBERNETES_SERVICE_HOST=10.0.0.1"},
                               .args = {"--agent-protocol=none"}};
    struct config_case pod = {.env = {"KUBERNETES_SERVICE_HOST=10.0.0.1"}};
    struct config_case wait = {.args = {"--stop-grace=30s", "--stop-peer=wait"}};

    load(&off);
    expect_row("0s", "28s", "drain:");
    expect_row("28s", "28s", "agent: not ours to stop (no command, stop.peer off)");
    expect_row("28s", "30s", "reserve");
    load(&set);
    expect_row("23s", "23s",
               "agent: not ours to stop (no command, stop.peer off); 5s are left to who does it");
    load(&none);
    expect_row("28s", "28s", "agent: not ours to stop (no command, agent.protocol none)");
    load(&pod);
    expect_row("18s", "28s", "agent: SIGTERM to its process, or waiting for its socket to go");
    load(&wait);
    expect_row("18s", "28s", "agent: waiting for its socket to go");
    case_release(&off);
    case_release(&set);
    case_release(&none);
    case_release(&pod);
    case_release(&wait);
}

/* ---- refusals ---- */

static void expect_refused(const char *const *args, const char *words)
{
    struct config_case k = {.command = {"./agent"}};

    for (size_t i = 0; args[i]; i++)
        k.args[i] = args[i];
    case_load(&k);
    cr_assert_lt(k.rc, 0, "%s", words);
    cr_assert(case_has_error(&k, words), "\"%s\" is not in: %s", words, case_sentences(&k));
    case_release(&k);
}

#define REFUSED(words, ...) expect_refused((const char *const[]){__VA_ARGS__, NULL}, words)

Test(timeline, sums_that_cannot_be_are_refused_with_places)
{
    REFUSED("the waits of stop.signal (flag --stop-signal) = 30s, which is more than stop.grace "
            "10s (default",
            "--stop-signal=USR1 wait 20s, TERM wait 10s, KILL");
    REFUSED("the waits of stop.signal (flag --stop-signal) add up to 30s, which is more than "
            "stop.agent_grace 20s (flag --stop-agent-grace); make them shorter, or agent_grace "
            "longer, or leave it out",
            "--stop-grace=60s", "--stop-agent-grace=20s",
            "--stop-signal=USR1 wait 20s, TERM wait 10s");
    REFUSED("which leaves nothing for the last signal", "--stop-grace=60s",
            "--stop-agent-grace=20s", "--stop-signal=USR1 wait 20s, TERM");
    REFUSED("stop.drain_timeout (flag --stop-drain-timeout) + the waits of stop.signal (flag "
            "--stop-signal) = 35s, which is more than stop.grace 30s",
            "--stop-grace=30s", "--stop-drain-timeout=15s", "--stop-signal=TERM wait 20s");
    REFUSED("the waits of stop.signal (flag --stop-signal) + stop.reserve (flag --stop-reserve) = "
            "31s, which is more than stop.grace 30s",
            "--stop-grace=30s", "--stop-order=signal-first", "--stop-reserve=1s",
            "--stop-signal=TERM wait 30s");
}

Test(timeline, waits_of_signals_that_nobody_gets_are_no_part_of_the_sum)
{
    struct config_case k = {.args = {"--stop-grace=10s", "--stop-signal=USR1 wait 10s, TERM"}};
    struct config_case both = {
        .args = {"--stop-grace=10s", "--stop-drain-timeout=6s", "--stop-agent-grace=6s"}};

    load(&k);
    expect_row("8s", "8s", "agent: not ours to stop");
    case_load(&both);
    cr_assert_lt(both.rc, 0, "what was set must fit, needed or not");
    case_release(&k);
    case_release(&both);
}

Test(timeline, signal_first_may_have_both_at_once)
{
    struct config_case k = {.args = {"--stop-grace=30s", "--stop-order=signal-first",
                                     "--stop-drain-timeout=25s", "--stop-signal=TERM wait 25s"},
                            .command = {"./agent"}};

    load(&k);
    expect_row("0s", "25s", "agent: SIGTERM");
    expect_row("0s", "25s", "drain:");
    case_release(&k);
}

/* ---- surroundings ---- */

static const char *warnings(struct config_case *k, const struct unit_facts *unit)
{
    struct budget b;

    if (!k->config)
        load(k);
    cr_assert_eq(budget_compute(k->config, &b, NULL), 0);
    str_truncate(&out, 0);
    surroundings_print(&b, k->config, unit, &out);
    return str_z(&out);
}

static void expect_says(const char *text, const char *words)
{
    cr_assert_not_null(strstr(text, words), "\"%s\" is not in \"%s\"", words, text);
}

Test(timeline, the_kubelets_time_is_compared)
{
    struct unit_facts none = {.stop_ms = 90000};
    struct config_case k = {.args = {"--stop-grace=60s"}, .command = {"./agent"}};

    (void)unsetenv("TERMINATION_GRACE_PERIOD_SECONDS");
    cr_assert_str_eq(warnings(&k, &none), "");
    (void)setenv("TERMINATION_GRACE_PERIOD_SECONDS", "30", 1);
    expect_says(warnings(&k, &none), "set terminationGracePeriodSeconds to at least 60");
    (void)setenv("TERMINATION_GRACE_PERIOD_SECONDS", "120", 1);
    expect_says(warnings(&k, &none), "we use less than the pod is given");
    (void)setenv("TERMINATION_GRACE_PERIOD_SECONDS", "60", 1);
    cr_assert_str_eq(warnings(&k, &none), "");
    case_release(&k);
}

Test(timeline, systemds_time_is_compared)
{
    struct unit_facts u = {.name = "x.service", .is_known = true, .stop_ms = 20000, .place = "P"};
    struct config_case k = {.args = {"--stop-grace=60s"}, .command = {"./agent"}};

    (void)unsetenv("TERMINATION_GRACE_PERIOD_SECONDS");
    expect_says(warnings(&k, &u), "warning: stop.grace is 1m but systemd kills x.service after 20s "
                                  "(TimeoutStopSec, P); set TimeoutStopSec=60");
    u.has_notify = true;
    expect_says(warnings(&k, &u), "note: ");
    expect_says(str_z(&out), "EXTEND_TIMEOUT_USEC");
    u.stop_ms = -1;
    cr_assert_str_eq(warnings(&k, &u), "");
    u.is_known = false;
    expect_says(warnings(&k, &u), "TimeoutStopSec of x.service cannot be read");
    case_release(&k);
}

Test(timeline, a_pod_without_a_drain_hook_is_warned)
{
    struct unit_facts none = {0};
    struct config_case k = {.env = {"KUBERNETES_SERVICE_HOST=10.0.0.1"}};
    struct config_case hook = {.env = {"KUBERNETES_SERVICE_HOST=10.0.0.1"},
                               .args = {"--admin-drain-path=/drain/0123456789abcdef"}};

    expect_says(warnings(&k, &none), "admin.drain_path is off");
    cr_assert_null(strstr(warnings(&hook, &none), "drain_path"));
    case_release(&k);
    case_release(&hook);
}

Test(timeline, an_agent_killed_before_the_drain_is_over_is_warned)
{
    struct unit_facts none = {0};
    struct config_case k = {
        .args = {"--stop-grace=30s", "--stop-order=signal-first", "--stop-agent-grace=5s"},
        .command = {"./agent"}};

    expect_says(warnings(&k, &none), "the agent is killed 5s after the first signal, while "
                                     "requests may be in flight until 28s");
    case_release(&k);
}

/* ---- unit files ---- */

Test(timeline, times_are_read_as_systemd_writes_them)
{
    static const struct {
        const char *text;
        int64_t ms; /* -2 = refused */
    } rows[] = {
        {"90", 90000},       {"5min 20s", 320000},  {"1h", 3600000},
        {"500ms", 500},      {"2min200ms", 120200}, {"infinity", -1},
        {"0", -1},           {" 20 s ", 20000},     {"", -2},
        {"soon", -2},        {"5 parsecs", -2},     {"-5", -2},
        {"99999999999", -2}, {"1.5s", -2},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = -2;
        int rc = unit_time_parse(slice_of(rows[i].text), &ms);

        cr_assert_eq(rc == 0 ? ms : -2, rows[i].ms, "%s: %lld", rows[i].text, (long long)ms);
    }
}

/* Each directory of the path that is missing. */
static void make_dirs(struct config_case *k, const char *path)
{
    for (size_t n = 1; n <= strlen(path); n++) {
        char full[512];

        if (path[n] != '/' && path[n] != '\0')
            continue;
        (void)snprintf(full, sizeof(full), "%s%.*s", k->root, (int)n, path);
        (void)mkdir(full, 0755);
    }
}

Test(timeline, the_unit_is_the_one_of_our_cgroup_and_its_last_word_counts)
{
    struct config_case k = {0};
    struct unit_facts u;

    case_prepare(&k);
    make_dirs(&k, "/proc/self");
    make_dirs(&k, "/usr/lib/systemd/system");
    make_dirs(&k, "/etc/systemd/system/side@a.service.d");
    unit_facts_read(k.root, &u);
    cr_assert_str_eq(u.name, "", "no /proc/self/cgroup");

    case_make(&k, "/proc/self/cgroup", "1:name=systemd:/\n0::/system.slice/side@a.service/x\n");
    unit_facts_read(k.root, &u);
    cr_assert_str_eq(u.name, "side@a.service");
    cr_assert_not(u.is_known);

    case_make(&k, "/usr/lib/systemd/system/side@.service",
              "[Unit]\nTimeoutStopSec=1\n[Service]\n# TimeoutStopSec=2\nExecStart=/x\n");
    unit_facts_read(k.root, &u);
    cr_assert(u.is_known && u.stop_ms == 90000);
    cr_assert_str_eq(u.place, "systemd's default");

    case_make(&k, "/etc/systemd/system.conf", "[Manager]\nDefaultTimeoutStopSec=45s\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.stop_ms, 45000);

    case_make(&k, "/usr/lib/systemd/system/side@.service", "[Service]\nTimeoutSec = 1min\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.stop_ms, 60000);

    case_make(&k, "/etc/systemd/system/side@a.service.d/a.conf", "[Service]\nTimeoutStopSec=7\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.stop_ms, 7000);
    cr_assert_not_null(strstr(u.place, "a.conf"));
    cr_assert_eq(u.watchdog_ms, 0);

    case_make(&k, "/usr/lib/systemd/system/side@.service",
              "[Unit]\nWatchdogSec=1\n[Service]\nWatchdogSec=2min\nTimeoutStopSec=3\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.watchdog_ms, 120000);
    cr_assert_eq(u.stop_ms, 7000, "the drop-in still counts");
    case_make(&k, "/etc/systemd/system/side@a.service.d/b.conf", "[Service]\nWatchdogSec=20s\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.watchdog_ms, 20000);
    case_make(&k, "/etc/systemd/system/side@a.service.d/b.conf", "[Service]\nWatchdogSec=0\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.watchdog_ms, 0);
    case_make(&k, "/etc/systemd/system/side@a.service.d/b.conf", "[Service]\nWatchdogSec=\n");
    unit_facts_read(k.root, &u);
    cr_assert_eq(u.watchdog_ms, 0, "an empty one takes back what was said before");

    case_make(&k, "/proc/self/cgroup", "0::/user.slice/user@0.service/app.slice/term.scope\n");
    unit_facts_read(k.root, &u);
    cr_assert_str_eq(u.name, "", "a terminal is not a service");
    case_release(&k);
}

#include "config/signal_map.h"

#include "support/config_case.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static int add(struct signal_map *m, const char *entry, struct err *err)
{
    return signal_map_add(m, slice_of(entry), err);
}

Test(signal_map, entries_in_every_spelling)
{
    struct signal_map m = {0};
    struct err err = {0};

    cr_assert_eq(add(&m, "HUP=USR1", &err), 0, "%s", err.msg);
    cr_assert_eq(add(&m, "3:15", &err), 0, "as dumb-init writes it: %s", err.msg);
    cr_assert_eq(add(&m, "SIGWINCH = none", &err), 0, "%s", err.msg);
    cr_assert_eq(add(&m, "URG=-", &err), 0, "%s", err.msg);
    cr_assert_eq(add(&m, "USR2:0", &err), 0, "%s", err.msg);
    cr_assert_eq(add(&m, "RTMIN+1=HUP", &err), 0, "%s", err.msg);
    cr_assert_eq(add(&m, "40=RTMAX-2", &err), 0, "%s", err.msg);
    cr_assert_eq(add(&m, "USR1=KILL", &err), 0, "%s", err.msg);
    cr_expect_eq(m.to[SIGHUP], SIGUSR1);
    cr_expect_eq(m.to[SIGQUIT], SIGTERM);
    cr_expect_eq(m.to[SIGWINCH], SIGNAL_DROPPED);
    cr_expect_eq(m.to[SIGURG], SIGNAL_DROPPED);
    cr_expect_eq(m.to[SIGUSR2], SIGNAL_DROPPED);
    cr_expect_eq(m.to[SIGRTMIN + 1], SIGHUP);
    cr_expect_eq(m.to[40], SIGRTMAX - 2);
    cr_expect_eq(m.to[SIGUSR1], SIGKILL);
    cr_expect_eq(m.to[SIGCONT], 0);
}

Test(signal_map, what_cannot_be_mapped_is_refused_with_the_reason_and_the_fix)
{
    static const struct {
        const char *entry;
        const char *says;
    } wrong[] = {
        {"TERM=QUIT", "SIGTERM begins our stop and is not passed on; what the agent gets then is "
                      "stop.signal: remove the entry and set stop.signal to QUIT"},
        {"15:3", "set stop.signal to QUIT"},
        {"INT=TERM", "SIGINT begins our stop"},
        {"INT=none", "SIGINT begins our stop and is not passed on; what the agent gets then is "
                     "stop.signal: remove the entry; HUP, QUIT"},
        {"KILL=TERM", "SIGKILL cannot be caught by any process"},
        {"STOP=none", "SIGSTOP cannot be caught by any process"},
        {"CHLD=USR1", "SIGCHLD tells us that a process of ours has ended"},
        {"PIPE=USR1", "SIGPIPE is ignored here"},
        {"SEGV=USR1", "SIGSEGV is a fault"},
        {"ABRT=TERM", "SIGABRT is a fault"},
        {"HUP", "must be FROM=TO, for example HUP=USR1"},
        {"", "must be FROM=TO"},
        {"=USR1", "what stands left must be a signal"},
        {"HUP=", "what stands right must be a signal"},
        {"BOOM=USR1", "what stands left must be a signal"},
        {"32=USR1", "what stands left must be a signal"},
        {"HUP=BOOM",
         "what stands right must be a signal, for example USR1, SIGUSR1, 10 or RTMIN+1, "
         "or none"},
        {"HUP=USR1=USR2", "what stands right"},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct signal_map m = {0};
        struct err err = {0};

        cr_expect_lt(add(&m, wrong[i].entry, &err), 0, "%s", wrong[i].entry);
        cr_expect(strstr(err.msg, wrong[i].says), "%s: %s", wrong[i].entry, err.msg);
    }
}

Test(signal_map, one_entry_per_signal)
{
    struct signal_map m = {0};
    struct err err = {0};

    cr_assert_eq(add(&m, "USR1=none", &err), 0);
    cr_assert_lt(add(&m, "10=USR2", &err), 0);
    cr_expect(strstr(err.msg, "mapped by an entry before"), "%s", err.msg);
}

Test(signal_map, comes_from_every_source_and_is_checked)
{
    struct config_case yaml = {.yaml = "signals:\n  map: [HUP=USR2, '1:3', TERM=QUIT]\n",
                               .command = {"agent"}};
    struct config_case flags = {.args = {"--signals-map", "HUP=USR2", "--signals-map=USR1=none"},
                                .command = {"agent"}};
    struct config_case env = {.env = {"MOLECULE_SIDECAR_SIGNALS_MAP=HUP=USR2,USR1:0"},
                              .command = {"agent"}};
    struct config_case alone = {.args = {"--signals-map", "HUP=USR2"}};
    struct signal_map m;

    case_load(&yaml);
    cr_expect(case_has_error(&yaml, "signals.map holds 1:3 ("), "%s", case_sentences(&yaml));
    cr_expect(case_has_error(&yaml, "sidecar.yaml:2): SIGTERM begins our stop"), "%s",
              case_sentences(&yaml));
    case_load(&flags);
    cr_assert_eq(flags.rc, 0, "%s", case_sentences(&flags));
    signal_map_fill(&m, &flags.config->signals.map);
    cr_expect_eq(m.to[SIGHUP], SIGUSR2);
    cr_expect_eq(m.to[SIGUSR1], SIGNAL_DROPPED);
    case_load(&env);
    cr_assert_eq(env.rc, 0, "%s", case_sentences(&env));
    signal_map_fill(&m, &env.config->signals.map);
    cr_expect_eq(m.to[SIGHUP], SIGUSR2);
    cr_expect_eq(m.to[SIGUSR1], SIGNAL_DROPPED);
    case_load(&alone);
    cr_expect(case_has_warning(&alone, "there is no child to pass signals on to"));
    case_release(&yaml);
    case_release(&flags);
    case_release(&env);
    case_release(&alone);
}

/*
 * The rows, and their text for people. Acting on them is signal_side.c's.
 */
#include "app/signal_table.h"

#include "base/signame.h"
#include "config/signal_map.h"

#include <assert.h>
#include <signal.h>

static const char fault[] =
    "a fault of ours must strike where it happens; sent by hand it ends us, "
    "and KILL the agent; as PID 1 the kernel drops it";
static const char libc[] = "the C library's own, for its threads";

/* clang-format off: one row each */
const struct signal_row signal_rows[] = {
    {SIGHUP, SIGHUP, SIGNAL_HANGUP,
     "the agent gets it only by `signals.map`, and we act on it all the same"},
    {SIGINT, SIGINT, SIGNAL_STOP,
     "Ctrl-C, unless the agent has the terminal; ignored on entry (`&` in a script): left alone"},
    {SIGQUIT, SIGQUIT, SIGNAL_PASS_ON,
     "Ctrl-\\\\, unless the agent has the terminal; ignored on entry: left alone"},
    {SIGILL, SIGILL, SIGNAL_LEAVE, fault},
    {SIGTRAP, SIGTRAP, SIGNAL_LEAVE, fault},
    {SIGABRT, SIGABRT, SIGNAL_LEAVE,
     "as the other faults; systemd's watchdog sends it to a process that hangs"},
    {SIGBUS, SIGBUS, SIGNAL_LEAVE, fault},
    {SIGFPE, SIGFPE, SIGNAL_LEAVE, fault},
    {SIGKILL, SIGKILL, SIGNAL_LEAVE, "cannot be caught; the kernel then gives the agent KILL, too"},
    {SIGUSR1, SIGUSR1, SIGNAL_PASS_ON, ""},
    {SIGSEGV, SIGSEGV, SIGNAL_LEAVE, fault},
    {SIGUSR2, SIGUSR2, SIGNAL_PASS_ON, ""},
    {SIGPIPE, SIGPIPE, SIGNAL_LEAVE, "ignored: the write that meets the end of a pipe tells it"},
    {SIGALRM, SIGALRM, SIGNAL_PASS_ON, ""},
    {SIGTERM, SIGTERM, SIGNAL_STOP, ""},
    {SIGSTKFLT, SIGSTKFLT, SIGNAL_PASS_ON, ""},
    {SIGCHLD, SIGCHLD, SIGNAL_REAP, "the agent has its own from its own children"},
    {SIGCONT, SIGCONT, SIGNAL_CONTINUE, ""},
    {SIGSTOP, SIGSTOP, SIGNAL_LEAVE, "cannot be caught; we freeze until CONT, the agent runs on"},
    {SIGTSTP, SIGTSTP, SIGNAL_SUSPEND, "Ctrl-Z, unless the agent has the terminal"},
    {SIGTTIN, SIGTTIN, SIGNAL_SUSPEND, ""},
    {SIGTTOU, SIGTTOU, SIGNAL_SUSPEND, ""},
    {SIGURG, SIGURG, SIGNAL_PASS_ON, ""},
    {SIGXCPU, SIGXCPU, SIGNAL_LIMIT, ""},
    {SIGXFSZ, SIGXFSZ, SIGNAL_LIMIT, ""},
    {SIGVTALRM, SIGVTALRM, SIGNAL_PASS_ON, ""},
    {SIGPROF, SIGPROF, SIGNAL_PASS_ON, ""},
    {SIGWINCH, SIGWINCH, SIGNAL_PASS_ON,
     "the window's size; when the agent has the terminal the kernel tells it"},
    {SIGIO, SIGIO, SIGNAL_PASS_ON, ""},
    {SIGPWR, SIGPWR, SIGNAL_PASS_ON, ""},
    {SIGSYS, SIGSYS, SIGNAL_LEAVE, fault},
    {32, 33, SIGNAL_LEAVE, libc},
    {34, SIGNAL_MAX, SIGNAL_PASS_ON,
     "real-time signals: queued, counted, in the kernel's order, with their values"},
};
/* clang-format on */
const size_t signal_row_count = sizeof(signal_rows) / sizeof(signal_rows[0]);

static const struct {
    const char *ours;
    const char *agent;
} words[] = {
    [SIGNAL_PASS_ON] = {"pass on", "the same, or what `signals.map` says"},
    [SIGNAL_STOP] = {"stop; again: hurry; a third time: KILL", "`stop.signal`, in its phase"},
    [SIGNAL_HANGUP] = {"with a controlling terminal: stop; without: re-read the configuration",
                       "`stop.signal`, in its phase; or nothing"},
    [SIGNAL_SUSPEND] = {"pass on; when the agent has stopped, stop as well",
                        "the same; STOP with `agent.group: session`"},
    [SIGNAL_CONTINUE] = {"go on; give the agent the terminal again; pass on", "the same"},
    [SIGNAL_REAP] = {"reap every child that ended", "nothing"},
    [SIGNAL_LIMIT] = {"from the kernel (a limit of our own): log it; from others: pass on",
                      "the same, when it is passed on"},
    [SIGNAL_LEAVE] = {"left alone", "nothing"},
};
static_assert(sizeof(words) / sizeof(words[0]) == SIGNAL_ACT_COUNT, "each act has words");

const struct signal_row *signal_row_of(int number)
{
    size_t i = 0;

    assert(number >= 1 && number <= SIGNAL_MAX);
    while (number > signal_rows[i].last) {
        i++;
    }
    return &signal_rows[i];
}

bool signal_is_mappable(const struct signal_row *row)
{
    return row->act != SIGNAL_STOP && row->act != SIGNAL_REAP && row->act != SIGNAL_LEAVE;
}

void signal_table_print(struct str *out)
{
    str_addz(out, "| number | signal | what we do | what the agent gets | may be mapped | |\n"
                  "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < signal_row_count; i++) {
        const struct signal_row *row = &signal_rows[i];
        char first[SIGNAL_TEXT_MAX];

        (void)signal_text(row->first, first);
        if (row->first == row->last) {
            str_addf(out, "| %d | %s |", row->first, first);
        } else if (row->act == SIGNAL_LEAVE) {
            str_addf(out, "| %d, %d | |", row->first, row->last);
        } else {
            str_addf(out, "| %d to %d | RTMIN to RTMIN+%d |", row->first, row->last,
                     row->last - row->first);
        }
        str_addf(out, " %s | %s | %s | %s |\n", words[row->act].ours, words[row->act].agent,
                 signal_is_mappable(row) ? "yes" : "no", row->remark);
    }
}

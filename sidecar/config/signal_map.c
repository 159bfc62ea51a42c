/*
 * Reading signals.map. The signals that must not be in it are refused here, each with what to do
 * instead: an entry that silently did nothing would be found out in the worst moment.
 */
#include "config/signal_map.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/banned.h"

const char *signal_unmappable(int number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT:
        return "begins our stop and is not passed on; what the agent gets then is stop.signal";
    case SIGKILL:
    case SIGSTOP:
        return "cannot be caught by any process";
    case SIGCHLD:
        return "tells us that a process of ours has ended, and is never passed on";
    case SIGPIPE:
        return "is ignored here: a pipe's end is told by the write that meets it";
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGSYS:
        return "is a fault of this process itself and strikes where it happens";
    default:
        return NULL;
    }
}

/* stop.signal is the place for what people write as 15:3 elsewhere. */
static int refuse(int from, int to, const char *why, struct err *err)
{
    char a[SIGNAL_TEXT_MAX];
    char b[SIGNAL_TEXT_MAX];
    bool is_stop = from == SIGTERM || from == SIGINT;

    if (is_stop && to != SIGNAL_DROPPED)
        return err_set(err, -EINVAL, "SIG%s %s: remove the entry and set stop.signal to %s",
                       signal_text(from, a), why, signal_text(to, b));
    return err_set(err, -EINVAL,
                   "SIG%s %s: remove the entry; HUP, QUIT, USR1, USR2, WINCH, CONT, TSTP and "
                   "real-time signals are among those that can be mapped",
                   signal_text(from, a), why);
}

int signal_map_add(struct signal_map *m, struct slice entry, struct err *err)
{
    size_t at = 0;
    struct slice left, right;
    int from, to;

    while (at < entry.n && entry.p[at] != '=' && entry.p[at] != ':')
        at++;
    if (at == entry.n)
        return err_set(err, -EINVAL,
                       "must be FROM=TO, for example HUP=USR1, QUIT=TERM or WINCH=none");
    left = slice_trim((struct slice){entry.p, at});
    right = slice_trim((struct slice){entry.p + at + 1, entry.n - at - 1});
    from = signal_parse(left);
    if (from == 0)
        return err_set(err, -EINVAL,
                       "what stands left must be a signal, for example USR1, SIGUSR1, 10 or "
                       "RTMIN+1");
    to = slice_eq_nocase(right, SLICE("none")) || slice_eq(right, SLICE("-")) ||
                 slice_eq(right, SLICE("0"))
             ? SIGNAL_DROPPED
             : signal_parse(right);
    if (to == 0)
        return err_set(err, -EINVAL,
                       "what stands right must be a signal, for example USR1, SIGUSR1, 10 or "
                       "RTMIN+1, or none for not passing it on");
    if (signal_unmappable(from))
        return refuse(from, to, signal_unmappable(from), err);
    if (m->to[from] != 0)
        return err_set(err, -EINVAL, "that signal is mapped by an entry before; keep one of them");
    m->to[from] = to;
    return 0;
}

void signal_map_fill(struct signal_map *m, const struct string_list *entries)
{
    memset(m, 0, sizeof(*m));
    for (size_t i = 0; i < entries->n; i++)
        (void)signal_map_add(m, slice_of(entries->v[i]), NULL); /* config_load() has said it */
}

/*
 * Clearing up behind the agent.
 */
#include "supervisor/leftovers.h"

#include "base/cleanup.h"
#include "log/log.h"
#include "supervisor/reap.h"

#include <signal.h>
#include <string.h>

void leftovers_open(struct leftovers *l)
{
    const char *why = "";

    cgroup_make(&l->cgroup, &why);
    if (l->cgroup.procs_fd >= 0) {
        log_debug("supervisor", "the agent runs in a control group of its own: %s",
                  str_z(&l->cgroup.path));
    } else {
        log_debug("supervisor", "no control group of the agent's own: %s", why);
    }
}

void leftovers_release(struct leftovers *l)
{
    cgroup_release(&l->cgroup);
    descendants_told_release(&l->told);
}

void leftovers_clear(struct leftovers *l)
{
    if (l->group > 0 && reap_has_children() && descendants_are_in_group(l->group)) {
        (void)kill(-l->group, SIGKILL);
    }
    descendants_told_release(&l->told);
    l->is_cleaning = false;
}

void leftovers_started(struct leftovers *l, pid_t group)
{
    l->group = group;
}

void leftovers_signal(struct leftovers *l, int signo)
{
    int r;

    if (!reap_has_children()) {
        return;
    }
    if (signo == SIGKILL) {
        cgroup_kill(&l->cgroup);
        r = descendants_kill();
    } else {
        /* the first time around, the group has just had its TERM; who comes later has not */
        l->told.group = l->is_cleaning ? 0 : l->group;
        l->is_cleaning = true;
        r = descendants_ask(&l->told);
    }
    if (r < 0) {
        log_warning("supervisor", "cannot list the agent's descendants (/proc): %s",
                    strerrordesc_np(-r));
    }
}

void leftovers_say_survivors(struct leftovers *l)
{
    CLEANUP(str_release) struct str who = {0};

    if (l->is_end_said || !reap_has_children()) {
        return;
    }
    l->is_end_said = true;
    if (descendants_describe(&who) > 0) {
        log_warning("supervisor",
                    "what the agent left behind survives SIGKILL (it hangs in the kernel, or is "
                    "another user's): %s",
                    str_z(&who));
    }
}

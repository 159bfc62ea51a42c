/*
 * Takes note of what we were started with and hardens this process.
 */
#include "app/origin.h"

#include "base/fd.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

void origin_take(struct process_origin *ret)
{
    signals_block_all(&ret->signals);
    ret->umask = umask(077);
    (void)getrlimit(RLIMIT_NOFILE, &ret->nofile); /* cannot fail with a good pointer */
    (void)getrlimit(RLIMIT_CORE, &ret->core);
    (void)setrlimit(
        RLIMIT_CORE,
        &(struct rlimit){0, ret->core.rlim_max}); /* soft only: the child gets its own back */
    (void)fd_limit_raise();
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void origin_drop_privileges(void)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* refused only by kernels too old to matter */
}

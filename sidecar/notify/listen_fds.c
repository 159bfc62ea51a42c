/*
 * Reads LISTEN_FDS and LISTEN_FDNAMES for what belongs to the agent.
 */
#include "notify/listen_fds.h"

#include "base/fd.h"
#include "base/parse.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct slice agents_name = SLICE_INIT("agent");
static const struct slice agents_prefix = SLICE_INIT("agent-");

/* How many were handed to us; 0 when they are somebody else's. */
int listen_fds_count(void)
{
    const char *pid_text = getenv("LISTEN_PID");
    const char *count_text = getenv("LISTEN_FDS");
    int64_t pid, count;

    if (!count_text || parse_int64(slice_of(count_text), 1, LISTEN_FDS_MAX, &count) < 0) {
        return 0;
    }
    if (pid_text && (parse_int64(slice_of(pid_text), 1, INT32_MAX, &pid) < 0 || pid != getpid())) {
        return 0;
    }
    return (int)count;
}

/* The name of the descriptor of that index; empty when it has none. */
struct slice listen_fds_name(int index)
{
    const char *text = getenv("LISTEN_FDNAMES");
    struct slice name = {0};
    int at = 0;

    for (; text && at < index; at++) {
        text = strchr(text, ':');
        text = text ? text + 1 : NULL;
    }
    if (text) {
        name = (struct slice){text, strcspn(text, ":")};
    }
    return name;
}

/* Without FileDescriptorName= the manager writes the unit's own name, agent-web.socket say. */
bool listen_name_is_agents(struct slice name)
{
    if (slice_ends_with(name, SLICE(".socket")))
        return false;
    return slice_eq(name, agents_name) ||
           (name.n > agents_prefix.n && slice_starts_with(name, agents_prefix));
}

int listen_fds_of_agent(struct listen_fds *ret, struct err *err)
{
    int count = listen_fds_count();

    *ret = (struct listen_fds){0};
    for (int i = 0; i < count; i++) {
        struct slice name = listen_fds_name(i);
        int fd = LISTEN_FDS_START + i;
        int r;

        if (!listen_name_is_agents(name)) {
            continue;
        }
        r = fd_set_cloexec(fd, true);
        if (r < 0) {
            errno = -r;
            return err_set(err, r, "LISTEN_FDS names descriptor %d \"%.*s\", which is not open: %m",
                           fd, (int)name.n, name.p);
        }
        if (!slice_eq(name, agents_name)) {
            name = (struct slice){name.p + agents_prefix.n, name.n - agents_prefix.n};
        }
        str_addz(&ret->names, ret->n > 0 ? ":" : "");
        str_add(&ret->names, name);
        ret->fd[ret->n++] = fd;
    }
    return str_ok(&ret->names) ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void listen_fds_release(struct listen_fds *l)
{
    str_release(&l->names);
    *l = (struct listen_fds){0};
}

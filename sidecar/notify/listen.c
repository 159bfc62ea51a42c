/*
 * Which of the descriptors that a service manager hands over is whose (sd_listen_fds(3)).
 */
#include "notify/notify.h"

#include "base/fd.h"
#include "base/slice.h"
#include "notify/listen_fds.h"

#include <sys/socket.h>

static const char *const names[] = {
    [NOTIFY_FD_A2A] = "a2a",
    [NOTIFY_FD_ADMIN] = "admin",
    [NOTIFY_FD_KEPT] = NOTIFY_KEPT_NAME,
};
enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

static bool is_listening_stream(int fd)
{
    int type = 0;
    int listening = 0;
    socklen_t n = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM) {
        return false;
    }
    n = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening;
}

/* Without FileDescriptorName= the manager writes the name of the .socket unit: as good as none. */
static bool is_unnamed(struct slice name)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        if (slice_eq(name, slice_of(names[i]))) {
            return false;
        }
    }
    return !listen_name_is_agents(name);
}

static int take(int fd)
{
    return fd_set_cloexec(fd, true) == 0 && fd_set_nonblock(fd, true) == 0 ? fd : -1;
}

int notify_listen_fd(enum notify_fd which)
{
    int count = listen_fds_count();

    for (int i = 0; i < count; i++) {
        if (slice_eq(listen_fds_name(i), slice_of(names[which])) &&
            is_listening_stream(LISTEN_FDS_START + i)) {
            return take(LISTEN_FDS_START + i);
        }
    }
    for (int i = 0; i < count && which == NOTIFY_FD_A2A; i++) {
        if (is_unnamed(listen_fds_name(i)) && is_listening_stream(LISTEN_FDS_START + i)) {
            return take(LISTEN_FDS_START + i);
        }
    }
    return -1;
}

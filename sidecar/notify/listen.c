/*
 * Which of the descriptors that a service manager hands over is whose (sd_listen_fds(3)).
 */
#include "notify/notify.h"

#include "base/fd.h"
#include "base/parse.h"
#include "base/slice.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LISTEN_FDS_START = 3, /* sd_listen_fds(3) */
    LISTEN_FDS_MAX = 64,  /* more than anybody hands over */
};

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

/* How many were handed to us; 0 when none, or when they are another process's. */
static int count_of_fds(void)
{
    const char *pid_text = getenv("LISTEN_PID");
    const char *text = getenv("LISTEN_FDS");
    int64_t pid;
    int64_t count;

    if (pid_text && (parse_int64(slice_of(pid_text), 1, INT64_MAX, &pid) < 0 || pid != getpid())) {
        return 0;
    }
    if (!text || parse_int64(slice_of(text), 1, LISTEN_FDS_MAX, &count) < 0) {
        return 0;
    }
    return (int)count;
}

/* The index-th of the names with colons between them; empty when there are fewer. */
static struct slice name_of(int index)
{
    struct slice rest = slice_of(getenv("LISTEN_FDNAMES"));
    struct slice name = {0};

    for (int i = 0; i <= index; i++) {
        if (!slice_next(&rest, ':', &name)) {
            return (struct slice){0};
        }
    }
    return name;
}

/* Without FileDescriptorName= the manager writes the name of the .socket unit: as good as none. */
static bool is_unnamed(struct slice name)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        if (slice_eq(name, slice_of(names[i]))) {
            return false;
        }
    }
    return !slice_starts_with(name, SLICE("agent"));
}

static int take(int fd)
{
    return fd_set_cloexec(fd, true) == 0 && fd_set_nonblock(fd, true) == 0 ? fd : -1;
}

int notify_listen_fd(enum notify_fd which)
{
    int count = count_of_fds();

    for (int i = 0; i < count; i++) {
        if (slice_eq(name_of(i), slice_of(names[which])) &&
            is_listening_stream(LISTEN_FDS_START + i)) {
            return take(LISTEN_FDS_START + i);
        }
    }
    for (int i = 0; i < count && which == NOTIFY_FD_A2A; i++) {
        if (is_unnamed(name_of(i)) && is_listening_stream(LISTEN_FDS_START + i)) {
            return take(LISTEN_FDS_START + i);
        }
    }
    return -1;
}

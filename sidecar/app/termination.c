/*
 * Writing the termination message. What it says is ending.c's.
 */
#include "app/termination.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 4096 }; /* what Kubernetes reads of it */

void termination_write(const char *path, const char *text)
{
    size_t n = strlen(text);
    struct stat st;
    CLEANUP(fd_cleanup) int fd = -1;

    if (!*path) {
        return;
    }
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || ftruncate(fd, 0) < 0) {
        return;
    }
    (void)fd_write_all(fd, text, n < TEXT_MAX ? n : TEXT_MAX);
}

void termination_cannot_start(const char *path, const char *why, int status)
{
    char text[TEXT_MAX];

    (void)snprintf(text, sizeof(text), "stopped: cannot start: %s (by=sidecar, exit status %d)\n",
                   why, status);
    termination_write(path, text);
}

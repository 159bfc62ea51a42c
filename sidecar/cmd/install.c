/*
 * install DIR: this very binary into a directory, for an init container that puts it next to a
 * foreign image's agent.
 */
#include "app/exits.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] = "Usage: molecule-sidecar install DIR\n\n"
                           "Copies this program to DIR/molecule-sidecar (mode 0755), whole or not "
                           "at all. For an init container with a shared volume.\n"
                           "The copy needs the same libraries as this one (`ldd`); the static "
                           "build (`make static`) needs none.\n";

static int copy_bytes(int from, int to)
{
    struct stat st;
    off_t done = 0;

    if (fstat(from, &st) < 0) {
        return -errno;
    }
    while (done < st.st_size) {
        ssize_t n = sendfile(to, from, &done, (size_t)(st.st_size - done));

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            return -EIO;
        }
    }
    return fchmod(to, 0755) < 0 || fsync(to) < 0 ? -errno : 0;
}

int cmd_install(int argc, char **argv)
{
    CLEANUP(str_release) struct str path = {0};
    CLEANUP(str_release) struct str temporary = {0};
    CLEANUP(fd_cleanup) int from = -1;
    CLEANUP(fd_cleanup) int to = -1;
    struct cmd_args args;
    int status = cmd_args_split(argc, argv, NULL, 0, help, false, &args);
    int r;

    if (status != 0) {
        return status == CMD_DONE ? EXIT_OK : status;
    }
    if (args.word_count != 1 || args.flags[0]) {
        return cmd_fail(EXIT_USAGE, "install takes one DIR: molecule-sidecar install /shared/bin");
    }
    str_addf(&path, "%s/molecule-sidecar", args.words[0]);
    str_addf(&temporary, "%s/.molecule-sidecar.%d", args.words[0], (int)getpid());
    from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    to = from < 0
             ? -1
             : open(str_z(&temporary), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
    if (to < 0) {
        return cmd_fail(EXIT_NO, "cannot write in %s: %s", args.words[0], strerror(errno));
    }
    r = copy_bytes(from, to);
    if (r == 0 && rename(str_z(&temporary), str_z(&path)) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlink(str_z(&temporary)); /* the failure below is what counts */
        return cmd_fail(EXIT_NO, "cannot install into %s: %s", str_z(&path), strerror(-r));
    }
    (void)printf("%s\n", str_z(&path));
    return EXIT_OK;
}

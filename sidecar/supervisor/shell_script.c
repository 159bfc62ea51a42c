/*
 * Which programs are the shell's, and how it is asked to run them.
 */
#include "supervisor/shell_script.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { LOOK_BYTES = 256 }; /* of the file; on the small stack of a child in our memory */

char **shell_script_argv(char *const *argv, const char *script)
{
    size_t n = 0;
    char **ret;

    while (argv[n])
        n++;
    ret = calloc(n + 2, sizeof(*ret)); /* one more than argv, and NULL */
    if (!ret)
        return NULL;
    ret[0] = (char *)(uintptr_t)SHELL_PATH; /* execve() takes char *, and writes nothing */
    ret[1] = (char *)(uintptr_t)script;
    for (size_t i = 1; i < n; i++)
        ret[i + 1] = argv[i];
    return ret;
}

bool shell_script_is_one(const char *path)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* it hides the first line that is there */
    char head[LOOK_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n;

    if (fd < 0)
        return false; /* nor could the shell read it */
    n = read(fd, head, sizeof(head));
    (void)close(fd);
    if (n <= 0 || memchr(head, '\0', (size_t)n))
        return false;
    return !(n >= 2 && memcmp(head, "#!", 2) == 0) &&
           !(n >= 3 && memcmp(head, mark, sizeof(mark) - 1) == 0);
}

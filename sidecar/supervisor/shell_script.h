/*
 * A program without a first line that names its interpreter (#!) is the shell's: the kernel refuses
 * it with ENOEXEC, and whoever starts programs as execvp() does (POSIX; tini, dumb-init, catatonit)
 * then gives it to /bin/sh. So do we, but only what can be such a script: another machine's
 * program, an empty file and a first line that an editor has spoilt are errors with sentences of
 * their own (spawn_error.h), and not the shell's to puzzle over.
 */
#ifndef SUPERVISOR_SHELL_SCRIPT_H
#define SUPERVISOR_SHELL_SCRIPT_H

#include <stdbool.h>

#define SHELL_PATH "/bin/sh"

/*
 * {"/bin/sh", script, what follows argv[0]..., NULL}: one block, free() it; what it points to stays
 * the caller's. NULL: no memory.
 */
char **shell_script_argv(char *const *argv, const char *script);

/*
 * Text that does not begin with #!. Async-signal-safe, for the child between ENOEXEC and the next
 * exec; changes errno.
 */
bool shell_script_is_one(const char *path);

#endif

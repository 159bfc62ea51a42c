/*
 * Why exec failed, in words: which file, which interpreter, which mode, and the way out.
 */
#ifndef SUPERVISOR_SPAWN_ERROR_H
#define SUPERVISOR_SPAWN_ERROR_H

#include "base/err.h"
#include "base/user.h"

/*
 * shown        the program as the person wrote it (argv[0])
 * path         where it was found or looked for, as seen from our working directory
 * search_path  the PATH that was searched; NULL when `shown` has a slash
 * user         who it was to run as; NULL = as we are
 * errnum       what execve or the search said
 *
 * Fills err with "cannot exec <shown>: <why> (<detail and fix>)" and returns -errnum. Looks at the
 * file system; never opens anything but a regular file.
 */
int spawn_explain(const char *shown, const char *path, const char *search_path,
                  const struct user *user, int errnum, struct err *err);

#endif

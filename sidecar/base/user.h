/*
 * Another user of this system: who it is, whether we can become it, and what it may reach.
 *
 * The lookup asks the system's user database (getpwnam and relatives), which may read files or ask
 * a service: before the loop runs only. What a user may do is judged by mode bits and ownership
 * alone; access control lists are not seen.
 */
#ifndef BASE_USER_H
#define BASE_USER_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct user { /* zeroed = nobody was named */
    bool is_set;
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* owned: all of them, gid included */
    size_t group_count;
    char *name, *home, *shell; /* owned; NULL for a number that the database does not know */
};

/*
 * "user", "user:group", each a name or a number. The group defaults to the user's own; a number
 * without a row in the database needs one. Supplementary groups are the user's. 0, -ENOENT, -EINVAL
 * or -errno with a sentence. Release `ret` in every case.
 */
int user_lookup(struct slice text, struct user *ret, struct err *err);
void user_release(struct user *u);

/* Already us, so that nothing has to be changed: uid, gid and, when we are root, groups. */
bool user_is_self(const struct user *u);

/*
 * Can we start a process as that user, signal it, and hand it directories? 0, or -EPERM with a
 * sentence that names the missing right.
 */
int user_can_become(const struct user *u, struct err *err);

/* want: bits of 4 read, 2 write, 1 execute (or enter), all of which must hold. */
bool user_may(const struct user *u, const struct stat *st, unsigned want);

/*
 * May it enter `dir` (absolute) and every directory above? false: the first one that is closed to
 * it, or is missing, is written to ret_closed.
 */
bool user_may_enter(const struct user *u, const char *dir, char *ret_closed, size_t cap);

#endif

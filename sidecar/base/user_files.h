/*
 * /etc/passwd and /etc/group as files, without the name service: for the static build, in whose
 * place of use there may be no libc to load the service's modules from. What other databases know
 * (LDAP, systemd's dynamic users) is not found this way.
 *
 * The functions keep the contract of the libc functions that they stand in for, with the file's
 * path in front. They block for a read of that file; a file that is missing knows nobody.
 */
#ifndef BASE_USER_FILES_H
#define BASE_USER_FILES_H

#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/types.h>

/* getpwnam_r(3) with a name, getpwuid_r(3) with name NULL: 0 and *found or NULL, or ERANGE. */
int user_files_passwd(const char *path, const char *name, uid_t uid, struct passwd *row, char *buf,
                      size_t n, struct passwd **found);

/* getgrnam_r(3) */
int user_files_group(const char *path, const char *name, struct group *row, char *buf, size_t n,
                     struct group **found);

/* getgrouplist(3): the number of groups, or -1 when *n was too small; *n is then what is needed */
int user_files_group_list(const char *path, const char *name, gid_t gid, gid_t *groups, int *n);

#endif

/*
 * Small files, safely: read with checks, write so that no reader ever sees half of one. These
 * block: use them before the loop runs or from the storage thread.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SECRET_FILE_MAX = 4096 }; /* bytes of a token file (P section 19) */

/* Read a whole regular file of at most max_bytes. -ENOENT, -EFBIG, -errno, with a sentence. */
int file_read(const char *path, size_t max_bytes, struct str *ret, struct err *err);

/*
 * Read a secret of one line (P section 19): no symbolic link, regular, owner self or root, no group
 * or other bits, trimmed, no inner blanks or control characters. `mounted` relaxes link, owner and
 * mode for Kubernetes secret volumes and files the operator names. The caller wipes ret (str_wipe).
 * -ENOENT when missing, -EPERM with the mode/owner and the fix.
 */
int file_read_secret(const char *path, bool mounted, struct str *ret, struct err *err);

/*
 * Temporary name in the same directory, 0600-style `mode`, write, fsync, rename, fsync of the
 * directory. Unchanged content is not written.
 */
int file_write_atomic(const char *path, struct slice content, mode_t mode, struct err *err);

/* mkdir -p with `mode` for what it makes. */
int dir_make(const char *path, mode_t mode, struct err *err);

/* True if `path` is a directory we can create files in. */
bool dir_is_writable(const char *path);

#endif

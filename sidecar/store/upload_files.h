/*
 * The files of one upload on the disk: written under temporary names, all named at once at the end,
 * or none. Everything here but the name blocks: it is for the storage thread.
 *
 *   upload_files_add -> upload_files_write ... -> upload_files_commit, or upload_files_discard
 */
#ifndef STORE_UPLOAD_FILES_H
#define STORE_UPLOAD_FILES_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    UPLOAD_FILES_MAX = 32,                      /* files of one request */
    UPLOAD_DIR_BYTES_MAX = 1024 * 1024 * 1024,  /* bytes of all files in the directory */
    UPLOAD_DIR_FILES_MAX = 4096,                /* and their number */
    UPLOAD_STALE_S = 60 * 60,                   /* a temporary file so old is a crash's */
    UPLOAD_NAME_MAX = 100,                      /* bytes of a name, without our prefix */
    UPLOAD_NAME_BYTES = UPLOAD_NAME_MAX + 1,    /* with its NUL */
    UPLOAD_PATH_BYTES = 17 + UPLOAD_NAME_BYTES, /* "<16 hex digits>-<name>" with its NUL */
};

struct upload_files {
    const char *dir;    /* borrowed */
    int dir_fd;         /* -1: not opened yet */
    int fd;             /* the file being written; -1: none */
    int64_t room_bytes; /* left in the directory when it was opened */
    size_t n;
    struct {
        char name[UPLOAD_PATH_BYTES]; /* final; the temporary one is "." and this */
        bool is_named;
    } v[UPLOAD_FILES_MAX];
};

void upload_files_init(struct upload_files *f, const char *dir);

/*
 * A name for the disk out of what a client says: its last part (of a path with / or \), letters,
 * digits, '.', '-' and '_' only, no dot in front, the end of it when it is long. Never empty.
 */
void upload_safe_name(struct slice claimed, char ret[UPLOAD_NAME_BYTES]);

/* Begins a file; the one before is done. The directory is made and looked through at the first.
 * -ENOSPC when that is full; -ELOOP when it is a symbolic link, -EPERM when neither ours nor
 * root's. */
int upload_files_add(struct upload_files *f, const char *safe_name, struct err *err);
int upload_files_write(struct upload_files *f, struct slice bytes, struct err *err);
int upload_files_commit(struct upload_files *f, struct err *err);
/* Nothing of it stays, named or not. Closes all; also after a commit nobody is told of. */
void upload_files_discard(struct upload_files *f);
void upload_files_close(struct upload_files *f); /* what was committed stays */

#endif

/*
 * Goes through the rows of both files. Taking a row apart is libc's (fgetpwent_r), which needs no
 * name service for that.
 */
#include "base/user_files.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum {
    GROUP_ROW_MIN_BYTES = 4096,
    GROUP_ROW_MAX_BYTES =
        1024 * 1024, /* a group with very many members; longer rows end the list */
};

static void file_cleanup(FILE **f)
{
    if (*f)
        (void)fclose(*f); /* was only read */
}

/* "+" and "-" begin the rows that refer to NIS, not users */
static bool is_row(const char *name)
{
    return name[0] != '+' && name[0] != '-' && name[0] != '\0';
}

int user_files_passwd(const char *path, const char *name, uid_t uid, struct passwd *row, char *buf,
                      size_t n, struct passwd **found)
{
    CLEANUP(file_cleanup) FILE *f = fopen(path, "re");
    int r = 0;

    *found = NULL;
    while (f && (r = fgetpwent_r(f, row, buf, n, found)) == 0) {
        if (is_row(row->pw_name) && (name ? strcmp(row->pw_name, name) == 0 : row->pw_uid == uid))
            return 0;
    }
    *found = NULL;
    return r == ERANGE ? ERANGE : 0;
}

int user_files_group(const char *path, const char *name, struct group *row, char *buf, size_t n,
                     struct group **found)
{
    CLEANUP(file_cleanup) FILE *f = fopen(path, "re");
    int r = 0;

    *found = NULL;
    while (f && (r = fgetgrent_r(f, row, buf, n, found)) == 0) {
        if (is_row(row->gr_name) && strcmp(row->gr_name, name) == 0)
            return 0;
    }
    *found = NULL;
    return r == ERANGE ? ERANGE : 0;
}

/* The next row, in a buffer that grows as it needs to. */
static bool next_group(FILE *f, struct group *row, char **buf, size_t *cap)
{
    struct group *found = NULL;
    long at = ftell(f);
    int r;

    while ((r = *buf ? fgetgrent_r(f, row, *buf, *cap, &found) : ERANGE) == ERANGE) {
        *cap = *cap ? *cap * 4 : GROUP_ROW_MIN_BYTES;
        if (*cap > GROUP_ROW_MAX_BYTES || at < 0 || fseek(f, at, SEEK_SET) < 0)
            return false;
        free(*buf);
        *buf = malloc(*cap);
        if (!*buf)
            return false;
    }
    return r == 0;
}

static bool has_member(const struct group *row, const char *name)
{
    for (char **member = row->gr_mem; *member; member++) {
        if (strcmp(*member, name) == 0)
            return true;
    }
    return false;
}

int user_files_group_list(const char *path, const char *name, gid_t gid, gid_t *groups, int *n)
{
    CLEANUP(file_cleanup) FILE *f = fopen(path, "re");
    CLEANUP(free_cleanup) char *buf = NULL;
    struct group row;
    size_t cap = 0;
    int count = 0;
    int room = *n;

    if (room > 0)
        groups[0] = gid;
    count++;
    while (f && next_group(f, &row, &buf, &cap)) {
        if (row.gr_gid == gid || !is_row(row.gr_name) || !has_member(&row, name))
            continue;
        if (count < room)
            groups[count] = row.gr_gid;
        count++;
    }
    *n = count;
    return count <= room ? count : -1;
}

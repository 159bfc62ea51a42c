/*
 * `inbox verify` without a sidecar: the file alone, opened for us as the next start would.
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/banned.h"

int journal_verify_file(const char *dir, struct err *err)
{
    struct database d = {0};
    char path[DATABASE_PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, dir);
    int r;

    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, -ENAMETOOLONG, "the path of state.dir %s is too long", dir);
    if (access(path, F_OK) < 0)
        return err_set(err, -errno, "no journal to look at: %s: %m", path);
    r = database_open(&d, path, NULL, &journal_schema, DATABASE_CHECK_FULL, err);
    if (r == 0)
        database_close(&d);
    return r;
}

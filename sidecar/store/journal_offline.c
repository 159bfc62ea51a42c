/*
 * `inbox verify` without a sidecar: the file alone, opened to look at it.
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdio.h>

#include "base/banned.h"

int journal_verify_file(const char *dir, struct err *err)
{
    struct database d = {0};
    char path[DATABASE_PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, dir);
    int rc;

    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, -ENAMETOOLONG, "the path of state.dir %s is too long", dir);
    rc = database_look(&d, path, &journal_schema, err);
    database_close(&d);
    return rc;
}

/*
 * `inbox verify` without a sidecar: the file alone, checked as the running one would.
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdio.h>

#include "base/banned.h"

int journal_verify_file(const char *dir, struct err *err)
{
    struct database d = {0};
    char path[DATABASE_PATH_MAX], broken[ERR_MSG_MAX];
    int n = snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, dir);
    int rc;

    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, -ENAMETOOLONG, "the path of state.dir %s is too long", dir);
    rc = database_look(&d, path, &journal_schema, err);
    if (rc == 0)
        rc = verify_rules(&d, broken, sizeof(broken), err);
    if (rc == 0 && broken[0])
        rc = err_set(err, -EBADMSG, "%s", broken);
    database_close(&d);
    return rc;
}

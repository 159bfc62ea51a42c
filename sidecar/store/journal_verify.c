/*
 * `inbox verify`: what must be true of the journal whatever happened to us.
 */
#include "store/journal_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct rule {
    const char *sql; /* counts what breaks it */
    const char *words;
};

static const struct rule rules[] = {
    {"SELECT count(*) FROM message WHERE state NOT BETWEEN 1 AND 7",
     "messages have no known state"},
    {"SELECT count(*) FROM message WHERE seq <= 0 OR row_id = ''",
     "messages have no number or row"},
    {"SELECT count(*) FROM message WHERE seq > (SELECT seq FROM sqlite_sequence"
     " WHERE name = 'message')",
     "messages have numbers that were not given yet"},
    {"SELECT count(*) FROM message AS m WHERE state IN (1, 2, 3)"
     " AND NOT EXISTS (SELECT 1 FROM body WHERE body.seq = m.seq)",
     "unfinished messages have lost their texts"},
    {"SELECT count(*) FROM body WHERE NOT EXISTS (SELECT 1 FROM message AS m"
     " WHERE m.seq = body.seq)",
     "texts belong to no message"},
    {"SELECT count(*) FROM message WHERE state = 7 AND is_work = 0 AND attempts > 0",
     "messages that were no work were handed to the agent"},
    {"SELECT 1 - count(*) FROM place", "cursors are missing"},
    {"SELECT count(*) FROM place WHERE cursor_row_id <> '' AND length(cursor_row_id) <> 36",
     "cursors are not the id of a row"},
};

static int verify_tally(struct disk *k, struct op *op, struct err *err)
{
    struct tally kept = k->tally;
    int rc = disk_load_tally(k, err);

    if (rc == 0 && memcmp(kept.count, k->tally.count, sizeof(kept.count)) != 0 && op->is_good) {
        op->is_good = false;
        (void)snprintf(op->sentence, sizeof(op->sentence),
                       "%s: the counts by state in memory are not those of the file", k->d.path);
    }
    return rc;
}

int verify_rules(struct database *d, char *ret_broken, size_t size, struct err *err)
{
    ret_broken[0] = '\0';
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        int64_t n = 0;
        int rc = database_number(d, rules[i].sql, &n, err);

        if (rc < 0)
            return rc;
        if (n != 0) {
            (void)snprintf(ret_broken, size, "%s: %lld %s", d->path, (long long)n, rules[i].words);
            return 0;
        }
    }
    return 0;
}

int verify(struct disk *k, struct op *op, struct err *err)
{
    struct err found = {0};
    int rc = database_check(&k->d, DATABASE_CHECK_FULL, &found);

    op->is_good = rc == 0;
    (void)snprintf(op->sentence, sizeof(op->sentence), "%s", rc == 0 ? "ok" : found.msg);
    if (rc == -EBADMSG)
        return 0; /* said; what to do is the operator's */
    if (rc < 0)
        return err_set(err, rc, "%s", found.msg);
    rc = verify_rules(&k->d, op->sentence, sizeof(op->sentence), err);
    if (rc < 0)
        return rc;
    op->is_good = op->sentence[0] == '\0';
    if (op->is_good)
        (void)snprintf(op->sentence, sizeof(op->sentence), "ok");
    return verify_tally(k, op, err);
}

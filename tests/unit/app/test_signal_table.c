/*
 * The table of signals: a row for every number, in order, and the committed page that must equal
 * it. With UPDATE_DOCS=1 in the environment the page's table is written instead.
 */
#include "app/signal_table.h"

#include "base/file.h"
#include "base/signame.h"
#include "config/config.h"
#include "config/signal_map.h"
#include "supervisor/supervisor.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page[] = SOURCE_DIR "/docs/supervision.md";
static const char begin[] = "<!-- signals: printed from sidecar/app/signal_table.c -->\n";
static const char end[] = "<!-- end of signals -->\n";

Test(signal_table, every_number_has_one_row)
{
    int expected = 1;

    for (size_t i = 0; i < signal_row_count; i++) {
        cr_expect_eq(signal_rows[i].first, expected);
        cr_expect_geq(signal_rows[i].last, signal_rows[i].first);
        expected = signal_rows[i].last + 1;
    }
    cr_expect_eq(expected, SIGNAL_MAX + 1);
    for (int number = 1; number <= SIGNAL_MAX; number++) {
        const struct signal_row *row = signal_row_of(number);

        cr_expect(row->first <= number && number <= row->last);
    }
    cr_expect_eq(SIGRTMAX, SIGNAL_MAX);
    cr_expect_eq(signal_row_of(SIGRTMIN)->first, SIGRTMIN);
}

/* What signals.map refuses is what we never pass on. */
Test(signal_table, agrees_with_signals_map)
{
    for (int number = 1; number <= SIGNAL_MAX; number++) {
        struct signal_map m = {0};
        char text[SIGNAL_TEXT_MAX + 8];
        char name[SIGNAL_TEXT_MAX];

        (void)snprintf(text, sizeof(text), "%s=none", signal_text(number, name));
        cr_expect_eq(signal_map_add(&m, slice_of(text), NULL) == 0,
                     signal_is_mappable(signal_row_of(number)), "%s", text);
    }
}

/* What is left alone is not blocked, and the other way round. */
Test(signal_table, agrees_with_what_is_read)
{
    struct signals_origin origin;
    sigset_t blocked;

    signals_block_all(&origin);
    cr_assert_eq(sigprocmask(SIG_SETMASK, NULL, &blocked), 0);
    for (int number = 1; number <= SIGNAL_MAX; number++) {
        bool is_left = signal_row_of(number)->act == SIGNAL_LEAVE;

        cr_expect_eq(sigismember(&blocked, number) == 1, !is_left, "%d", number);
    }
}

/* The configuration's words stand for the supervisor's, by number. */
Test(signal_table, the_groups_of_both_modules_are_the_same)
{
    cr_expect_eq((int)AGENT_GROUP_OWN, (int)CHILD_GROUP_OWN);
    cr_expect_eq((int)AGENT_GROUP_PROCESS, (int)CHILD_GROUP_PROCESS);
    cr_expect_eq((int)AGENT_GROUP_SESSION, (int)CHILD_GROUP_SESSION);
}

Test(signal_table, the_page_is_current)
{
    struct str wanted = {0}, found = {0};
    struct err err = {0};
    const char *from, *to;

    signal_table_print(&wanted);
    cr_assert_eq(file_read(page, 1024 * 1024, &found, &err), 0, "%s", err.msg);
    from = strstr(str_z(&found), begin);
    cr_assert_not_null(from);
    from += strlen(begin);
    to = strstr(from, end);
    cr_assert_not_null(to);
    if (getenv("UPDATE_DOCS")) {
        FILE *f = fopen(page, "we");

        cr_assert(f && fwrite(found.p, 1, (size_t)(from - found.p), f) > 0 &&
                  fwrite(wanted.p, 1, wanted.len, f) == wanted.len && fputs(to, f) >= 0 &&
                  fclose(f) == 0);
    } else {
        cr_expect(slice_eq((struct slice){from, (size_t)(to - from)}, str_slice(&wanted)),
                  "%s is not what signal_table.c says; run this test with UPDATE_DOCS=1 and commit "
                  "it",
                  page);
    }
    str_release(&wanted);
    str_release(&found);
}

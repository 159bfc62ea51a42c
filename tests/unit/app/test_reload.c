/* The keys that a reload takes over, against the schema; and the watchdog's interval. */
#include "app/reload.h"
#include "app/watchdog.h"
#include "base/cleanup.h"
#include "config/schema.h"

#include <criterion/criterion.h>
#include <string.h>

Test(reload, each_key_that_is_live_has_somebody_who_takes_it_over_and_no_other)
{
    size_t live = 0;

    for (size_t i = 0; i < config_row_count; i++) {
        char key[CONFIG_KEY_MAX];

        (void)schema_dotted(&config_rows[i], key);
        cr_expect_eq(reload_when(key) != NULL, config_rows[i].is_live, "%s", key);
        cr_expect_not(config_rows[i].is_live && config_rows[i].reserved.what, "%s", key);
        live += config_rows[i].is_live;
    }
    cr_assert_gt(live, 20);
    cr_assert_null(reload_when("no.key"));
}

Test(watchdog, must_be_longer_than_back_off_and_start_together)
{
    char agent[] = "agent";
    char *command[] = {agent, NULL};
    struct config c = {
        .command = command, .restart.backoff_max = 30000, .agent.start_timeout = 60000};
    CLEANUP(str_release) struct str out = {0};

    watchdog_check(&c, 0, &out);
    watchdog_check(&c, 90001, &out);
    cr_assert_eq(out.len, 0, "%s", str_z(&out));
    watchdog_check(&c, 90000, &out);
    cr_assert(strncmp(str_z(&out), "warning: ", 9) == 0, "%s", str_z(&out));
    cr_assert(strstr(str_z(&out), "is 90s") || strstr(str_z(&out), "is 1m30s"), "%s", str_z(&out));
    cr_assert(strstr(str_z(&out), "restart.backoff_max 30s"), "%s", str_z(&out));
    cr_assert_eq(out.p[out.len - 1], '\n');
    str_truncate(&out, 0);
    c.command = NULL; /* nobody that we would start again */
    watchdog_check(&c, 1000, &out);
    cr_assert_eq(out.len, 0);
}

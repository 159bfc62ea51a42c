#include "supervisor/orphans.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(orphans, .timeout = 300);

Test(orphans, few_are_only_counted)
{
    struct orphans o = {0};

    for (int i = 0; i < ORPHANS_MANY - 1; i++) {
        cr_assert_not(orphans_add_named(&o, "sh", 1000));
    }
    cr_assert_eq(o.total, ORPHANS_MANY - 1);
    cr_assert_str_empty(o.text);
}

Test(orphans, many_are_named_once_in_a_window)
{
    struct orphans o = {0};
    int said = 0;

    for (int i = 0; i < 10 * ORPHANS_MANY; i++) {
        const char *name = i % 10 < 7 ? "sh" : i % 10 < 9 ? "curl" : "a";

        said += orphans_add_named(&o, name, 1000 + i);
    }
    cr_assert_eq(said, 1);
    cr_assert_eq(o.total, 10 * ORPHANS_MANY);
    cr_assert_str_eq(o.text, "sh 70, curl 20, a 10");
}

Test(orphans, the_next_window_begins_anew)
{
    struct orphans o = {0};
    int64_t now = 1000;

    for (int i = 0; i < ORPHANS_MANY; i++) {
        (void)orphans_add_named(&o, "first", now);
    }
    now += ORPHANS_WINDOW_MS;
    for (int i = 0; i < ORPHANS_MANY; i++) {
        cr_assert_eq(orphans_add_named(&o, "second", now), i == ORPHANS_MANY - 1);
    }
    cr_assert_str_eq(o.text, "second 100");
}

Test(orphans, slow_ones_are_not_many)
{
    struct orphans o = {0};

    for (int i = 0; i < 2 * ORPHANS_MANY; i++) {
        cr_assert_not(orphans_add_named(&o, "sh", 1000 + i * (ORPHANS_WINDOW_MS / 50)));
    }
}

Test(orphans, more_names_than_fit_and_unknown_ones_are_other)
{
    struct orphans o = {0};
    char name[PROC_NAME_MAX];

    for (int i = 0; i < ORPHANS_MANY; i++) {
        (void)snprintf(name, sizeof(name), "%.15s%d", "a-long-name-", i);
        (void)orphans_add_named(&o, i < 10 ? NULL : name, 1000);
    }
    cr_assert_str_eq(o.text, "a-long-name-10 1, a-long-name-11 1, a-long-name-12 1, other 97");
}

Test(orphans, the_name_is_the_zombies)
{
    struct orphans o = {0};

    for (int i = 0; i < ORPHANS_MANY; i++) {
        siginfo_t si;
        pid_t pid = fork();

        if (pid == 0) {
            (void)execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        cr_assert_eq(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
        cr_assert_eq(orphans_add(&o, pid, 1000), i == ORPHANS_MANY - 1);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
    }
    cr_assert_str_eq(o.text, "true 100");
}

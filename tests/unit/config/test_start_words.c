/* agent.ready, agent.limits and agent.user as the configuration keeps them. */
#include "config/start_words.h"

#include "support/config_case.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct limit_word limit(const char *text)
{
    struct limit_word w;
    struct err err = {0};

    cr_assert_eq(limit_word_parse(slice_of(text), &w, &err), 0, "%s: %s", text, err.msg);
    return w;
}

Test(start_words, limits_are_soft_and_hard_in_the_units_of_each)
{
    struct limit_word w = limit("nofile=100:200");

    cr_expect_eq(w.resource, RLIMIT_NOFILE);
    cr_expect_str_eq(w.name, "nofile");
    cr_expect_eq(w.value.rlim_cur, 100);
    cr_expect_eq(w.value.rlim_max, 200);
    w = limit("RLIMIT_CORE=unlimited");
    cr_expect_eq(w.resource, RLIMIT_CORE);
    cr_expect_eq(w.value.rlim_cur, RLIM_INFINITY);
    cr_expect_eq(w.value.rlim_max, RLIM_INFINITY);
    w = limit("AS=2GiB:infinity");
    cr_expect_eq(w.value.rlim_cur, (rlim_t)2 << 30);
    cr_expect_eq(w.value.rlim_max, RLIM_INFINITY);
    w = limit("nproc=0");
    cr_expect_eq(w.value.rlim_max, 0);
}

Test(start_words, what_is_no_limit_is_refused)
{
    static const char *const bad[] = {
        "",          "nofile",       "nofile=",          "nofile=1:",
        "nofile=:1", "nofile=1:2:3", "nofile=64KiB",     "nofile=-1",
        "files=1",   "nofile=2:1",   "core=unlimited:1", "as=1 GiB",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct limit_word w;

        cr_expect_eq(limit_word_parse(slice_of(bad[i]), &w, NULL), -EINVAL, "%s", bad[i]);
    }
}

Test(start_words, ready_is_by_protocol_unless_it_is_said)
{
    struct config_case http = {0};
    struct config_case none = {.args = {"--agent-protocol=none"}};
    struct config_case fd = {.args = {"--agent-ready=fd:12"}, .command = {"agent"}};
    struct config_case connect = {.args = {"--agent-ready=connect"}};

    case_load(&http);
    case_load(&none);
    case_load(&fd);
    case_load(&connect);
    cr_expect_eq(http.config->agent.ready_by.kind, READY_HTTP);
    cr_expect_eq(none.config->agent.ready_by.kind, READY_STARTED);
    cr_assert_eq(fd.rc, 0, "%s", case_sentences(&fd));
    cr_expect_eq(fd.config->agent.ready_by.kind, READY_FD);
    cr_expect_eq(fd.config->agent.ready_by.fd, 12);
    cr_assert_eq(connect.rc, 0, "%s", case_sentences(&connect));
    cr_expect_eq(connect.config->agent.ready_by.kind, READY_CONNECT);
    case_release(&http);
    case_release(&none);
    case_release(&fd);
    case_release(&connect);
}

Test(start_words, the_user_is_looked_up_and_gets_a_directory_of_its_own)
{
    struct config_case k = {
        .args = {"--agent-user=root:65534", "--agent-umask=027", "--agent-limits=core=0,nofile=64"},
        .command = {"agent"}};
    struct config_case no_child = {.args = {"--agent-user=root"}};
    struct config_case missing = {.args = {"--agent-user=no-such-user"}, .command = {"agent"}};

    case_load(&k);
    cr_assert_eq(k.rc, 0, "%s", case_sentences(&k));
    cr_expect(k.config->agent.run_as.is_set);
    cr_expect_eq(k.config->agent.run_as.gid, 65534);
    cr_expect_eq(k.config->agent.umask, 027);
    cr_expect_eq(k.config->agent.limit_count, 2);
    cr_expect_str_eq(k.config->agent.address.text, "unix:/run/molecule/agent/agent.sock");
    case_load(&no_child);
    cr_assert_eq(no_child.rc, 0, "%s", case_sentences(&no_child));
    cr_expect_not(no_child.config->agent.run_as.is_set);
    cr_expect(case_has_warning(&no_child, "there is no child to run as that user, ignoring"));
    cr_expect_eq(no_child.config->agent.umask, -1);
    case_load(&missing);
    cr_expect(case_has_error(&missing,
                             "agent.user is no-such-user (flag --agent-user): there is no "
                             "user \"no-such-user\" on this system"));
    case_release(&k);
    case_release(&no_child);
    case_release(&missing);
}

/*
 * Small rules of the development platform: which URLs may be registered, rate windows, faults and
 * the command line. Source: P sections 4.3, 7.1; docs/devplatform.md.
 */
#include "devplatform/faults.h"
#include "devplatform/limiter.h"
#include "devplatform/options.h"
#include "devplatform/urlcheck.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(urlcheck, names_and_public_addresses_pass)
{
    static const char *const good[] = {"http://localhost:9000", "https://agent.example/a2a",
                                       "http://8.8.8.8/",       "http://172.15.0.1",
                                       "http://172.32.0.1",     "http://[2606:4700::1]:8/",
                                       "http://100.63.0.1",     "http://126.0.0.1"};

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        cr_assert_eq(url_check(good[i], URL_CHECK_REGISTER, NULL), 0, "%s", good[i]);
}

Test(urlcheck, refused_literals_pass_only_at_dispatch)
{
    static const char *const bad[] = {
        "http://127.0.0.1:1",       "http://10.0.0.1",    "http://172.16.0.1",
        "http://172.31.255.255",    "http://192.168.1.1", "http://169.254.169.254",
        "http://100.64.0.1",        "http://224.0.0.1",   "http://239.1.1.1",
        "http://192.0.2.1",         "http://[::1]:80",    "http://[fe80::1]",
        "http://[fd00::1]",         "http://[fc00::1]",   "http://[2001:db8::1]",
        "http://[::ffff:10.0.0.1]", "http://0.0.0.0:80",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cr_assert_lt(url_check(bad[i], URL_CHECK_REGISTER, NULL), 0, "%s", bad[i]);
        cr_assert_eq(url_check(bad[i], URL_CHECK_DISPATCH, NULL), 0, "%s", bad[i]);
    }
}

Test(urlcheck, other_schemes_and_missing_hosts_never_pass)
{
    static const char *const bad[] = {"",        "remote://no-inbound", "ftp://x", "//x",
                                      "http://", "http:///path",        "HTTP://x"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert_lt(url_check(bad[i], URL_CHECK_DISPATCH, NULL), 0, "%s", bad[i]);
}

Test(limiter, a_window_begins_with_the_first_call_after_the_last_one)
{
    struct limiter l;
    struct limit_verdict v;

    limiter_init(&l, 2);
    cr_assert_eq(limiter_take(&l, SLICE("k"), 1000).remaining, 1);
    cr_assert(limiter_take(&l, SLICE("k"), 50000).is_allowed);
    v = limiter_take(&l, SLICE("k"), 60999);
    cr_assert_not(v.is_allowed);
    cr_assert_eq(v.reset_s, 0);
    cr_assert(limiter_take(&l, SLICE("other"), 60999).is_allowed);
    cr_assert_eq(limiter_take(&l, SLICE("k"), 61000).remaining, 1);
    limiter_release(&l);
}

Test(limiter, keys_are_bounded)
{
    struct limiter l;

    limiter_init(&l, 1);
    for (int i = 0; i < LIMITER_KEYS_MAX + 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        cr_assert(limiter_take(&l, slice_of(key), 0).is_allowed);
    }
    cr_assert_eq(l.key_count, LIMITER_KEYS_MAX);
    limiter_release(&l);
}

static bool hits(struct faults *f, const char *method, const char *path)
{
    struct fault_effect e = {0};
    bool is_hit = faults_take(f, slice_of(method), slice_of(path), &e);

    free(e.body);
    return is_hit;
}

Test(faults, match_by_method_prefix_and_pattern_as_often_as_asked)
{
    struct json_object *spec = json_tokener_parse(
        "{\"path\":\"/workspaces/*/state\",\"method\":\"GET\",\"status\":503,\"count\":2}");
    struct faults f;

    faults_init(&f);
    cr_assert_eq(faults_add(&f, spec, NULL, NULL), 0);
    cr_assert_not(hits(&f, "POST", "/workspaces/x/state"));
    cr_assert_not(hits(&f, "GET", "/workspaces/x/activity"));
    cr_assert(hits(&f, "GET", "/workspaces/x/state"));
    cr_assert(hits(&f, "GET", "/workspaces/y/state"));
    cr_assert_not(hits(&f, "GET", "/workspaces/y/state"), "two were asked for");
    cr_assert_eq(f.count, 0);
    json_object_put(spec);
    faults_release(&f);
}

Test(options, one_that_is_wrong_is_named)
{
    static struct options o;
    struct err err;
    char *argv[] = {(char *)"dp", (char *)"--workspase", (char *)"x", NULL};

    cr_assert_lt(options_parse(3, argv, &o, &err), 0);
    cr_assert_not_null(strstr(err.msg, "--workspase"));
    cr_assert_not_null(strstr(err.msg, "did you mean --workspace?"));
}

Test(options, one_that_is_like_none_gets_no_hint)
{
    static struct options o;
    struct err err;
    char *argv[] = {(char *)"dp", (char *)"--foo", NULL};

    cr_assert_lt(options_parse(2, argv, &o, &err), 0);
    cr_assert_null(strstr(err.msg, "did you mean"));
}

Test(options, ids_become_lower_case_and_tokens_stay)
{
    static struct options o;
    struct err err;
    char *argv[] = {(char *)"dp", (char *)"--workspace=6F1C3A52-0D1E-4B7E-9A35-0C8F1F5A2B10:To:Ken",
                    NULL};

    cr_assert_eq(options_parse(2, argv, &o, &err), 0, "%s", err.msg);
    cr_assert_str_eq(o.workspaces[0].id, "6f1c3a52-0d1e-4b7e-9a35-0c8f1f5a2b10");
    cr_assert_str_eq(o.workspaces[0].token, "To:Ken");
}

Test(faults, a_share_of_the_calls_is_the_same_for_a_seed)
{
    struct faults f;
    bool first[64];
    int hits = 0;

    faults_init(&f);
    faults_seed(&f, 7);
    for (size_t i = 0; i < 64; i++)
        hits += first[i] = faults_chance(&f, 50);
    cr_assert(hits > 16 && hits < 48, "%d of 64", hits);
    faults_seed(&f, 7);
    for (size_t i = 0; i < 64; i++)
        cr_assert_eq(faults_chance(&f, 50), first[i]);
    for (size_t i = 0; i < 64; i++) {
        cr_assert(faults_chance(&f, 100));
        cr_assert_not(faults_chance(&f, 0));
    }
    faults_release(&f);
}

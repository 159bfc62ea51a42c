/*
 * The table itself: defaults obey their own rules, names are unique, words and members agree. And
 * URLs taken apart.
 */
#include "config/report.h"
#include "config/schema.h"
#include "config/url.h"
#include "config/value.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

Test(config_schema, every_default_obeys_the_rules_of_its_row)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        struct config_report report = {0};
        struct value_in in = {.text = slice_of(row->fallback), .place = "default"};

        if (!row->fallback) {
            cr_expect(row->flags & ROW_COMPUTED, "%s.%s", row->section, row->key);
            cr_expect(row->fallback_words, "%s.%s", row->section, row->key);
            continue;
        }
        if (row->type != TYPE_LIST)
            cr_expect_eq(value_set(NULL, row, &in, &report), 0, "%s", str_z(&report.errors[0]));
        else
            cr_expect_str_eq(row->fallback, "");
        config_report_release(&report);
    }
}

Test(config_schema, rows_are_whole_and_unique)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char flag[CONFIG_KEY_MAX], other[CONFIG_KEY_MAX], key[CONFIG_KEY_MAX];

        (void)schema_dotted(row, key);
        cr_expect_eq(schema_find(row->section, row->key), (int)i, "%s is there twice", key);
        cr_expect_eq(schema_find_dotted(slice_of(key)), (int)i);
        cr_expect(row->reserved.what || row->offset != ROW_NO_MEMBER, "%s has no member", key);
        cr_expect_eq(row->words != NULL, row->type == TYPE_ENUM, "%s: words", key);
        cr_expect_leq(row->min, row->max, "%s: range", key);
        if (row->type == TYPE_INT || row->type == TYPE_DURATION || row->type == TYPE_SIZE)
            cr_expect_gt(row->max, 0, "%s has no range", key);
        for (size_t k = 0; k < i; k++) { /* --a-b-c could come from a.b_c and a_b.c */
            cr_expect_str_neq(schema_flag(row, flag), schema_flag(&config_rows[k], other));
            if (row->offset != ROW_NO_MEMBER)
                cr_expect_neq(row->offset, config_rows[k].offset, "%s shares a member", key);
        }
    }
}

Test(config_schema, nearest_names_are_found_and_far_ones_are_not)
{
    char buf[CONFIG_ENV_MAX];

    cr_expect_str_eq(schema_nearest_key(SLICE("listen.adress"), buf), "listen.address");
    cr_expect_str_eq(schema_nearest_key(SLICE("agent.heartbeat_interval"), buf),
                     "platform.heartbeat_interval");
    cr_expect_null(schema_nearest_key(SLICE("something.else"), buf));
    cr_expect_null(schema_nearest_key(SLICE(""), buf));
    cr_expect_str_eq(schema_nearest_flag(SLICE("--listen.address"), buf), "--listen-address");
    cr_expect_str_eq(schema_nearest_flag(SLICE("--confg"), buf), "--config");
    cr_expect_str_eq(schema_nearest_flag(SLICE("--drain-delay"), buf), "--stop-drain-delay");
    cr_expect_null(schema_nearest_flag(SLICE("--completely-different"), buf));
    cr_expect_str_eq(schema_nearest_section(SLICE("plattform")), "platform");
    cr_expect_null(schema_nearest_section(SLICE("")));
    cr_expect_str_eq(schema_nearest_env(SLICE("MOLECULE_SIDECAR_STOP_GRACES"), buf),
                     "MOLECULE_SIDECAR_STOP_GRACE");
}

Test(config_schema, signals_have_names_and_numbers)
{
    cr_expect_eq(signal_of_name(SLICE("TERM")), SIGTERM);
    cr_expect_eq(signal_of_name(SLICE("sigterm")), SIGTERM);
    cr_expect_eq(signal_of_name(SLICE("15")), SIGTERM);
    cr_expect_eq(signal_of_name(SLICE("9")), 0);
    cr_expect_eq(signal_of_name(SLICE("SIGKILL")), 0);
    cr_expect_eq(signal_of_name(SLICE("0")), 0);
    cr_expect_eq(signal_of_name(SLICE("SIG")), 0);
    cr_expect_eq(signal_of_name(SLICE("")), 0);
    cr_expect_eq(signal_of_name(SLICE("SIGRTMIN+3")), SIGRTMIN + 3);
    cr_expect_eq(signal_of_name(SLICE("CHLD")), 0);
}

Test(config_schema, networks_are_checked_strictly)
{
    static const char *const good[] = {"10.0.0.0/8", "0.0.0.0/0", "192.168.1.7", "::/0",
                                       "::1/128",    "fd00::/8",  "fe80::1"};
    static const char *const wrong[] = {"",     "10.0.0.0/33", "10.0.0/8",    "10.0.0.0/",
                                        "/8",   "::/129",      "10.0.0.0/-1", "10.0.0.0/8/8",
                                        "name", "1.2.3.4.5",   "10.0.0.0/ 8"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(is_cidr(slice_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect(!is_cidr(slice_of(wrong[i])), "%s", wrong[i]);
}

Test(config_schema, urls_are_taken_apart)
{
    struct url u;

    cr_assert_eq(url_parse(SLICE("HTTPS://me:pw@Host.example:8443/a/b?c#d"), &u, NULL), 0);
    cr_expect(u.is_https && u.has_query && u.has_fragment);
    cr_expect(slice_eq(u.userinfo, SLICE("me:pw")));
    cr_expect(slice_eq(u.host, SLICE("Host.example")));
    cr_expect_eq(u.port, 8443);
    cr_expect(slice_eq(u.path, SLICE("/a/b")));
    cr_assert_eq(url_parse(SLICE("http://[::1]:80#x?y"), &u, NULL), 0);
    cr_expect(u.host_is_v6 && !u.has_query && u.has_fragment && slice_eq(u.host, SLICE("::1")));
    cr_expect_eq(url_host_kind(&u), HOST_LOOPBACK);
    cr_assert_eq(url_parse(SLICE("http://a?b"), &u, NULL), 0);
    cr_expect(slice_eq(u.host, SLICE("a")) && u.path.n == 0 && u.has_query && !u.has_fragment);
}

Test(config_schema, hosts_are_told_apart)
{
    static const struct {
        const char *url;
        enum host_kind kind;
    } hosts[] = {
        {"http://127.1.2.3", HOST_LOOPBACK},
        {"http://localhost", HOST_LOOPBACK},
        {"http://a.LOCALHOST", HOST_LOOPBACK},
        {"http://[::ffff:127.0.0.1]", HOST_LOOPBACK},
        {"http://host.docker.internal:1", HOST_LOCAL_NAME},
        {"http://p.ns.svc", HOST_LOCAL_NAME},
        {"http://platform", HOST_LOCAL_NAME},
        {"http://10.1.2.3", HOST_PRIVATE},
        {"http://172.31.0.1", HOST_PRIVATE},
        {"http://192.168.0.1", HOST_PRIVATE},
        {"http://[fd00::1]", HOST_PRIVATE},
        {"http://172.32.0.1", HOST_PUBLIC},
        {"http://[2a00::1]", HOST_PUBLIC},
        {"http://169.254.0.1", HOST_REFUSED},
        {"http://100.127.0.1", HOST_REFUSED},
        {"http://224.0.0.1", HOST_REFUSED},
        {"http://192.0.2.1", HOST_REFUSED},
        {"http://198.51.100.1", HOST_REFUSED},
        {"http://203.0.113.1", HOST_REFUSED},
        {"http://0.0.0.0", HOST_REFUSED},
        {"http://[fe80::1]", HOST_REFUSED},
        {"http://[fc00::1]", HOST_REFUSED},
        {"http://[::]", HOST_REFUSED},
        {"http://svc.example.com", HOST_NAME},
    };

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct url u;

        cr_assert_eq(url_parse(slice_of(hosts[i].url), &u, NULL), 0, "%s", hosts[i].url);
        cr_expect_eq(url_host_kind(&u), hosts[i].kind, "%s", hosts[i].url);
    }
}

/* The options of resolv.conf(5) that the static build's resolver leaves to us. */
#include "base/resolv_conf.h"

#include <criterion/criterion.h>

static void expect(const char *text, int timeout_ms, int tries)
{
    struct resolv_options o = resolv_options_parse(slice_of(text));

    cr_expect_eq(o.timeout_ms, timeout_ms, "%s: %d ms", text, o.timeout_ms);
    cr_expect_eq(o.tries, tries, "%s: %d tries", text, o.tries);
}

Test(resolv_conf, has_defaults_that_leave_time_for_a_second_server)
{
    expect("", RESOLV_TIMEOUT_MS, RESOLV_TRIES);
    expect("nameserver 10.0.0.1\nsearch a b\noptions ndots:5 edns0\n", RESOLV_TIMEOUT_MS,
           RESOLV_TRIES);
}

Test(resolv_conf, reads_timeout_and_attempts)
{
    expect("options timeout:2 attempts:3", 2000, 3);
    expect("nameserver 10.0.0.1\r\n  options\tattempts:1\r\noptions ndots:2 timeout:1\r\n", 1000,
           1);
    expect("options timeout:9\noptions timeout:4\n", 4000, RESOLV_TRIES);
}

Test(resolv_conf, cuts_what_is_too_much_and_passes_over_what_is_no_number)
{
    expect("options timeout:300 attempts:99", RESOLV_TIMEOUT_MAX_MS, RESOLV_TRIES_MAX);
    expect("options timeout:0 attempts:-1", RESOLV_TIMEOUT_MS, RESOLV_TRIES);
    expect("options timeout: attempts:x timeout:1s timeout", RESOLV_TIMEOUT_MS, RESOLV_TRIES);
    expect("# options timeout:1\noption timeout:1\nxoptions attempts:5", RESOLV_TIMEOUT_MS,
           RESOLV_TRIES);
}

#include "base/endpoint.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static struct endpoint parsed(const char *text)
{
    struct endpoint e = {0};
    struct err err = {0};

    cr_assert_eq(endpoint_parse(slice_of(text), &e, &err), 0, "%s: %s", text, err.msg);
    return e;
}

static struct err refused(const char *text, int code)
{
    struct endpoint e = {0};
    struct err err = {0};

    cr_assert_eq(endpoint_parse(slice_of(text), &e, &err), code, "%s", text);
    cr_assert_eq(e.kind, ENDPOINT_NONE, "%s", text);
    cr_assert_gt(strlen(err.msg), 20, "%s: a sentence is missing", text);
    return err;
}

Test(endpoint, takes_each_documented_form)
{
    struct endpoint e;

    e = parsed("unix:/run/x.sock");
    cr_assert_str_eq(endpoint_unix_path(&e), "/run/x.sock");
    cr_assert_str_eq(e.text, "unix:/run/x.sock");
    cr_assert(e.is_loopback && !e.is_any);
    e = parsed("unix:///run/x.sock");
    cr_assert_str_eq(e.text, "unix:/run/x.sock");
    e = parsed("127.0.0.1:8000");
    cr_assert_str_eq(e.text, "127.0.0.1:8000");
    cr_assert(e.is_loopback && !e.is_any && !e.is_localhost && e.port == 8000 &&
              e.kind == ENDPOINT_TCP);
    cr_assert_null(endpoint_unix_path(&e));
    cr_assert_eq(ntohs(((struct sockaddr_in *)&e.sa)->sin_port), 8000);
    e = parsed("[::]:8000");
    cr_assert_str_eq(e.text, "[::]:8000");
    cr_assert(e.is_any && !e.is_loopback);
    e = parsed(":8000");
    cr_assert_str_eq(e.text, "[::]:8000");
    cr_assert(e.is_any);
    e = parsed("0.0.0.0:0");
    cr_assert(e.is_any && e.port == 0);
    e = parsed("[::1]:9000");
    cr_assert(e.is_loopback && e.sa.ss_family == AF_INET6 &&
              e.sa_len == sizeof(struct sockaddr_in6));
    e = parsed("http://127.0.0.1:9000/");
    cr_assert_str_eq(e.text, "127.0.0.1:9000");
    e = parsed("http://LOCALHOST:9000");
    cr_assert(e.is_localhost && e.is_loopback && e.port == 9000);
    e = parsed("http://10.1.2.3");
    cr_assert(e.port == 80 && !e.is_loopback);
    e = parsed("http://[::1]");
    cr_assert_str_eq(e.text, "[::1]:80");
}

Test(endpoint, says_what_is_wrong_and_what_is_allowed)
{
    cr_assert_not_null(strstr(refused("8000", -EINVAL).msg, "127.0.0.1:8000"));
    cr_assert_not_null(strstr(refused("127.0.0.1:70000", -EINVAL).msg, "0 to 65535"));
    cr_assert_not_null(strstr(refused("example.org:80", -EINVAL).msg, "not a numeric address"));
    cr_assert_not_null(strstr(refused("::1:8000", -EINVAL).msg, "brackets"));
    cr_assert_not_null(strstr(refused("/run/x.sock", -EINVAL).msg, "write unix:/run/x.sock"));
    cr_assert_not_null(strstr(refused("unix:x.sock", -EINVAL).msg, "absolute"));
    cr_assert_not_null(strstr(refused("https://127.0.0.1:1", -EINVAL).msg, "http://"));
    cr_assert_not_null(strstr(refused("http://127.0.0.1:1/a", -EINVAL).msg, "path"));
    (void)refused("", -EINVAL);
    (void)refused("unix:", -EINVAL);
    (void)refused("127.0.0.1", -EINVAL);
    (void)refused("127.0.0.1:", -EINVAL);
    (void)refused("127.0.0.1:80x", -EINVAL);
    (void)refused("127.0.0.1:-1", -EINVAL);
    (void)refused("127.1:80", -EINVAL);
    (void)refused("[]:80", -EINVAL);
    (void)refused("[::1]", -EINVAL);
    (void)refused("[localhost]:80", -EINVAL);
    (void)refused("http://", -EINVAL);
    (void)refused("http://:80", -EINVAL);
    (void)refused("127.0.0.1: 80", -EINVAL);
}

Test(endpoint, names_the_length_of_a_path_that_is_too_long)
{
    char text[200] = "unix:/";

    memset(text + 6, 'a', 106);
    (void)parsed(text); /* 107 bytes of path */
    text[6 + 106] = 'a';
    cr_assert_not_null(strstr(refused(text, -ENAMETOOLONG).msg, "108 bytes"));
}

Test(endpoint, hides_control_characters_in_its_sentences)
{
    struct endpoint e = {0};
    struct err err = {0};

    cr_assert_eq(endpoint_parse(SLICE("127.0.0.1\x1b[2J:1"), &e, &err), -EINVAL);
    cr_assert_null(strchr(err.msg, 0x1b));
    cr_assert_eq(endpoint_parse(SLICE("127.0.0.1:1\0x"), &e, &err), -EINVAL);
}

Test(endpoint, names_peers)
{
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    struct endpoint e = parsed("127.0.0.1:1");
    char text[64];

    endpoint_peer_text((struct sockaddr *)&e.sa, e.sa_len, text, sizeof(text));
    cr_assert_str_eq(text, "127.0.0.1");
    inet_pton(AF_INET6, "::ffff:127.0.0.9", &mapped.sin6_addr);
    endpoint_peer_text((struct sockaddr *)&mapped, sizeof(mapped), text, sizeof(text));
    cr_assert_str_eq(text, "127.0.0.9");
    cr_assert(endpoint_is_loopback_sa((struct sockaddr *)&mapped));
    e = parsed("unix:/x");
    endpoint_peer_text((struct sockaddr *)&e.sa, e.sa_len, text, sizeof(text));
    cr_assert_str_eq(text, "unix");
    endpoint_peer_text((struct sockaddr *)&e.sa, 0, text, sizeof(text));
    cr_assert_str_eq(text, "unknown");
    inet_pton(AF_INET6, "::ffff:10.0.0.9", &mapped.sin6_addr);
    cr_assert_not(endpoint_is_loopback_sa((struct sockaddr *)&mapped));
}

Test(endpoint, a_missing_family_does_not_hide_what_the_other_said)
{
    cr_assert_eq(endpoint_localhost_errno(ECONNREFUSED, EADDRNOTAVAIL), ECONNREFUSED);
    cr_assert_eq(endpoint_localhost_errno(ECONNREFUSED, EAFNOSUPPORT), ECONNREFUSED);
    cr_assert_eq(endpoint_localhost_errno(ECONNREFUSED, ENETUNREACH), ECONNREFUSED);
    cr_assert_eq(endpoint_localhost_errno(EADDRNOTAVAIL, ECONNREFUSED), ECONNREFUSED);
    cr_assert_eq(endpoint_localhost_errno(ECONNREFUSED, EMFILE), EMFILE);
}

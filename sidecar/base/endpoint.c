/*
 * Addresses from configuration text. Numeric only, so that nothing here can wait for a name server;
 * binding and connecting are left to the listener and the upstream.
 */
#include "base/endpoint.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum {
    ENDPOINT_UNIX_MAX =
        sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1, /* 107 bytes, the kernel's limit */
    ENDPOINT_SHOWN_MAX = 128, /* bytes of a bad text repeated in its error */
};

#define ENDPOINT_ALLOWED                                                                           \
    "allowed are unix:/path/to.sock, 127.0.0.1:8000, [::1]:8000, [::]:8000, :8000 (all "           \
    "addresses), http://127.0.0.1:8000 and "                                                       \
    "localhost:8000"

/* The text as it may stand in a message: cut, control characters replaced. */
struct shown {
    char z[ENDPOINT_SHOWN_MAX + 4];
};

static struct shown shown_of(struct slice s)
{
    struct shown out;
    size_t n = s.n < ENDPOINT_SHOWN_MAX ? s.n : ENDPOINT_SHOWN_MAX;

    for (size_t i = 0; i < n; i++)
        out.z[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F ? '?' : s.p[i];
    memcpy(out.z + n, "...", 4);
    if (n == s.n)
        out.z[n] = '\0';
    return out;
}

static int parse_unix(struct slice path, struct endpoint *e, struct err *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&e->sa;

    if (slice_starts_with(path, SLICE("///"))) { /* unix:///run/x.sock, as others write it */
        path.p += 2;
        path.n -= 2;
    }
    if (path.n == 0 || path.p[0] != '/')
        return err_set(err, -EINVAL,
                       "\"unix:%s\" needs an absolute path, such as unix:/run/molecule/agent.sock",
                       shown_of(path).z);
    if (path.n > ENDPOINT_UNIX_MAX)
        return err_set(err, -ENAMETOOLONG,
                       "the socket path \"%s\" is %zu bytes long, the kernel takes at most %d; "
                       "choose a shorter directory",
                       shown_of(path).z, path.n, ENDPOINT_UNIX_MAX);
    e->kind = ENDPOINT_UNIX;
    e->is_loopback = true;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    un->sun_path[path.n] = '\0';
    e->sa_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    (void)snprintf(e->text, sizeof(e->text), "unix:%s", un->sun_path);
    return 0;
}

/* host is without brackets. */
static int set_address(struct slice host, bool is_bracketed, struct endpoint *e)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)&e->sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&e->sa;
    char z[INET6_ADDRSTRLEN + 1];

    if (host.n == 0 && !is_bracketed) { /* ":8000" */
        in6->sin6_family = AF_INET6;
        e->is_any = true;
    } else if (slice_eq_nocase(host, SLICE("localhost")) && !is_bracketed) {
        in4->sin_family = AF_INET;
        in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        e->is_localhost = true;
    } else {
        if (host.n == 0 || host.n >= sizeof(z))
            return -EINVAL;
        memcpy(z, host.p, host.n);
        z[host.n] = '\0';
        if (is_bracketed) {
            if (inet_pton(AF_INET6, z, &in6->sin6_addr) != 1)
                return -EINVAL;
            in6->sin6_family = AF_INET6;
            e->is_any = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
        } else {
            if (inet_pton(AF_INET, z, &in4->sin_addr) != 1)
                return -EINVAL;
            in4->sin_family = AF_INET;
            e->is_any = in4->sin_addr.s_addr == htonl(INADDR_ANY);
        }
    }
    return 0;
}

static void finish_tcp(struct endpoint *e)
{
    char address[INET6_ADDRSTRLEN];

    e->kind = ENDPOINT_TCP;
    if (e->sa.ss_family == AF_INET) {
        struct sockaddr_in *in4 = (struct sockaddr_in *)&e->sa;

        in4->sin_port = htons(e->port);
        e->sa_len = sizeof(*in4);
        (void)inet_ntop(AF_INET, &in4->sin_addr, address, sizeof(address));
        (void)snprintf(e->text, sizeof(e->text), "%s:%u", address, (unsigned)e->port);
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&e->sa;

        in6->sin6_port = htons(e->port);
        e->sa_len = sizeof(*in6);
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof(address));
        (void)snprintf(e->text, sizeof(e->text), "[%s]:%u", address, (unsigned)e->port);
    }
    e->is_loopback = endpoint_is_loopback_sa((const struct sockaddr *)&e->sa);
}

/* "host:port", "[v6]:port", ":port"; for URLs the port may be missing. */
static int parse_tcp(struct slice text, bool is_url, struct endpoint *e, struct err *err)
{
    struct shown shown = shown_of(text);
    const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
    struct slice host = text, port = {NULL, 0};
    bool is_bracketed;
    int64_t number = 80;

    if (colon && memchr(colon, ']', text.n - (size_t)(colon - text.p)))
        colon = NULL; /* the colon belongs to "[::1]" */
    if (colon) {
        host.n = (size_t)(colon - text.p);
        port = (struct slice){colon + 1, text.n - host.n - 1};
    }
    if (!colon && !is_url) {
        if (text.n > 0 && parse_int64(text, 0, INT64_MAX, &number) != -EINVAL)
            return err_set(err, -EINVAL,
                           "\"%s\" is a port without an address; write 127.0.0.1:%s for this "
                           "machine only or :%s for all addresses",
                           shown.z, shown.z, shown.z);
        return err_set(err, -EINVAL, "\"%s\" has no port; " ENDPOINT_ALLOWED, shown.z);
    }
    is_bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (!is_bracketed && host.n > 0 && memchr(host.p, ':', host.n))
        return err_set(err, -EINVAL,
                       "\"%s\": an IPv6 address is written in brackets, such as [::1]:8000",
                       shown.z);
    if (is_bracketed) {
        host.p++;
        host.n -= 2;
    }
    if (is_url && host.n == 0)
        return err_set(err, -EINVAL, "\"%s\" has no host; " ENDPOINT_ALLOWED, shown.z);
    switch (colon ? parse_int64(port, 0, UINT16_MAX, &number) : 0) {
    case 0:
        break;
    case -ERANGE:
        return err_set(err, -EINVAL, "\"%s\": the port %s is out of range, it must be 0 to 65535",
                       shown.z, shown_of(port).z);
    default:
        return err_set(err, -EINVAL, "\"%s\": \"%s\" is not a port number; " ENDPOINT_ALLOWED,
                       shown.z, shown_of(port).z);
    }
    e->port = (uint16_t)number;
    if (set_address(host, is_bracketed, e) < 0)
        return err_set(err, -EINVAL,
                       "\"%s\": \"%s\" is not a numeric address (names other than localhost are "
                       "not looked up here); " ENDPOINT_ALLOWED,
                       shown.z, shown_of(host).z);
    finish_tcp(e);
    return 0;
}

int endpoint_parse(struct slice text, struct endpoint *ret, struct err *err)
{
    static const struct slice unix_prefix = SLICE_INIT("unix:"),
                              http_prefix = SLICE_INIT("http://");
    struct endpoint e = {0};
    int rc;

    if (text.n == 0)
        return err_set(err, -EINVAL, "the address is empty; " ENDPOINT_ALLOWED);
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] <= 0x20 || text.p[i] == 0x7F)
            return err_set(err, -EINVAL,
                           "\"%s\" holds a blank or a control character; " ENDPOINT_ALLOWED,
                           shown_of(text).z);
    }
    if (slice_starts_with(text, unix_prefix)) {
        rc = parse_unix((struct slice){text.p + unix_prefix.n, text.n - unix_prefix.n}, &e, err);
    } else if (text.p[0] == '/') {
        return err_set(err, -EINVAL, "\"%s\" is a path; write unix:%s", shown_of(text).z,
                       shown_of(text).z);
    } else if (slice_starts_with(text, SLICE("https://"))) {
        return err_set(err, -EINVAL, "\"%s\": TLS is not spoken on this address; write http://",
                       shown_of(text).z);
    } else if (slice_starts_with(text, http_prefix)) {
        struct slice rest = {text.p + http_prefix.n, text.n - http_prefix.n};

        if (slice_ends_with(rest, SLICE("/")))
            rest.n--;
        if (rest.n > 0 && memchr(rest.p, '/', rest.n))
            return err_set(err, -EINVAL,
                           "\"%s\": only scheme, host and port belong here, without a path",
                           shown_of(text).z);
        rc = parse_tcp(rest, true, &e, err);
    } else {
        rc = parse_tcp(text, false, &e, err);
    }
    if (rc == 0)
        *ret = e;
    return rc;
}

const char *endpoint_unix_path(const struct endpoint *e)
{
    return e->kind == ENDPOINT_UNIX ? ((const struct sockaddr_un *)&e->sa)->sun_path : NULL;
}

void endpoint_peer_text(const struct sockaddr *sa, socklen_t len, char *ret, size_t cap)
{
    char address[INET6_ADDRSTRLEN];
    const char *text = "unknown";

    if (len >= sizeof(sa->sa_family)) {
        if (sa->sa_family == AF_UNIX) {
            text = "unix";
        } else if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
            text = inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
                             address, sizeof(address));
        } else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
            const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

            if (IN6_IS_ADDR_V4MAPPED(a)) /* an IPv4 caller on a socket for both families */
                text = inet_ntop(AF_INET, &a->s6_addr[12], address, sizeof(address));
            else
                text = inet_ntop(AF_INET6, a, address, sizeof(address));
        }
    }
    (void)snprintf(ret, cap, "%s", text ? text : "unknown");
}

bool endpoint_is_loopback_sa(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_UNIX)
        return true;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)sa;

        return ntohl(in4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

        return IN6_IS_ADDR_LOOPBACK(a) ||
               (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
    }
    return false;
}

/* The machine, not whoever may listen there, is the cause. */
static bool lacks_address(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == ENETUNREACH;
}

int endpoint_localhost_errno(int first, int second)
{
    return lacks_address(second) ? first : second;
}

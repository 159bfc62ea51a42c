/*
 * Where to listen or connect: "unix:/run/x.sock", "127.0.0.1:8000", "[::]:8000", ":8000",
 * "http://127.0.0.1:9000", "http://localhost:9000". Numeric addresses and "localhost" only; nothing
 * here ever asks a name server.
 */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum endpoint_kind { ENDPOINT_NONE = 0, ENDPOINT_UNIX, ENDPOINT_TCP };
enum { ENDPOINT_TEXT_MAX = 160 };

struct endpoint {
    enum endpoint_kind kind;
    char text[ENDPOINT_TEXT_MAX]; /* canonical: "unix:/path" or "127.0.0.1:8000" or "[::1]:8000" */
    uint16_t port;                /* TCP; 0 = the kernel chooses (listeners) */
    bool is_any;                  /* [::] or 0.0.0.0 */
    bool is_loopback;             /* unix sockets count as loopback */
    bool is_localhost;            /* written as the name: [::1] is tried when 127.0.0.1 refuses */
    socklen_t sa_len;
    struct sockaddr_storage sa;
};

/*
 * 0, -EINVAL (with a sentence: what is wrong, what is allowed), -ENAMETOOLONG (unix path over 107
 * bytes, names the length).
 */
int endpoint_parse(struct slice text, struct endpoint *ret, struct err *err);
const char *endpoint_unix_path(const struct endpoint *e); /* NULL unless ENDPOINT_UNIX */

/*
 * Neither of the two addresses of "localhost" could be connected to: which errno tells why? A
 * machine without IPv6 says of [::1] that there is no such address, which is nothing about who is
 * looked for.
 */
int endpoint_localhost_errno(int first, int second);

/* Text of a peer for logs: "127.0.0.1" (no port), "unix". */
void endpoint_peer_text(const struct sockaddr *sa, socklen_t len, char *ret, size_t cap);
bool endpoint_is_loopback_sa(const struct sockaddr *sa);

#endif

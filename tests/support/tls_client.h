/*
 * A TLS client for tests, blocking with a deadline: what it sends is exact, and it tells how the
 * other side has ended. Memory BIOs, so that the bytes of a handshake can be sent one by one.
 */
#ifndef SUPPORT_TLS_CLIENT_H
#define SUPPORT_TLS_CLIENT_H

#include "support/certificates.h"
#include "support/raw_socket.h"

#include <openssl/ssl.h>

enum tls_end {
    TLS_END_NONE = 0, /* nothing for RAW_WAIT_MS */
    TLS_END_NOTIFY,   /* close_notify: all was said */
    TLS_END_CUT,      /* end of file without it */
    TLS_END_RESET,
    TLS_END_ERROR, /* an alert, or something that is no TLS; see why */
};

struct tls_client_wish {
    const struct certificate *authority; /* the server's certificate must be signed by it */
    const struct certificate *own;       /* shown when asked for */
    const char *alpn;                    /* as on the wire: "\x02h2" */
    int version;                         /* TLS1_2_VERSION...: just this; 0: any */
    bool one_by_one;                     /* each byte of the handshake with a call of its own */
    int receive_bytes;                   /* SO_RCVBUF; 0: the system's */
};

struct tls_client {
    struct raw raw; /* the encrypted side: sending goes through it, receiving does not */
    SSL_CTX *ctx;
    SSL *ssl;
    bool one_by_one;
    char *p; /* what was read; NUL-terminated */
    size_t len, cap;
    enum tls_end end;
    char why[128];
};

/* Connect and shake hands. False: see end and why. */
bool tls_client_open(struct tls_client *c, const struct endpoint *to,
                     const struct tls_client_wish *wish);
void tls_client_close(struct tls_client *c);
void tls_client_send(struct tls_client *c, struct slice bytes);
void tls_client_sendz(struct tls_client *c, const char *text);
void tls_client_notify(struct tls_client *c); /* close_notify; the descriptor stays open */
/* Read until `text` is in what was read since the last tls_client_drop(). */
bool tls_client_until(struct tls_client *c, const char *text);
bool tls_client_until_bytes(struct tls_client *c, size_t n);
enum tls_end tls_client_until_end(struct tls_client *c);
void tls_client_drop(struct tls_client *c);
size_t tls_client_count(const struct tls_client *c, const char *text);
/* CN of the certificate that the server showed. */
const char *tls_client_server_name(struct tls_client *c, char buf[64]);

#endif

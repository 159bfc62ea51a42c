/*
 * TLS below a server's connections: a context that all of them share (tls_context.c) and a session
 * for each (tls.c). What the bytes mean is not known here; who waits for what is conn.c's.
 *
 * TLS 1.2 and newer at OpenSSL's security level 2, HTTP/1.1 as the only ALPN protocol, no
 * renegotiation, no compression. Session tickets, but not where clients must show a certificate:
 * there each connection is checked against today's clock and authorities.
 */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include "base/err.h"
#include "config/tls_files.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    TLS_CHECK_MS = 10 * 1000,      /* between two looks at the files: three stat() calls */
    TLS_GATHER_BYTES = 16 * 1024,  /* small pieces leave as one record; the largest there is */
    TLS_CLIENT_SUBJECT_MAX = 1024, /* of a client's subject that is passed on */
    TLS_REASON_MAX = 128,          /* why a handshake failed */
};

/* ---- the context ---- */

struct tls_context;

struct tls_status {
    struct tls_facts facts; /* of the certificate that is used now */
    bool asks_client;       /* clients must show a certificate */
    uint64_t loads_total;   /* the first one included */
    uint64_t failures_total;
};

/*
 * Load the files and look after them: every TLS_CHECK_MS, when one has changed, they are loaded
 * again. What does not load is said once and the last good ones stay in use; connections keep what
 * they began with. Also warns once when the certificate is about to expire, and when it has; what
 * is so at the start was said by config/ already. The paths are borrowed until tls_context_free().
 * On failure the sentence names key and file.
 */
int tls_context_new(struct loop *l, const struct tls_files *files, struct tls_context **ret,
                    struct err *err);
void tls_context_free(struct tls_context *t);  /* after the servers that use it; NULL is fine */
void tls_context_check(struct tls_context *t); /* look now */
const struct tls_status *tls_context_status(const struct tls_context *t);

/* ---- a session ---- */

struct tls_session;

/* fd is borrowed, non-blocking. NULL: no memory. */
struct tls_session *tls_session_new(struct tls_context *t, int fd);
/* Sends nothing: what was sent so far looks cut off unless tls_session_end() came before. */
void tls_session_free(struct tls_session *s); /* NULL is fine */

/*
 * One step. 0: done. -EAGAIN: again when tls_session_waits() comes true. Else it has failed, an
 * alert has left if there was room, and reason says why.
 */
int tls_session_handshake(struct tls_session *s, char reason[TLS_REASON_MAX]);

/*
 * As recv() and sendmsg() do: bytes, 0 at the end of the peer's half (with or without its
 * close_notify: framing finds out what is missing), -EAGAIN, -errno. After a write of less than
 * everything the next one must begin with the same bytes and have no fewer of them.
 */
long tls_session_read(struct tls_session *s, char *p, size_t n);
long tls_session_write(struct tls_session *s, const struct iovec *iov, int count);

/* Did the last write move bytes to the kernel, though perhaps no whole record? */
bool tls_session_has_moved(const struct tls_session *s);
/* Bytes were read from the descriptor that tls_session_read() has not given yet: no event tells. */
bool tls_session_has_input(const struct tls_session *s);
/* After -EAGAIN: WATCH_READ or WATCH_WRITE, what a handshake waits for. */
int tls_session_waits(const struct tls_session *s);
/* A part of a record is here, or more. */
bool tls_session_is_midway(const struct tls_session *s);
/*
 * A read may wait for room, and a write for input: what to watch then, where plain bytes would need
 * `events`. While one waits, any event may end it: try both.
 */
bool tls_session_is_crossed(const struct tls_session *s);
int tls_session_watches(const struct tls_session *s, int events);

/* close_notify: 0, or -EAGAIN when it must be tried again. Nothing may be written after. */
int tls_session_end(struct tls_session *s);

/*
 * The verified client: Hash=<SHA-256 of the certificate>;Subject="<RFC 2253>", printable ASCII, the
 * subject's quotes and backslashes escaped; without a subject that is empty or too long. NULL when
 * none was asked for.
 */
const char *tls_session_client(const struct tls_session *s);

/* ---- private to tls.c and tls_context.c ---- */

struct ssl_st;
struct bio_method_st;
struct ssl_st *tls_context_ssl(struct tls_context *t); /* a new one, or NULL */
const struct bio_method_st *tls_context_bio(const struct tls_context *t);
char *tls_context_gather(struct tls_context *t); /* TLS_GATHER_BYTES, until the next call */
struct bio_method_st *tls_bio_method(void);      /* tls.c: made once per context */

#endif

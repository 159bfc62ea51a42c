/*
 * A scripted HTTP server on a thread of its own, on a loopback port the kernel chose: it can answer
 * anything, late, half, or not at all. One callback decides per request.
 */
#ifndef TESTS_SUPPORT_FAKE_HTTP_H
#define TESTS_SUPPORT_FAKE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake;

struct fake_request {
    char method[8];
    char target[1024];
    char head[16384]; /* the fields, NUL-terminated */
    char *body;       /* NUL-terminated */
    size_t body_bytes;
    unsigned connection; /* counts from 1 */
};

enum fake_action {
    FAKE_ANSWER = 0,
    FAKE_HANG,  /* read, and no answer until the server is freed */
    FAKE_CLOSE, /* read, then an orderly end without an answer */
    FAKE_RESET, /* read, then RST */
    FAKE_CUT,   /* a head that promises more than the body has */
    FAKE_RAW,   /* the body is the whole answer, head included */
};

struct fake_answer {
    enum fake_action action;
    int status;
    const char *fields; /* extra ones, each ending in CRLF; NULL = none. Content-Type is JSON unless
                           one is here */
    char body[65536];   /* NUL-terminated */
};

/* Runs on the server's threads, one at a time (the server's lock is held), and not at all for a
 * request whose client has closed the connection before. */
typedef void fake_fn(void *arg, const struct fake_request *rq, struct fake_answer *ret);

struct fake *fake_open(fake_fn *fn, void *arg);
struct fake *fake_open_unix(const char *path, fake_fn *fn, void *arg);
uint16_t fake_port(const struct fake *f);
void fake_free(struct fake *f);
void fake_lock(struct fake *f); /* to read what fn writes */
void fake_unlock(struct fake *f);

/* The value of a field, or NULL; valid until the next call. */
const char *fake_field(const struct fake_request *rq, const char *name);

#endif

/*
 * A blocking client socket for tests: sends exactly these bytes, reads until a condition or a
 * deadline. Failures are assertions of the test.
 */
#ifndef SUPPORT_RAW_SOCKET_H
#define SUPPORT_RAW_SOCKET_H

#include "base/endpoint.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { RAW_MAX = 4 * 1024 * 1024, RAW_WAIT_MS = 60000 };

struct raw {
    int fd;
    char *p; /* what was read and not yet dropped; NUL-terminated */
    size_t len;
    size_t taken; /* of the answer that raw_answer() returned last */
    bool eof;
    bool reset; /* the other side reset the connection */
    bool cut;   /* it takes no more of ours; what it has sent can still be read */
};

void raw_open(struct raw *r, const struct endpoint *to);
void raw_close(struct raw *r);
void raw_reset(struct raw *r); /* closes so that the other side sees a reset (TCP) */
void raw_send(struct raw *r, struct slice bytes);
void raw_sendz(struct raw *r, const char *text);
void raw_shut(struct raw *r);                            /* ends our side */
size_t raw_send_some(struct raw *r, struct slice bytes); /* what fits without waiting */

/* Read until `text` is in what was read (true), or EOF, reset or RAW_WAIT_MS. */
bool raw_until(struct raw *r, const char *text);
bool raw_until_bytes(struct raw *r, size_t n);
bool raw_until_closed(struct raw *r); /* EOF or reset */
void raw_drop(struct raw *r);         /* forget what was read */
size_t raw_count(const struct raw *r, const char *text);

/* One answer with Content-Length: its status; *ret_body (may be NULL) points into r->p. The answer
 * is dropped at the next call. */
int raw_answer(struct raw *r, struct slice *ret_body);

#endif

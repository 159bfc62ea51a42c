/*
 * A real server on loopback in a thread of its own, with a handler that does what the path says.
 * The test talks to it through raw sockets and looks at the counters after fixture_stop().
 *
 *   /hello  answers "hello"               /later   the same after some turns of the loop
 *   /size   answers how many bytes came   /sip     like /size, takes at most 7 bytes at a time and
 * pauses in between /never  keeps the request             /stream  a chunked event stream, one
 * event per 10 ms, for ever /big    1 MiB, chunked                /two     chunked: two pieces, the
 * second some turns later /abort  chunked: one piece, then exchange_abort() /early  403 without
 * looking at the body /collect  at most 100 bytes, sent back /kept   keeps its head, answers with
 * target and X-Test after some turns, / does with target and host /short  promises 10 bytes,
 * finishes after 5   /interim  a 103, then hello    /nothing  204 /close  hello, and the last
 * /stale-length  Content-Length as a field, with HEAD   /huge  HUGE_BYTES of huge_byte(), chunked
 * /who    the verified TLS client
 */
#ifndef SUPPORT_SERVER_FIXTURE_H
#define SUPPORT_SERVER_FIXTURE_H

#include "loop/loop.h"
#include "server/server.h"
#include "server/tls.h"
#include "support/raw_socket.h"

#include <pthread.h>

enum { HUGE_BYTES = 9 * 1024 * 1024 };
static inline char huge_byte(size_t at) /* a piece lost, doubled or moved shows */
{
    return (char)('a' + at % 23);
}

struct fixture {
    struct loop *loop;
    struct server *server;
    struct tls_files tls_files; /* cert set: TLS */
    struct tls_context *tls;
    struct tls_status tls_status; /* after each order, and fixture_stop() */
    struct server_config cfg;
    struct endpoint at;
    struct server_stats stats; /* after fixture_stop() */
    pthread_t thread;
    struct watch wake;
    int wake_fd;
    int64_t linger_ms; /* for a word of ours to be read */
    _Atomic int order; /* what the thread shall do when woken */
    _Atomic bool is_paused;
    _Atomic int began, ended, complete, body_ends; /* handler calls so far */
    _Atomic long body_bytes;
    _Atomic long most_bytes; /* the most that on_body was given at once */
};

void fixture_config(struct fixture *f); /* defaults for tests: long timeouts, 127.0.0.1:0 */
void fixture_start(struct fixture *f);
void fixture_stop(struct fixture *f); /* ends and joins the thread, frees server and loop */
void fixture_free_server(
    struct fixture *f); /* ends the thread and frees the server, whatever is open */
enum {
    ORDER_STOP = 0,
    ORDER_LAST,
    ORDER_CLOSE_IDLE,
    ORDER_STOP_ACCEPTING,
    ORDER_TLS_CHECK,
    ORDER_PAUSE,   /* fixture_pause() */
    ORDER_TURN,    /* nothing: a turn has passed */
    ORDER_NO_HEAD, /* the time for heads is over, for all that wait for one */
};
void fixture_order(struct fixture *f, int order); /* returns when the server's thread has done it */
/*
 * The thread stands still until fixture_resume(): what is sent in between is there, whole, when the
 * server sees that somebody has connected and its deadlines begin.
 */
void fixture_pause(struct fixture *f);
void fixture_resume(struct fixture *f);
/* What r sent has been read by the server, as far as it reads. */
void fixture_has_read(struct fixture *f, const struct raw *r);
bool fixture_wait(_Atomic int *counter, int at_least); /* with a deadline */

#endif

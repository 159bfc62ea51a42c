/*
 * libcurl's multi interface on our loop: one struct for the process, transfers as easy handles.
 *
 * curl_io_new() is cheap and does not touch libcurl; the first curl_io_start() initialises it, so a
 * sidecar that never calls out never loads it. The handle stays the caller's; it must not be
 * touched between start and done (or cancel).
 *
 * A name server that never answers must not stop the loop, and must not gather threads: every
 * handle gets CURLOPT_QUICK_EXIT and CURLOPT_NOSIGNAL, and while one transfer resolves a host name,
 * others to the same host wait in a queue (design section 2). The wait counts against timeout_ms.
 */
#ifndef LOOP_CURL_IO_H
#define LOOP_CURL_IO_H

#include "base/err.h"
#include "loop/loop.h"

#include <curl/curl.h>

struct curl_io;
typedef void curl_done_fn(void *arg, CURL *easy, CURLcode result);

int curl_io_new(struct loop *l, struct curl_io **ret, struct err *err);
void curl_io_free(struct curl_io *io); /* cancels what is under way, without callbacks */

/*
 * timeout_ms > 0: for all of it, the wait in the queue included (CURLOPT_TIMEOUT_MS is set from
 * it); 0 leaves what the handle has, and a wait in the queue without end. 0, -ENOMEM or -EIO; done
 * is called later, never from here, and from a clean stack: it may start, cancel and clean up
 * handles. Start and cancel must not be called from libcurl's own callbacks (return an error there
 * instead, and the transfer ends).
 */
int curl_io_start(struct curl_io *io, CURL *easy, int64_t timeout_ms, curl_done_fn *done,
                  void *arg);
/* done is not called; harmless when not started */
void curl_io_cancel(struct curl_io *io, CURL *easy);

#endif

/*
 * libcurl's multi interface on our loop: one struct for the process, transfers as easy handles.
 *
 * curl_io_new() is cheap and does not touch libcurl; the first curl_io_start() initialises it, so a
 * sidecar that never calls out never loads it. The handle stays the caller's; it must not be
 * touched between start and done (or cancel).
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

/* 0 or -EIO; done is called later, never from here */
int curl_io_start(struct curl_io *io, CURL *easy, curl_done_fn *done, void *arg);
/* done is not called; harmless when not started */
void curl_io_cancel(struct curl_io *io, CURL *easy);

#endif

/*
 * The callers' static bearer tokens: listen.bearer_tokens_file, held as SHA-256 digests, read again
 * when the file changes. Comparing digests takes the same time whatever was sent, and a core file
 * or a stray pointer finds no token here.
 *
 * The file is looked at when a request asks (bearer_look), at most once in BEARER_LOOK_MS: a stat,
 * and a read of at most 64 KiB only when it shows another file. That is on the loop, on purpose: a
 * token that was taken out of the file must not be good for one more request because a disk was
 * asked in the background.
 *
 * Source: design section 5; A section 9 (mode static).
 */
#ifndef PROXY_BEARER_H
#define PROXY_BEARER_H

#include "base/err.h"
#include "base/slice.h"
#include "http/request.h"

#include <stdint.h>

enum { BEARER_LOOK_MS = 1000 };

struct bearer;

/* Reads the file: -EINVAL and -errno with a sentence. path is borrowed until bearer_free(). */
int bearer_new(const char *path, int64_t now_ms, struct bearer **ret, struct err *err);
void bearer_free(struct bearer *b); /* NULL is fine */

/*
 * Take over what the file says now, if it is time to look. A bad file (missing, unreadable,
 * malformed, empty) changes nothing and is said once.
 */
void bearer_look(struct bearer *b, int64_t now_ms);

/* Is it one of them? Compared with all of them, in time that depends on its length only. */
bool bearer_has(const struct bearer *b, struct slice token);
/* Does one of the request's Authorization fields carry one of them? */
bool bearer_admits(const struct bearer *b, const struct http_request *rq);

#endif

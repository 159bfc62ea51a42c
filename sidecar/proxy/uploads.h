/*
 * POST <base>/internal/chat/uploads/ingest: files that people attach in the canvas, sent by the
 * platform (P section 17.5) as multipart/form-data, field `files`. They are streamed into
 * forward.uploads_dir through the storage thread, one piece at a time: while a piece is written the
 * client waits, so memory is bounded and the loop never waits for the disk.
 *
 *   200 {"files":[{"uri":"workspace:<path>","name":"...","mimeType":"...","size":n}]}
 *   400 malformed, or no file    413 too large    500 the disk failed    507 the disk is full
 *
 * All files of a request are there with their names, or none: one that fails, or whose client goes
 * before the end, leaves nothing.
 *
 * An upload under way is work: a drain waits for it, whether or not the agent still lives, and lets
 * no new one begin.
 */
#ifndef PROXY_UPLOADS_H
#define PROXY_UPLOADS_H

#include "proxy/state.h"

enum {
    UPLOAD_FILE_BYTES_MAX = 25 * 1024 * 1024,    /* of one file: P section 17.5 */
    UPLOAD_REQUEST_BYTES_MAX = 50 * 1024 * 1024, /* content of all parts of a request */
    UPLOAD_FRAMING_BYTES_MAX = 512 * 1024,       /* what multipart may add to that */
    UPLOADS_AT_ONCE = 4,                         /* more are asked to come again */
    UPLOAD_TYPE_MAX = 127,                       /* bytes of a media type that is repeated */
};

/* Who asks was checked. Answers, or takes the request over. */
void upload_begin(struct proxy *p, struct exchange *x);
size_t upload_on_body(struct pump *u, struct slice bytes);
void upload_on_body_end(struct pump *u);
void upload_leave(struct pump *u); /* the exchange is over */
/* The one that has been under way longest; NULL: none is. */
const struct pump *upload_first(const struct proxy *p);

#endif

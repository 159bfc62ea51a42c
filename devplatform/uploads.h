/*
 * The canvas' files on their way to an agent: POST /workspaces/:id/chat/uploads (handlers.h) asks
 * the agent's own door for them, and its answer is ours.
 *
 *   200, 400, 413  as the agent says
 *   502            the agent failed       503  it has no URL
 *
 * A workspace that polls has its files kept for it (pending.h).
 */
#ifndef DEVPLATFORM_UPLOADS_H
#define DEVPLATFORM_UPLOADS_H

#include "devplatform/call.h"

enum { UPLOAD_BODY_MAX = 51 * 1024 * 1024 }; /* bytes: 50 MiB of files and what frames them */

struct upload; /* one under way; it ends with its call */

void upload_forget(struct upload *u); /* the caller is gone: it is broken off; NULL is fine */

#endif

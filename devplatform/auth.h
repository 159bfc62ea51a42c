/*
 * Who is calling: the four layers of P section 3.2, with their quirks. A layer that refuses has
 * answered the call and says false.
 */
#ifndef DEVPLATFORM_AUTH_H
#define DEVPLATFORM_AUTH_H

#include "devplatform/call.h"

/* 1: register, heartbeat, update-card. `ws` may be NULL (unknown id). Passes without a bearer while
 * no token lives. */
bool auth_registry(struct call *c, struct workspace *ws);

/* 2: /workspaces/:id/...; `ws` may be NULL. The admin token, a live token of exactly this
 * workspace, or nobody when no admin token is configured (development mode). While the "database"
 * is down everything is refused. */
bool auth_workspace(struct call *c, struct workspace *ws);

/* 2 once more, for /state and secrets: only the workspace's own token. */
bool auth_own_token(struct call *c, struct workspace *ws);

/* 3: /a2a, discover, peers. *ret_caller is NULL for an anonymous caller (the canvas), else the
 * caller's id, which may be unknown. The text lives as long as the call and the world. `fixed_id`:
 * the identity that the path names, else empty. */
bool auth_caller(struct call *c, struct slice fixed_id, struct slice *ret_caller);

/* 4: creating and deleting. */
bool auth_admin(struct call *c);

#endif

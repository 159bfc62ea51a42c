/*
 * The four authentication layers. Nothing here changes the world but the tokens' time of last use.
 */
#include "devplatform/auth.h"

#define MISSING "missing workspace auth token"
#define INVALID "invalid workspace auth token"

static bool refuse(struct call *c, const char *text)
{
    call_error(c, 401, text);
    return false;
}

static bool is_admin(const struct call *c)
{
    const char *admin = c->dp->options->admin_token;

    return admin[0] && slice_eq_secret(call_bearer(c), slice_of(admin));
}

/* Development mode: without an admin token, calls without a bearer pass layers 2 and 4. */
static bool is_hatch_open(const struct call *c)
{
    return !c->dp->options->admin_token[0] && call_bearer(c).n == 0;
}

bool auth_registry(struct call *c, struct workspace *ws)
{
    if (c->dp->database_is_down) /* fails open; the handler then cannot write */
        return true;
    if (!ws || token_live_count(ws) == 0)
        return true;
    if (call_bearer(c).n == 0)
        return refuse(c, MISSING);
    return token_check(ws, call_bearer(c)) ? true : refuse(c, INVALID);
}

bool auth_workspace(struct call *c, struct workspace *ws)
{
    if (call_bearer(c).n == 0 && !is_hatch_open(c))
        return refuse(c, MISSING);
    if (c->dp->database_is_down)
        return refuse(c, INVALID);
    if (is_admin(c) || is_hatch_open(c))
        return true;
    return ws && token_check(ws, call_bearer(c)) ? true : refuse(c, INVALID);
}

bool auth_own_token(struct call *c, struct workspace *ws)
{
    if (call_bearer(c).n == 0)
        return refuse(c, MISSING);
    return ws && token_check(ws, call_bearer(c)) ? true : refuse(c, INVALID);
}

bool auth_caller(struct call *c, struct slice fixed_id, struct slice *ret_caller)
{
    static const char *const reserved[] = {"webhook:", "system:", "test:", "channel:"};
    struct slice id = fixed_id.n ? fixed_id : call_header(c, "X-Workspace-ID");
    struct slice bearer = call_bearer(c);
    struct workspace *ws;

    *ret_caller = (struct slice){0};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
        if (slice_starts_with(id, slice_of(reserved[i]))) {
            call_error(c, 403, "invalid caller ID");
            return false;
        }
    }
    if (id.n == 0) { /* an unknown or revoked bearer is silently nobody */
        ws = c->dp->database_is_down ? NULL : token_owner(&c->dp->world, bearer);
        if (ws)
            *ret_caller = slice_of(ws->id);
        return true;
    }
    *ret_caller = id;
    ws = world_find(&c->dp->world, id);
    if (c->dp->database_is_down || !ws || token_live_count(ws) == 0)
        return true;
    if (bearer.n == 0)
        return refuse(c, "missing caller auth token");
    return token_check(ws, bearer) || is_admin(c) ? true : refuse(c, "invalid caller auth token");
}

bool auth_admin(struct call *c)
{
    if (is_admin(c) || is_hatch_open(c))
        return true;
    return refuse(c, call_bearer(c).n ? "invalid admin auth token" : "admin auth required");
}

/*
 * Files that people attach in the canvas (P sections 12 and 17.5): handed to the agent of a push
 * workspace as they came, with its inbound secret; what it answers is the answer. Workspaces that
 * poll fetch theirs: pending.c.
 */
#include "devplatform/uploads.h"

#include "base/cleanup.h"
#include "client/client.h"
#include "devplatform/auth.h"
#include "devplatform/handlers.h"
#include "devplatform/urlcheck.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    UPLOAD_CONNECT_MS = 10 * 1000,
    UPLOAD_TOTAL_MS = 120 * 1000, /* P section 17.5 */
    UPLOAD_TYPE_MAX = 256,        /* bytes of a Content-Type that is handed on */
};

static const char ingest[] = "/internal/chat/uploads/ingest";

struct upload {
    struct call *call;
    struct client_call *client;
};

void upload_forget(struct upload *u)
{
    if (!u)
        return;
    u->call->upload = NULL;
    client_cancel(u->client);
    free(u);
}

static void on_done(void *arg, const struct client_answer *answer)
{
    struct upload *u = arg;
    struct call *c = u->call;

    u->client = NULL;
    upload_forget(u);
    if (answer->outcome != CLIENT_OK) {
        call_note(c, "%s", answer->error);
        call_error(c, 502, "workspace is not reachable");
    } else if (answer->status == 200 || answer->status == 400 || answer->status == 413) {
        call_note(c, "the agent answered %d", answer->status);
        call_answer_text(c, answer->status, "application/json", answer->body);
    } else {
        call_note(c, "the agent answered %d", answer->status);
        call_error(c, 502, "workspace did not take the upload");
    }
}

static void hand_over(struct call *c, struct workspace *ws)
{
    char url[WORLD_URL_MAX + sizeof(ingest)], type[UPLOAD_TYPE_MAX], authorization[96];
    struct slice base = slice_of(ws->url), media = call_header(c, "Content-Type");
    struct client_request rq = {
        .method = "POST",
        .url = url,
        .headers = {type, authorization, "User-Agent: Go-http-client/1.1", "Accept:", "Expect:"},
        .body = str_slice(&c->body),
        .connect_timeout_ms = UPLOAD_CONNECT_MS,
        .timeout_ms = UPLOAD_TOTAL_MS,
    };
    struct upload *u = calloc(1, sizeof(*u));
    struct err err = {0};

    if (!u) {
        call_error(c, 500, "out of memory");
        return;
    }
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    snprintf(url, sizeof(url), "%.*s%s", (int)base.n, base.p, ingest);
    snprintf(type, sizeof(type), "Content-Type: %.*s", (int)media.n, media.p);
    snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s",
             workspace_inbound_secret(ws));
    u->call = c;
    c->upload = u;
    devlog_say(&c->dp->log, "  handing %zu bytes to %s", c->body.len, url);
    if (client_start(c->dp->curl, &rq, on_done, u, &u->client, &err) < 0) {
        upload_forget(u);
        call_note(c, "%s", err.msg);
        call_error(c, 502, "workspace is not reachable");
    }
}

void handle_upload(struct call *c)
{
    struct workspace *ws = world_find(&c->dp->world, c->params[0]);
    struct slice media = call_header(c, "Content-Type");
    struct err err = {0};

    if (!auth_workspace(c, ws))
        return;
    if (!ws)
        call_error(c, 404, "workspace not found");
    else if (!slice_starts_with(media, SLICE("multipart/form-data")) ||
             media.n > UPLOAD_TYPE_MAX - sizeof("Content-Type: "))
        call_error(c, 400, "expected multipart/form-data with field \"files\"");
    else if (c->body.len > UPLOAD_BODY_MAX)
        call_error(c, 413, "upload is larger than 50 MB");
    else if (strcmp(ws->delivery_mode, "poll") == 0)
        handle_pending_upload(c, ws);
    else if (!ws->url[0])
        call_error(c, 503, "workspace has no URL");
    else if (url_check(ws->url, URL_CHECK_DISPATCH, &err) < 0)
        call_error(c, 502, "workspace URL is not publicly routable");
    else
        hand_over(c, ws);
}

/*
 * The platform's inbound secret (P sections 7.1 and 17.1): which one it is, and its file. A beat
 * answers 200 with an invented secret for a row that is gone, so one named by a beat counts only
 * once the row has been seen alive after it (design section 13): by an answer to what was asked
 * after it, for two answers may overtake each other.
 */
#include "platform/internal.h"

#include "log/log.h"

#include <errno.h>
#include <stdio.h>

#include "base/banned.h"

static void on_saved(struct platform *p, int code, struct slice content, const char *message)
{
    (void)content; /* empty: this was a write */
    if (code < 0)
        log_warning("platform",
                    "cannot save the platform's inbound secret: %s; going on with the "
                    "one in memory",
                    message);
    (void)p;
}

static void adopt(struct platform *p, struct slice secret)
{
    struct inbound *in = &p->inbound;

    str_wipe(&in->secret);
    str_add(&in->secret, secret);
    int rc = disk_write_secret(p, in->path, secret, on_saved);
    if (rc < 0)
        on_saved(p, rc, secret, "too many disk jobs wait");
}

void inbound_named(struct platform *p, struct slice json, bool row_is_known)
{
    struct inbound *in = &p->inbound;
    char text[TOKEN_MAX + 1];

    if (!reply_text(json, "platform_inbound_secret", text, sizeof(text)))
        return;
    struct slice secret = slice_of(text);
    if (token_is_plausible(secret)) {
        if (slice_eq_secret(secret, str_slice(&in->secret))) {
            str_wipe(&in->candidate);
        } else if (row_is_known) {
            adopt(p, secret);
        } else if (!slice_eq_secret(secret, str_slice(&in->candidate))) {
            str_wipe(&in->candidate);
            str_add(&in->candidate, secret);
            in->is_early = call_is_busy(&p->state.a.call);
        }
    }
    explicit_bzero(text, sizeof(text));
}

void inbound_row_is_alive(struct platform *p)
{
    struct str secret = p->inbound.candidate;

    if (p->inbound.is_early) {
        p->inbound.is_early = false;
        return;
    }
    if (secret.len == 0)
        return;
    p->inbound.candidate = (struct str){0};
    adopt(p, str_slice(&secret));
    str_wipe(&secret);
}

static void on_loaded(struct platform *p, int code, struct slice content, const char *message)
{
    if (code == 0 && p->inbound.secret.len == 0 && token_is_plausible(content))
        str_add(&p->inbound.secret, content);
    else if (code < 0 && code != -ENOENT)
        log_warning("platform", "the saved inbound secret is not used: %s", message);
}

void inbound_start(struct platform *p)
{
    (void)snprintf(p->inbound.path, sizeof(p->inbound.path), "%s/.platform_inbound_secret",
                   p->cfg->state.dir);
    (void)disk_read_secret(p, p->inbound.path, false, on_loaded); /* without it: it comes again */
}

void inbound_release(struct platform *p)
{
    str_wipe(&p->inbound.secret);
    str_wipe(&p->inbound.candidate);
}

/*
 * The workspace's secrets (P section 9): pull, refresh, and a second pull before a map that lost a
 * name is believed. Values are never logged, and wiped when replaced. Which of them reach a child's
 * environment is secret_name_is_exportable()'s word and app/'s deed.
 */
#include "platform/secrets.h"

#include "base/json_scan.h"
#include "log/log.h"
#include "platform/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static void on_due(struct timer *t);

/* ---- the map -----------------------------------------------------------------------------------
 */

static void secret_release(struct secret *s)
{
    free(s->name);
    if (s->value)
        explicit_bzero(s->value, strlen(s->value));
    free(s->value);
    *s = (struct secret){0};
}

void secrets_release(struct secrets *s)
{
    for (size_t i = 0; i < s->n; i++)
        secret_release(&s->v[i]);
    free(s->v);
    *s = (struct secrets){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct secret *)a)->name, ((const struct secret *)b)->name);
}

/* Decoded copy of a string token; -EINVAL when it holds U+0000, which no environment can carry. */
static int decode(struct slice token, char **ret)
{
    char *text = malloc(token.n + 1); /* decoding never makes longer */

    if (!text)
        return -ENOMEM;
    long n = json_string_decode(token, text, token.n + 1);
    if (n < 0) {
        explicit_bzero(text, token.n + 1);
        free(text);
        return (int)n;
    }
    *ret = text;
    return 0;
}

static void leave_out(struct secrets *s, const char *name)
{
    struct str list = {0};

    str_addf(&list, "%s%s", s->left_out, s->left_out_count ? ", " : "");
    str_add_printable(&list, slice_of(name), SECRETS_LEFT_OUT_MAX);
    (void)snprintf(s->left_out, sizeof(s->left_out), "%s", str_z(&list));
    s->left_out_count++;
    str_release(&list);
}

/* One member. A value that is no string, or cannot be one here, is left out and said. */
static int add_member(struct secrets *s, const struct json_iter *it)
{
    struct secret new = {0};

    if (it->type != JSON_STRING)
        return 0;
    int rc = decode(it->key, &new.name);
    if (rc == 0)
        rc = decode(it->value, &new.value);
    if (rc < 0) {
        if (rc != -ENOMEM && new.name)
            leave_out(s, new.name);
        secret_release(&new);
        return rc == -ENOMEM ? rc : 0;
    }
    if (!secret_name_is_exportable(new.name))
        leave_out(s, new.name);
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->v[i].name, new.name) == 0) { /* twice: the last one counts, as in Go */
            secret_release(&s->v[i]);
            s->v[i] = new;
            return 0;
        }
    }
    struct secret *longer = realloc(s->v, (s->n + 1) * sizeof(*longer));
    if (!longer) {
        secret_release(&new);
        return -ENOMEM;
    }
    s->v = longer;
    s->v[s->n++] = new;
    return 0;
}

int secrets_parse(struct slice json, struct secrets *ret)
{
    struct json_iter it;
    size_t seen = 0;
    int rc = 0;

    *ret = (struct secrets){.is_known = true};
    if (json_type_of(slice_trim(json)) != JSON_OBJECT || !json_iter_begin(&it, json))
        return -EBADMSG;
    while (rc == 0 && json_next(&it))
        rc = ++seen > SECRETS_MAX ? -E2BIG : add_member(ret, &it);
    if (rc == 0 && it.failed)
        rc = -EBADMSG;
    if (rc < 0)
        secrets_release(ret);
    else if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
    return rc;
}

static bool is_equal(const struct secrets *a, const struct secrets *b)
{
    if (a->n != b->n || strcmp(a->left_out, b->left_out) != 0)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->v[i].name, b->v[i].name) != 0 || strcmp(a->v[i].value, b->v[i].value) != 0)
            return false;
    }
    return true;
}

static bool is_shrunken(const struct secrets *before, const struct secrets *now)
{
    for (size_t i = 0; i < before->n; i++) {
        if (now->n == 0 || !bsearch(&before->v[i], now->v, now->n, sizeof(*now->v), by_name))
            return true;
    }
    return false;
}

/* ---- pulling -----------------------------------------------------------------------------------
 */

static void plan_refresh(struct platform *p)
{
    int64_t refresh = p->cfg->secrets.refresh;

    if (refresh > 0)
        activity_at(&p->puller.a,
                    loop_now_ms(p->loop) +
                        (transport_rate_is_short(&p->transport) ? refresh * 4 : refresh),
                    on_due);
}

static void take(struct platform *p, struct secrets *new)
{
    bool is_first = !p->secrets.is_known;

    p->puller.is_confirming = false;
    if (is_first || !is_equal(&p->secrets, new)) {
        secrets_release(&p->secrets);
        p->secrets = *new;
        p->status.secret_count = p->secrets.n;
        log_info("platform", "%zu secrets%s", p->secrets.n, is_first ? "" : ", changed");
        if (p->secrets.left_out_count > 0)
            log_warning("platform",
                        "%zu of the workspace's secrets do not reach the agent: %s; such a name is "
                        "none in an environment, is ours, or changes how programs are found or run "
                        "(or the value holds U+0000): choose other names",
                        p->secrets.left_out_count, p->secrets.left_out);
        plan_refresh(p);
        if (p->cb.on_secrets)
            p->cb.on_secrets(p->arg, &p->secrets, is_first);
    } else {
        secrets_release(new);
        plan_refresh(p);
    }
    platform_maybe_spawn(p);
}

static void failed(struct platform *p, const struct reply *r, int64_t cap_ms)
{
    activity_bad(&p->puller.a, r);
    activity_at(&p->puller.a, activity_retry_at(&p->puller.a, r, cap_ms), on_due);
}

static void on_reread(struct platform *p, bool is_new)
{
    if (is_new)
        secrets_pull_now(p);
    else
        state_check_now(p); /* what does the 401 mean? A pull follows when it is active again */
}

/* "GITHUB_TOKEN, workspace:X": the keys the platform could not decrypt (P section 9). */
static void name_failed_keys(const struct reply *r, struct reply *out)
{
    struct slice list;
    struct json_iter it;
    struct str text = {0};
    char key[128];

    if (!json_member(r->json, "failed_keys", &list, NULL) || !json_iter_begin(&it, list))
        return;
    str_addf(&text, "%.200s; the platform cannot decrypt", r->error);
    while (json_next(&it)) {
        if (it.type == JSON_STRING && json_string_decode(it.value, key, sizeof(key)) >= 0) {
            str_addz(&text, " ");
            str_add_printable(&text, slice_of(key), sizeof(key));
        }
    }
    (void)snprintf(out->error, sizeof(out->error), "%s", str_z(&text));
    str_release(&text);
}

static void on_reply(void *arg, const struct reply *r)
{
    struct platform *p = arg;
    struct reply said = *r;
    struct secrets new = {0};

    if (r->class != REPLY_OK) {
        if (r->status == 500 && r->json.n > 0)
            name_failed_keys(r, &said);
        failed(p, &said, r->status == 401 ? p->times.refused_cap : 0);
        if (r->status == 401)
            token_refused(p, r->token_age, &p->puller.waiter, on_reread);
        return;
    }
    int rc = secrets_parse(r->json, &new);

    if (rc == -E2BIG)
        (void)snprintf(said.error, sizeof(said.error), "the platform sent more than %d secrets",
                       SECRETS_MAX);
    else if (rc < 0)
        (void)snprintf(said.error, sizeof(said.error), "the secrets are not a JSON object");
    if (rc < 0) {
        failed(p, &said, 0);
        return;
    }
    activity_good(&p->puller.a, r);
    token_worked(p, r->token_age);
    if (p->secrets.is_known && !p->puller.is_confirming && is_shrunken(&p->secrets, &new)) {
        secrets_release(&new); /* may be a hiccup over there: ask again before believing it */
        p->puller.is_confirming = true;
        activity_at(&p->puller.a, loop_now_ms(p->loop) + p->times.shrink_gap, on_due);
        return;
    }
    take(p, &new);
}

static void on_due(struct timer *t)
{
    struct activity *a = t->arg;
    struct platform *p = a->p;
    char path[PATH_MAX];

    activity_started(a);
    platform_path(p, "/secrets/values", path, sizeof(path));
    call_send(&a->call, &p->transport, path, (struct slice){0}, 0, on_reply, p);
}

void secrets_pull_now(struct platform *p)
{
    if (!p->puller.is_started || p->is_finishing || call_is_busy(&p->puller.a.call) ||
        p->puller.is_confirming)
        return;
    activity_at(&p->puller.a, loop_now_ms(p->loop), on_due);
}

void secrets_start(struct platform *p)
{
    if (p->puller.is_started || p->cfg->secrets.mode == SECRETS_OFF)
        return;
    p->puller.is_started = true;
    secrets_pull_now(p);
}

void secrets_configure(struct platform *p)
{
    struct activity *a = &p->puller.a;

    if (p->puller.is_started && p->secrets.is_known && !a->timer.armed && !call_is_busy(&a->call) &&
        !p->puller.is_confirming)
        plan_refresh(p); /* secrets.refresh was 0: nothing else would begin it */
}

void secrets_stop(struct platform *p)
{
    activity_stop(&p->puller.a);
    p->puller.is_started = false;
    p->puller.is_confirming = false;
}

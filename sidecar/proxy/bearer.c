/*
 * Static bearer tokens as digests, and the file they come from. Who needs one is local.c's
 * decision, that they go no further headers.c's.
 */
#include "proxy/bearer.h"

#include "base/clock.h"
#include "config/tokens.h"
#include "log/log.h"
#include "proxy/headers.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/banned.h"

enum {
    DIGEST_BYTES = 32,    /* SHA-256 */
    SETTLED_MS = 2 * 1000 /* a younger file may change once more within its time stamp's step */
};

struct digests {
    uint8_t v[TOKENS_MAX][DIGEST_BYTES];
    size_t n;
    bool failed; /* no memory for a digest */
};

struct bearer {
    const char *path;
    int64_t looked_ms;
    struct stat seen;                             /* of the file that was read last, good or bad */
    bool is_settled;                              /* seen is enough to tell that nothing changed */
    bool is_open;                                 /* group or others may read it */
    char said[sizeof(((struct err *)NULL)->msg)]; /* the last warning; "" = the file is good */
    struct digests known;
};

static bool digest(struct slice token, uint8_t ret[DIGEST_BYTES])
{
    return EVP_Digest(token.p, token.n, ret, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- the file ---- */

static void on_token(void *arg, struct slice token)
{
    struct digests *to = arg;

    if (!digest(token, to->v[to->n]))
        to->failed = true;
    to->n++; /* tokens_parse() gives no more than TOKENS_MAX */
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* st was taken before the read: a file that is replaced in between looks new the next time. */
static int take(struct bearer *b, const struct stat *st, struct err *err)
{
    struct digests fresh = {.n = 0};
    int64_t age_ms = clock_wall_ms() - (int64_t)st->st_ctim.tv_sec * 1000;
    int code = tokens_read(b->path, on_token, &fresh, err);

    b->seen = *st;
    b->is_settled = age_ms >= SETTLED_MS;
    if (code == 0 && fresh.failed)
        code = err_set(err, -ENOMEM, "no memory for the tokens of %s", b->path);
    if (code == 0)
        b->known = fresh;
    return code;
}

int bearer_new(const char *path, int64_t now_ms, struct bearer **ret, struct err *err)
{
    struct bearer *b = calloc(1, sizeof(*b));
    struct stat st;
    int code;

    if (!b)
        return err_set(err, -ENOMEM, "no memory for the tokens of %s", path);
    b->path = path;
    b->looked_ms = now_ms;
    if (stat(path, &st) < 0)
        code = err_set(err, -errno, "cannot look at %s: %m", path);
    else
        code = take(b, &st, err);
    if (code) {
        bearer_free(b);
        return code;
    }
    b->is_open = (st.st_mode & (S_IRWXG | S_IRWXO)) != 0; /* config/ has said so */
    *ret = b;
    return 0;
}

void bearer_free(struct bearer *b)
{
    free(b);
}

/* A file that stays bad is said once, however often it is looked at. */
static void say(struct bearer *b, const char *sentence)
{
    if (strcmp(b->said, sentence) == 0)
        return;
    (void)snprintf(b->said, sizeof(b->said), "%s", sentence);
    log_warning("proxy", "listen.bearer_tokens_file: %s; going on with the tokens known before",
                sentence);
}

static void warn_when_open(struct bearer *b, const struct stat *st)
{
    bool is_open = (st->st_mode & (S_IRWXG | S_IRWXO)) != 0;

    if (is_open && !b->is_open)
        log_warning("proxy",
                    "listen.bearer_tokens_file: %s has mode %04o, so others may read the tokens: "
                    "chmod 600 %s",
                    b->path, (unsigned)(st->st_mode & 07777), b->path);
    b->is_open = is_open;
}

void bearer_look(struct bearer *b, int64_t now_ms)
{
    struct err err = {0};
    struct stat st;
    bool is_new;

    if (now_ms - b->looked_ms < BEARER_LOOK_MS)
        return;
    b->looked_ms = now_ms;
    if (stat(b->path, &st) < 0) {
        (void)err_set(&err, -errno, "cannot look at %s: %m", b->path);
        b->is_settled = false; /* what comes in its place is read in any case */
        say(b, err.msg);
        return;
    }
    is_new = !is_same(&st, &b->seen);
    if (!is_new && b->is_settled)
        return;
    if (take(b, &st, &err) != 0) {
        say(b, err.msg);
        return;
    }
    if (is_new || b->said[0])
        log_info("proxy", "listen.bearer_tokens_file: read again, %zu token%s", b->known.n,
                 b->known.n == 1 ? "" : "s");
    b->said[0] = '\0';
    warn_when_open(b, &st);
}

/* ---- compared ---- */

bool bearer_has(const struct bearer *b, struct slice token)
{
    uint8_t mine[DIGEST_BYTES];
    unsigned hits = 0;

    if (token.n < TOKENS_BYTES_MIN || token.n > TOKENS_BYTES_MAX || !digest(token, mine))
        return false;
    for (size_t i = 0; i < b->known.n; i++)
        hits += CRYPTO_memcmp(mine, b->known.v[i], DIGEST_BYTES) == 0;
    return hits > 0;
}

bool bearer_admits(const struct bearer *b, const struct http_request *rq)
{
    struct slice token;
    bool is_known = false;

    for (size_t i = 0; i < rq->field_count; i++) {
        if (rq->fields[i].id == FIELD_AUTHORIZATION && !rq->fields[i].is_hop &&
            headers_bearer(rq->fields[i].value, &token))
            is_known |= bearer_has(b, token);
    }
    return is_known;
}

/*
 * Which workspace token we hold and where it came from (P section 19): an explicit one of the
 * operator (environment, configuration, token_file), else one on disk in our place or the places
 * the SDK and the runtime used, else none (register mints one). Sources are read again once a
 * minute and after each 401. A minted token never replaces the operator's source.
 */
#include "platform/internal.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

static void read_next(struct platform *p);

bool token_is_plausible(struct slice token)
{
    if (token.n == 0 || token.n > TOKEN_MAX)
        return false;
    for (size_t i = 0; i < token.n; i++) {
        if ((unsigned char)token.p[i] <= ' ' || (unsigned char)token.p[i] >= 0x7f)
            return false;
    }
    return true;
}

static void add_file(struct tokens *t, const char *dir, const char *rest)
{
    char *path = NULL;

    if (!dir || dir[0] != '/' || t->file_count == TOKEN_FILE_COUNT)
        return;
    if (asprintf(&path, "%s%s/.auth_token", dir, rest) < 0)
        return;
    for (size_t i = 0; i < t->file_count; i++) {
        if (slice_eq(slice_of(path), slice_of(t->files[i]))) {
            free(path);
            return;
        }
    }
    t->files[t->file_count++] = path;
}

/* Ours first, then where the SDK and the runtime of the same product left theirs. */
static void list_files(struct platform *p)
{
    struct tokens *t = &p->tokens;
    const char *home = getenv("HOME");
    char own[64];

    (void)snprintf(own, sizeof(own), "/.molecule/%s", p->cfg->workspace.id);
    add_file(t, p->cfg->state.dir, "");
    add_file(t, getenv("CONFIGS_DIR"), "");
    add_file(t, getenv("WORKSPACE_CONFIG_PATH"), "");
    add_file(t, getenv("MOLECULE_STATE_DIR"), "");
    add_file(t, home, own);
    add_file(t, home, "/.molecule-workspace");
    add_file(t, "/configs", "");
}

/* One lock for the directory, held for life: two writers would undo each other's token. */
static void lock_dir(struct platform *p)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/.lock", p->cfg->state.dir);

    if (n < 0 || (size_t)n >= sizeof(path))
        return;
    p->tokens.lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (p->tokens.lock_fd >= 0 && flock(p->tokens.lock_fd, LOCK_EX | LOCK_NB) < 0 &&
        errno == EWOULDBLOCK)
        log_warning("platform",
                    "another process uses state.dir %s: two sidecars of one workspace take each "
                    "other's messages and tokens; going on",
                    p->cfg->state.dir);
}

/* Whoever owns the directory can take our token away or put a directory in its place; reading it is
 * prevented by the file's mode. */
static void warn_foreign(const char *dir)
{
    struct stat st;

    if (stat(dir, &st) == 0 && st.st_uid != geteuid() && st.st_uid != 0)
        log_warning("platform",
                    "state.dir %s belongs to uid %u, who can remove the token we keep there; we "
                    "are uid %u: chown it, or choose another",
                    dir, (unsigned)st.st_uid, (unsigned)geteuid());
}

int tokens_init(struct platform *p, struct err *err)
{
    struct tokens *t = &p->tokens;
    struct slice given = slice_of(p->cfg->platform.token);
    struct err why = {0};

    t->lock_fd = -1;
    list_init(&t->waiters);
    if (given.n > 0 && !token_is_plausible(given))
        return err_set(err, -EINVAL,
                       "platform.token: must be one word of printable characters, at most %d bytes "
                       "(%zu were given)",
                       TOKEN_MAX, given.n);
    str_add(&t->explicit_value, given);
    list_files(p);
    if (t->file_count == 0)
        return err_set(err, -EINVAL, "state.dir %s: must be an absolute path", p->cfg->state.dir);
    if (dir_make(p->cfg->state.dir, 0700, &why) < 0)
        log_warning("platform",
                    "state.dir: %s; a token minted by the platform will be lost at the "
                    "next restart",
                    why.msg);
    else
        warn_foreign(p->cfg->state.dir);
    lock_dir(p);
    return 0;
}

void tokens_release(struct platform *p)
{
    struct tokens *t = &p->tokens;

    str_wipe(&t->explicit_value);
    str_wipe(&t->cached_value);
    str_wipe(&t->found);
    fd_close(&t->lock_fd);
    for (size_t i = 0; i < t->file_count; i++)
        free(t->files[i]);
    t->file_count = 0;
}

/* ---- choosing ----------------------------------------------------------------------------------
 */

/* Enough to tell two tokens apart, never enough to guess one: a short one shows nothing. */
static int prefix_chars(size_t token_chars)
{
    size_t quarter = token_chars / 4;

    return quarter < 4 ? 0 : quarter > TOKEN_PREFIX_CHARS ? TOKEN_PREFIX_CHARS : (int)quarter;
}

static void describe(struct platform *p, bool is_explicit)
{
    const struct tokens *t = &p->tokens;
    struct platform_status *s = &p->status;
    const char *file = p->cfg->platform.token_file;

    s->has_token = p->transport.bearer.len > 0;
    s->token_source[0] = s->token_prefix[0] = '\0';
    if (!s->has_token)
        return;
    (void)snprintf(s->token_prefix, sizeof(s->token_prefix), "%.*s",
                   prefix_chars(p->transport.bearer.len), str_z(&p->transport.bearer));
    if (is_explicit && file[0])
        (void)snprintf(s->token_source, sizeof(s->token_source), "file %.150s", file);
    else if (is_explicit)
        (void)snprintf(s->token_source, sizeof(s->token_source), "environment");
    else if (t->is_minted)
        (void)snprintf(s->token_source, sizeof(s->token_source), "minted");
    else
        (void)snprintf(s->token_source, sizeof(s->token_source), "file %.150s", t->cached_path);
}

/* Hold what the sources say now. */
static void choose(struct platform *p)
{
    struct tokens *t = &p->tokens;
    bool is_explicit = t->explicit_value.len > 0 && !(t->uses_cached && t->cached_value.len > 0);
    struct slice token = str_slice(is_explicit ? &t->explicit_value : &t->cached_value);

    if (slice_eq_secret(token, str_slice(&p->transport.bearer)))
        return;
    transport_set_bearer(&p->transport, token);
    describe(p, is_explicit);
    if (p->status.has_token)
        log_info("platform", "workspace token %s... (%s)", p->status.token_prefix,
                 p->status.token_source);
    platform_token_changed(p);
}

static void take_explicit(struct platform *p, struct slice token)
{
    struct tokens *t = &p->tokens;

    if (slice_eq_secret(token, str_slice(&t->explicit_value)))
        return;
    str_wipe(&t->explicit_value);
    str_add(&t->explicit_value, token);
    t->uses_cached = t->cached_tried = false;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* Nothing new was read, and the bearer we hold was refused: is there another one to try? */
static bool try_the_other(struct platform *p)
{
    struct tokens *t = &p->tokens;

    if (t->uses_cached) { /* both are refused: back to the operator's, which is nothing new */
        t->uses_cached = false;
        choose(p);
        return false;
    }
    if (t->explicit_value.len == 0 || t->cached_value.len == 0 || t->cached_tried ||
        slice_eq_secret(str_slice(&t->explicit_value), str_slice(&t->cached_value)))
        return false;
    log_warning("platform", "the token given by the operator is refused: trying the one in %s",
                t->cached_path);
    t->uses_cached = t->cached_tried = true;
    choose(p);
    return true;
}

static void answer_waiters(struct platform *p)
{
    struct tokens *t = &p->tokens;
    unsigned age = p->transport.token_age;
    bool has_other = false;
    struct list *node;

    LIST_FOREACH(it, &t->waiters)
    {
        if (container_of(it, struct token_waiter, node)->age == age) {
            has_other = try_the_other(p);
            break;
        }
    }
    while ((node = list_first(&t->waiters)) != NULL) {
        struct token_waiter *w = container_of(node, struct token_waiter, node);
        list_remove(node);
        w->is_waiting = false;
        w->fn(p, w->age != age || has_other);
    }
}

static void reading_done(struct platform *p)
{
    struct tokens *t = &p->tokens;

    t->is_reading = false;
    /* A file that is gone takes nothing from us: what we hold is still the last known token. */
    if (t->found.len > 0 && !slice_eq_secret(str_slice(&t->found), str_slice(&t->cached_value))) {
        str_wipe(&t->cached_value);
        str_add(&t->cached_value, str_slice(&t->found));
        (void)snprintf(t->cached_path, sizeof(t->cached_path), "%s", t->found_path);
        t->is_minted = false;
        t->cached_tried = false;
    }
    str_wipe(&t->found);
    choose(p);
    answer_waiters(p);
    if (!t->is_loaded) {
        t->is_loaded = true;
        platform_token_settled(p);
    }
}

static void on_read(struct platform *p, int code, struct slice content, const char *message)
{
    struct tokens *t = &p->tokens;
    bool ok = code == 0 && token_is_plausible(content);
    const char *path = t->reads_explicit ? p->cfg->platform.token_file : t->files[t->file_at];
    bool *warned = &t->files_warned[t->reads_explicit ? TOKEN_FILE_COUNT - 1 : t->file_at];

    if (ok) {
        *warned = false;
    } else if ((code != -ENOENT || t->reads_explicit) && !*warned) {
        *warned = true;
        log_warning("platform", "token file %s: %s; ignoring it for now", path,
                    code < 0 ? message : "it does not hold one word of printable characters");
    }
    if (t->reads_explicit) {
        if (ok)
            take_explicit(p, content);
        t->reads_explicit = false;
        t->file_at = 0;
    } else if (ok) {
        str_wipe(&t->found);
        str_add(&t->found, content);
        (void)snprintf(t->found_path, sizeof(t->found_path), "%s", path);
        t->file_at = t->file_count; /* the first one counts */
    } else {
        t->file_at++;
    }
    read_next(p);
}

static void read_next(struct platform *p)
{
    struct tokens *t = &p->tokens;

    while (t->reads_explicit || t->file_at < t->file_count) {
        const char *path = t->reads_explicit ? p->cfg->platform.token_file : t->files[t->file_at];
        if (disk_read_secret(p, path, t->reads_explicit, on_read) == 0)
            return;
        if (t->reads_explicit) /* the queue is full or memory short: next time */
            t->reads_explicit = false;
        else
            t->file_at++;
    }
    reading_done(p);
}

static void read_sources(struct platform *p)
{
    struct tokens *t = &p->tokens;

    if (t->is_reading)
        return;
    t->is_reading = true;
    t->reads_explicit = p->cfg->platform.token_file[0] != '\0'; /* platform.token: what it held */
    t->file_at = 0;
    read_next(p);
}

static void on_recheck(struct timer *timer)
{
    struct platform *p = timer->arg;

    timer_start(timer, p->loop, loop_now_ms(p->loop) + p->times.token_recheck, on_recheck, p);
    read_sources(p);
}

void tokens_start(struct platform *p)
{
    timer_start(&p->tokens.recheck, p->loop, loop_now_ms(p->loop) + p->times.token_recheck,
                on_recheck, p);
    read_sources(p);
}

void tokens_stop(struct platform *p)
{
    struct list *node;

    timer_stop(&p->tokens.recheck);
    while ((node = list_first(&p->tokens.waiters)) != NULL) {
        container_of(node, struct token_waiter, node)->is_waiting = false;
        list_remove(node);
    }
}

/* ---- verdicts ----------------------------------------------------------------------------------
 */

void token_refused(struct platform *p, unsigned age, struct token_waiter *w,
                   void (*fn)(struct platform *p, bool is_new))
{
    if (age != p->transport.token_age) { /* another activity found a new one meanwhile */
        fn(p, p->transport.bearer.len > 0);
        return;
    }
    if (w->is_waiting)
        return;
    w->is_waiting = true;
    w->age = age;
    w->fn = fn;
    list_init(&w->node);
    list_append(&p->tokens.waiters, &w->node);
    read_sources(p);
}

void token_worked(struct platform *p, unsigned age)
{
    if (age == p->transport.token_age && !p->tokens.uses_cached)
        p->tokens.cached_tried = false;
}

static void on_minted_saved(struct platform *p, int code, struct slice content, const char *message)
{
    struct tokens *t = &p->tokens;

    (void)content; /* empty: this was a write */
    if (code < 0)
        log_error("platform",
                  "cannot save the minted token to %s: %s; it cannot be read again from the "
                  "platform: after a restart the operator must rotate it",
                  t->files[0], message);
    t->is_minted = true;
    t->uses_cached = t->explicit_value.len > 0;
    choose(p);
    if (t->minted_fn)
        t->minted_fn(p);
}

void token_minted(struct platform *p, struct slice token, void (*fn)(struct platform *p))
{
    struct tokens *t = &p->tokens;

    t->minted_fn = fn;
    str_wipe(&t->cached_value);
    str_add(&t->cached_value, token);
    (void)snprintf(t->cached_path, sizeof(t->cached_path), "%s", t->files[0]);
    int rc = disk_write_secret(p, t->files[0], token, on_minted_saved);
    if (rc < 0)
        on_minted_saved(p, rc, token, "too many disk jobs wait");
}

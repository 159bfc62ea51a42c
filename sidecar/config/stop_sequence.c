/*
 * Reads and prints the list of signals in stop.signal. When each is sent is the supervisor's
 * (supervisor/stop_steps.h), whether the waits fit into the grace app/budget.c's.
 */
#include "config/stop_sequence.h"

#include "base/parse.h"
#include "base/signame.h"
#include "config/report.h"
#include "config/value.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define EXAMPLE "USR1 wait 20s, TERM wait 10s, KILL"

/* One reading: the words are taken off `rest` from the left. */
struct reading {
    struct slice text;
    struct slice rest;
    struct slice word; /* the one in hand */
    struct stop_sequence seq;
    struct err *err;
    bool has_ended; /* KILL was read */
};

static size_t position(const struct reading *r)
{
    return (size_t)(r->word.p - r->text.p) + 1;
}

/* "character 6, BOOM: why"; of a single word only why. */
static int refuse(const struct reading *r, const char *why)
{
    if (r->word.n == r->text.n)
        return err_set(r->err, -EINVAL, "%s", why);
    if (r->word.n == 0) /* the end, where something should stand */
        return err_set(r->err, -EINVAL, "character %zu: %s", position(r), why);
    return err_set(r->err, -EINVAL, "character %zu, %s: %s", position(r), value_shown(r->word).z,
                   why);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct reading *r)
{
    while (r->rest.n > 0 && is_blank(r->rest.p[0])) {
        r->rest.p++;
        r->rest.n--;
    }
}

/* The next word into r->word; false at the end. */
static bool take_word(struct reading *r)
{
    size_t n = 0;

    skip_blanks(r);
    while (n < r->rest.n && !is_blank(r->rest.p[n]) && r->rest.p[n] != ',')
        n++;
    r->word = (struct slice){r->rest.p, n};
    r->rest.p += n;
    r->rest.n -= n;
    return n > 0;
}

/* 1 there was a comma and something follows, 0 none, negative: two in a row, or one at the end. */
static int take_comma(struct reading *r)
{
    skip_blanks(r);
    if (r->rest.n == 0 || r->rest.p[0] != ',')
        return 0;
    r->word = (struct slice){r->rest.p, 1};
    r->rest.p++;
    r->rest.n--;
    skip_blanks(r);
    if (r->rest.n == 0 || r->rest.p[0] == ',')
        return refuse(r, "nothing follows the comma; write for example " EXAMPLE);
    return 1;
}

static int take_wait(struct reading *r)
{
    struct stop_step *last = r->seq.n > 0 ? &r->seq.v[r->seq.n - 1] : NULL;
    int64_t wait_ms;
    int rc;

    if (!last)
        return refuse(r, "no signal stands before this wait; write the signal first, for example "
                         "TERM wait 10s (time before the first signal is stop.drain_delay)");
    if (last->wait_ms != STOP_WAIT_REST)
        return refuse(r, "the signal before it has its wait already; write one wait per signal");
    if (!take_word(r))
        return refuse(r, "a duration must follow wait, for example wait 10s");
    rc = parse_duration_ms(r->word, STOP_WAIT_MIN_MS, STOP_WAIT_MAX_MS, &wait_ms);
    if (rc == -ERANGE)
        return refuse(r, "a wait must be 1ms to 1d");
    if (rc < 0)
        return refuse(r, "a wait must be a whole number with ms, s, m, h or d, for example wait "
                         "10s");
    last->wait_ms = wait_ms;
    return 0;
}

static int take_signal(struct reading *r)
{
    struct stop_sequence *q = &r->seq;
    int signo = signal_of_name(r->word);
    bool is_kill = slice_eq_nocase(r->word, SLICE("KILL")) ||
                   slice_eq_nocase(r->word, SLICE("SIGKILL")) || slice_eq(r->word, SLICE("9"));

    if (is_kill && q->n > 0) {
        r->has_ended = true;
        return 0;
    }
    if (signo == 0)
        return refuse(r, "must be a signal that can be caught, such as TERM, INT, HUP or USR1; or "
                         "several with their times: " EXAMPLE);
    if (q->n == STOP_STEPS_MAX)
        return refuse(r, "that is one signal too many, 8 are the most");
    if (q->n > 0 && stop_sequence_is_open(q))
        return err_set(r->err, -EINVAL,
                       "character %zu, %s: there must be a wait between it and the signal before "
                       "it, because two signals sent at once arrive in any order; write for "
                       "example " EXAMPLE,
                       position(r), value_shown(r->word).z);
    q->v[q->n++] = (struct stop_step){.signo = signo, .wait_ms = STOP_WAIT_REST};
    return 0;
}

int stop_sequence_parse(struct slice text, struct stop_sequence *ret, struct err *err)
{
    struct reading r = {.text = text, .rest = text, .err = err};
    int rc;

    while (take_word(&r)) {
        if (r.has_ended)
            return refuse(&r, "nothing can follow KILL; write it last, or leave it out");
        rc = slice_eq_nocase(r.word, SLICE("wait")) ? take_wait(&r) : take_signal(&r);
        if (rc < 0 || (rc = take_comma(&r)) < 0)
            return rc;
    }
    if (r.rest.n > 0) { /* a comma where a word should be */
        r.word = (struct slice){r.rest.p, 1};
        return refuse(&r, "nothing stands before the comma; write for example " EXAMPLE);
    }
    if (r.seq.n == 0)
        return err_set(err, -EINVAL,
                       "must be a signal, such as TERM, or several with their times: "
                       "" EXAMPLE);
    *ret = r.seq;
    return 0;
}

void stop_sequence_add_text(struct str *out, const struct stop_sequence *s)
{
    bool is_plain = s->n == 1 && stop_sequence_is_open(s);
    char name[SIGNAL_TEXT_MAX];
    char text[FORMAT_MAX];

    for (size_t i = 0; i < s->n; i++) {
        str_addz(out, i > 0 ? ", " : "");
        str_addz(out, signal_text(s->v[i].signo, name));
        if (s->v[i].wait_ms != STOP_WAIT_REST)
            str_addf(out, " wait %s", format_duration(s->v[i].wait_ms, text));
    }
    str_addz(out, is_plain ? "" : ", KILL");
}

int64_t stop_sequence_waits_ms(const struct stop_sequence *s)
{
    int64_t sum = 0; /* at most STOP_STEPS_MAX days */

    for (size_t i = 0; i < s->n; i++)
        sum += s->v[i].wait_ms == STOP_WAIT_REST ? 0 : s->v[i].wait_ms;
    return sum;
}

/*
 * Cuts texts into parts. What a part is sent as is answer.c's.
 */
#include "inbox/split.h"

#include <errno.h>

#include "base/banned.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Bytes of rest that fit into max; whole characters. */
static size_t fitting(struct slice rest, size_t max, bool as_json)
{
    struct slice left = rest;
    size_t cost = 0;

    while (left.n > 0) {
        struct slice next = left;
        char out[ESCAPE_MAX];
        size_t escaped = escape_json(&next, out); /* takes one character off */

        cost += as_json ? escaped : left.n - next.n;
        if (cost > max)
            break;
        left = next;
    }
    return rest.n - left.n;
}

/* The last good place to cut in the second half of the first n bytes; n itself when there is none.
 */
static size_t good_end(struct slice rest, size_t n)
{
    size_t line = 0, word = 0;

    for (size_t at = n; at > n / 2; at--) {
        char c = rest.p[at - 1];

        if (c == '\n' && at > 1 && rest.p[at - 2] == '\n')
            return at;
        if (c == '\n' && line == 0)
            line = at;
        if (is_blank(c) && word == 0)
            word = at;
    }
    return line > 0 ? line : word > 0 ? word : n;
}

static struct slice trim_end(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static struct slice trim_lines(struct slice s) /* blank lines before the text; indents stay */
{
    for (size_t at = 0; at < s.n && is_blank(s.p[at]); at++) {
        if (s.p[at] == '\n') {
            s.p += at + 1;
            s.n -= at + 1;
            at = (size_t)-1;
        }
    }
    return s;
}

int split_text(struct slice answer, bool is_for_peer, struct split *ret)
{
    size_t max = (is_for_peer ? SPLIT_PEER_JSON_BYTES : SPLIT_PERSON_BYTES) - SPLIT_WORDS_BYTES;

    *ret = (struct split){.is_for_peer = is_for_peer};
    /* U+2028 and the like are left alone: any text is shown by somebody else. */
    str_add_valid(&ret->text, answer);
    if (!str_ok(&ret->text))
        return -ENOMEM;
    struct slice rest = trim_end(str_slice(&ret->text));
    while (rest.n > 0 && ret->count < SPLIT_PARTS_MAX) {
        size_t n = fitting(rest, max, is_for_peer);

        if (n < rest.n)
            n = good_end(rest, n);
        struct slice part = trim_end((struct slice){rest.p, n});
        rest = (struct slice){rest.p + n, rest.n - n};
        if (part.n > 0)
            ret->parts[ret->count++] = part;
        if (ret->count > 0)
            rest = trim_lines(rest);
    }
    ret->left_out = rest.n;
    return 0;
}

void split_words(const struct split *s, unsigned k, struct str *ret)
{
    if (s->count > 1 && !s->is_for_peer)
        str_addf(ret, "(%u/%u)\n", k + 1, s->count);
    str_add(ret, s->parts[k]);
    if (s->left_out > 0 && k + 1 == s->count)
        str_addf(ret, "\n\n[The answer is longer than can be sent: %zu bytes are left out here.]",
                 s->left_out);
}

void split_release(struct split *s)
{
    str_release(&s->text);
    s->count = 0;
}

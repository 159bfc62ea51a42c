/*
 * The walk over the bytes of a head, held to one that looks at each byte by itself. Random bytes of
 * those that matter, at every length around a block's. test_walk_plain.c runs it without vectors.
 */
#include "http/head.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 200000, LINES_SEEN = 8, LENGTH_MAX = 70 };

struct seen {
    int rc;
    size_t first_n, count, ends[LINES_SEEN];
};

/* One byte after the other. */
static struct seen walk_slowly(const char *p, size_t n)
{
    struct seen s = {.rc = -1};
    size_t line = 0, lines = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (c == '\r' && i + 1 < n && p[i + 1] == '\n') {
            if (i == line && lines > 0) {
                s.rc = i + 2 == n ? 0 : -1;
                return s;
            }
            if (lines == 0)
                s.first_n = i;
            else if (p[line] == ' ' || p[line] == '\t')
                return s;
            else if (s.count++ < LINES_SEEN)
                s.ends[s.count - 1] = i;
            lines++;
            line = ++i + 1;
        } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return s;
        }
    }
    return s;
}

static void make_head(char *p, size_t n, unsigned *seed)
{
    static const char *const pieces[] = {"\r\n", "\r\n", "a", "b: c", " ",       "\t",
                                         "\x80", "\xff", "~", "x",    "\r\n\r\n"};
    static const char bad[] = {'\r', '\n', '\0', 0x1f, 0x7f, 0x01};
    size_t at = 0;

    while (at < n) {
        const char *piece = pieces[(size_t)rand_r(seed) % (sizeof(pieces) / sizeof(pieces[0]))];
        size_t len = strlen(piece);

        if (len > n - at)
            piece = "z", len = 1;
        memcpy(p + at, piece, len);
        at += len;
    }
    if (n >= 4 && rand_r(seed) % 2)
        memcpy(p + n - 4, "\r\n\r\n", 4);
    if (n > 0 && rand_r(seed) % 3 == 0)
        p[(size_t)rand_r(seed) % n] = bad[(size_t)rand_r(seed) % sizeof(bad)];
}

Test(http_walk, finds_what_a_slow_look_finds)
{
    unsigned seed = 1;
    int good = 0;

    for (int round = 0; round < ROUNDS; round++) {
        size_t n = (size_t)rand_r(&seed) % (LENGTH_MAX + 1);
        char *p = malloc(n ? n : 1); /* exact, so that a look behind it is seen */
        static struct http_lines lines;
        struct seen want;
        int rc;

        make_head(p, n, &seed);
        want = walk_slowly(p, n);
        rc = head_check_bytes((struct slice){p, n}, 400, &lines, NULL);
        cr_assert_eq(rc == 0, want.rc == 0, "round %d, %zu bytes", round, n);
        if (rc == 0) {
            good++;
            cr_assert_eq(lines.first.n, want.first_n);
            cr_assert_eq(lines.count, want.count);
            for (size_t i = 0; i < want.count && i < LINES_SEEN; i++)
                cr_assert_eq((size_t)(lines.ends[i] - p), want.ends[i]);
        }
        free(p);
    }
    cr_assert_gt(good, ROUNDS / 100);
}

/* multipart/form-data read as a stream: the same however it is cut. */
#include "proxy/multipart.h"

#include "base/str.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#define TYPE  "multipart/form-data; boundary=b0"
#define FILES "Content-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n"

static void tell(struct str *to, const struct multipart_event *e)
{
    switch (e->kind) {
    case MULTIPART_PART:
        str_addf(to, "<%.*s|%.*s|%.*s>", (int)e->name.n, e->name.p, (int)e->filename.n,
                 e->filename.p ? e->filename.p : "", (int)e->type.n, e->type.p ? e->type.p : "");
        break;
    case MULTIPART_DATA:
        cr_assert_gt(e->data.n, 0);
        str_add(to, e->data);
        break;
    case MULTIPART_PART_END:
        str_addz(to, "</>");
        break;
    case MULTIPART_END:
        str_addz(to, ".");
        break;
    case MULTIPART_MORE:
        break;
    }
}

/* Feeds pieces of at most `step` bytes, the first one of `first`. "!": refused. */
static void run(struct slice in, size_t first, size_t step, struct str *ret)
{
    static struct multipart m;
    const char *why = NULL;
    size_t n = first;

    str_truncate(ret, 0);
    cr_assert_eq(multipart_begin(&m, SLICE(TYPE)), 0);
    while (in.n > 0) {
        struct slice piece = {in.p, n < in.n ? n : in.n};
        struct multipart_event e;

        in.p += piece.n;
        in.n -= piece.n;
        n = step;
        do {
            long used = multipart_feed(&m, piece, &e, &why);

            if (used < 0) {
                cr_assert_not_null(why);
                str_addz(ret, "!");
                return;
            }
            tell(ret, &e);
            piece.p += used;
            piece.n -= (size_t)used;
        } while (e.kind != MULTIPART_MORE);
        cr_assert_eq(piece.n, 0);
    }
    if (!multipart_is_complete(&m))
        str_addz(ret, "?");
}

static const struct {
    const char *in, *want;
} cases[] = {
    {"--b0\r\n" FILES "Content-Type: text/plain; x=y\r\n\r\nhello\r\n--b0--\r\n",
     "<files|a.txt|text/plain; x=y>hello</>."},
    {"--b0\r\n" FILES
     "\r\na\r\n--b0\r\ncontent-disposition: FORM-DATA;name=x ; y=\"z\"\r\n\r\nb\r\n"
     "--b0--",
     "<files|a.txt|>a</><x||>b</>."},
    {"preamble\r\n--b0 \t\r\n" FILES "\r\nx\r\n--b0--epilogue\r\n--b0\r\n", "<files|a.txt|>x</>."},
    {"\r\n--b0\r\n" FILES "\r\n\r\n--b0--", "<files|a.txt|></>."},
    {"--b0\r\n" FILES "\r\n--b0--", "<files|a.txt|></>."}, /* no content at all */
    {"--b0--", "."},
    /* what only begins like a boundary is content */
    {"--b0\r\n" FILES "\r\n-\r-\n--b0\r\n--b1\r\r\n--b\r\n\r\n--b0--",
     "<files|a.txt|>-\r-\n--b0\r\n--b1\r\r\n--b\r\n</>."},
    {"--b0\r\n" FILES "\r\n\r\r\n-\r\n--b0--", "<files|a.txt|>\r\r\n-</>."},
    {"--b0\r\n" FILES "\r\n--b\r\n--b0--", "<files|a.txt|>--b</>."},
    {"--b0\r\nContent-Disposition: form-data; name=\"f\"; "
     "filename=\"C:\\dir\\\"x\\\\y\"\r\n\r\n1\r\n"
     "--b0--",
     "<f|C:\\dir\"x\\y|>1</>."},
    {"--b0\r\nContent-Disposition: form-data; name=f; filename=\"\"; "
     "filename*=UTF-8''e\r\n\r\n1\r\n"
     "--b0--",
     "<f||>1</>."},
    /* cut */
    {"", "?"},
    {"--b0", "?"},
    {"--b0\r\n" FILES, "?"},
    {"--b0\r\n" FILES "\r\nhello\r\n--b", "<files|a.txt|>hello?"},
    {"--b0\r\n" FILES "\r\nhello\r\n--b0-", "<files|a.txt|>hello</>?"},
    /* refused */
    {"--b0\r\n\r\nx\r\n--b0--", "!"},
    {"--b0\r\nContent-Type: a/b\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: attachment; name=x\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data; name=\"x\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data; name=x; name=y\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data; name=\"x\"y\r\n\r\nx", "!"},
    {"--b0\r\n" FILES FILES "\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data;\r\n name=x\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data; name=x\n\nx", "!"},
    {"--b0\r\nContent-Disposition : form-data; name=x\r\n\r\nx", "!"},
    {"--b0\r\nContent-Disposition: form-data; name=\"a\x01\"\r\n\r\nx", "!"},
    {"--b0\r\nno colon\r\n\r\nx", "!"},
    {"--b0x\r\n", "!"},
    {"--b0\rx", "!"},
    {"--b0-x", "!"},
    {"--b0\r\n" FILES "\r\nhello\r\n--b0hello", "<files|a.txt|>hello</>!"},
};

Test(proxy_multipart, cut_at_every_offset_it_tells_the_same)
{
    struct str got = {0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice in = slice_of(cases[i].in);

        for (size_t first = 1; first <= in.n + 1; first++) {
            run(in, first, in.n + 1, &got);
            cr_expect_str_eq(str_z(&got), cases[i].want, "case %zu cut at %zu: %s", i, first,
                             str_z(&got));
        }
        for (size_t step = 1; step < 5; step++) {
            run(in, step, step, &got);
            cr_expect_str_eq(str_z(&got), cases[i].want, "case %zu by %zu: %s", i, step,
                             str_z(&got));
        }
    }
    str_release(&got);
}

Test(proxy_multipart, bounds)
{
    static char big[MULTIPART_HEAD_MAX + 64], many[(MULTIPART_PARTS_MAX + 1) * 64 + 64];
    struct str got = {0};
    int n;

    n = snprintf(big, sizeof(big), "--b0\r\nContent-Disposition: form-data; name=x\r\nA: ");
    memset(big + n, 'a', sizeof(big) - (size_t)n);
    run((struct slice){big, sizeof(big)}, 100, 100, &got);
    cr_expect_str_eq(str_z(&got), "!");
    for (size_t i = 0, at = 0; i <= MULTIPART_PARTS_MAX; i++)
        at += (size_t)snprintf(many + at, sizeof(many) - at,
                               "--b0\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n");
    run(slice_of(many), sizeof(many), 1, &got);
    cr_expect(slice_ends_with(str_slice(&got), SLICE("!")));
    str_release(&got);
}

Test(proxy_multipart, the_media_type_names_the_boundary)
{
    static const char *const good[] = {
        TYPE,
        "Multipart/Form-Data;BOUNDARY=b0",
        "multipart/form-data; charset=x; boundary=\"b 0\"",
        "multipart/form-data; boundary=----WebKitFormBoundary'()+_,-./:=?",
    };
    static const char *const bad[] = {
        "",
        "multipart/form-data",
        "multipart/mixed; boundary=b0",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"b \"",
        "multipart/form-data; boundary=b 0",
        "multipart/form-data; boundary=b@0",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary="
        "0123456789012345678901234567890123456789012345678901234567890123456789x",
    };
    static struct multipart m;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect_eq(multipart_begin(&m, slice_of(good[i])), 0, "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(multipart_begin(&m, slice_of(bad[i])), -EINVAL, "%s", bad[i]);
}

/*
 * multipart/form-data in memory: what browsers send, and what nobody should.
 */
#include "devplatform/formdata.h"

#include <criterion/criterion.h>

#define TYPE "multipart/form-data; boundary=\"e\""

static void assert_slice(struct slice s, const char *text)
{
    cr_assert(slice_eq(s, slice_of(text)), "%.*s", (int)s.n, s.p);
}

Test(formdata, parts_are_told_apart)
{
    static const char body[] = "preamble\r\n--e\r\nContent-Disposition: form-data; name=\"files\"; "
                               "filename=\"a; b.txt\"\r\n"
                               "content-type: text/plain\r\n\r\none\r\n--\r\n--e\r\n"
                               "Content-Disposition: form-data; name=note\r\n\r\n\r\n--e--\r\n";
    struct form_part part;
    struct form f;

    cr_assert(form_begin(&f, SLICE(TYPE), SLICE(body)));
    cr_assert(form_next(&f, &part));
    assert_slice(part.name, "files");
    assert_slice(part.filename, "a; b.txt");
    assert_slice(part.type, "text/plain");
    assert_slice(part.bytes, "one\r\n--");
    cr_assert(form_next(&f, &part));
    assert_slice(part.name, "note");
    cr_assert_eq(part.filename.n, 0);
    cr_assert_eq(part.bytes.n, 0);
    cr_assert_not(form_next(&f, &part));
    cr_assert(f.is_over);
}

Test(formdata, a_cut_body_is_never_over)
{
    static const char body[] =
        "--e\r\nContent-Disposition: form-data; name=\"files\"\r\n\r\none\r\n--e--";

    for (size_t n = 0; n < sizeof(body) - 1; n++) {
        struct form_part part;
        struct form f;
        if (!form_begin(&f, SLICE(TYPE), (struct slice){body, n}))
            continue;
        while (form_next(&f, &part)) {
        }
        cr_assert_not(f.is_over, "%zu bytes", n);
    }
}

Test(formdata, other_types_are_none)
{
    struct form f;

    cr_assert_not(form_begin(&f, SLICE("multipart/mixed; boundary=e"), SLICE("--e--")));
    cr_assert_not(form_begin(&f, SLICE("multipart/form-data"), SLICE("--e--")));
    cr_assert_not(form_begin(&f, SLICE(TYPE), SLICE("no such boundary")));
    cr_assert_not(form_begin(&f, SLICE(TYPE), SLICE("")));
}

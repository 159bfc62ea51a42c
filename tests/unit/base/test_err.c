#include "base/err.h"
#include "base/slice.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(err, keeps_errno_for_percent_m_and_for_the_caller)
{
    struct err err = {0};

    errno = ENOENT;
    cr_assert_eq(err_set(&err, -errno, "cannot open %s: %m", "/x"), -ENOENT);
    cr_assert_str_eq(err.msg, "cannot open /x: No such file or directory");
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(err.code, -ENOENT);
}

Test(err, accepts_null_everywhere)
{
    cr_assert_eq(err_set(NULL, -EINVAL, "x"), -EINVAL);
    cr_assert_eq(err_wrap(NULL, "x"), -EIO);
}

Test(err, wraps_from_outside_in)
{
    struct err err = {0};

    err_set(&err, -EPERM, "inner");
    cr_assert_eq(err_wrap(&err, "outer %d", 1), -EPERM);
    cr_assert_str_eq(err.msg, "outer 1: inner");
}

Test(err, may_use_its_own_message_as_argument)
{
    struct err err = {0};

    err_set(&err, -EPERM, "inner");
    err_set(&err, -EINVAL, "%s, again %s", err.msg, err.msg);
    cr_assert_str_eq(err.msg, "inner, again inner");
}

Test(err, cuts_long_text_between_characters)
{
    for (size_t lead = 0; lead < 4; lead++) {
        struct err err = {0};
        char text[2000];
        size_t n = 0;
        struct slice rest;

        while (n < lead)
            text[n++] = 'a';
        while (n + 4 < sizeof(text)) {
            memcpy(text + n, "\xF0\x9F\x90\xA2", 4);
            n += 4;
        }
        text[n] = '\0';
        err_set(&err, -EIO, "%s", text);
        rest = slice_of(err.msg);
        cr_assert_gt(rest.n, (size_t)ERR_MSG_MAX - 6);
        cr_assert_lt(rest.n, (size_t)ERR_MSG_MAX);
        while (rest.n > 0) {
            size_t step = slice_utf8_next(rest);

            cr_assert_neq(step, 0, "half a character at %zu", rest.n);
            rest.p += step;
            rest.n -= step;
        }
    }
}

Test(err, is_one_line)
{
    struct err err = {0};

    err_set(&err, -EIO, "two\nlines\r");
    cr_assert_str_eq(err.msg, "two lines ");
}

Test(err, keeps_bytes_that_are_not_utf8)
{
    struct err err = {0};

    err_set(&err, -EIO, "file \xFF\xC3");
    cr_assert_str_eq(err.msg, "file \xFF\xC3");
}

/* The file of bearer tokens: what is taken, what is refused, and that no sentence repeats one. */
#include "config/tokens.h"

#include "base/str.h"
#include "support/config_case.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static void gather(void *arg, struct slice token)
{
    str_add(arg, token);
    str_addz(arg, "|");
}

static int parse(struct slice content, struct str *ret, struct err *err)
{
    *err = (struct err){0};
    str_truncate(ret, 0);
    return tokens_parse(content, "tokens", gather, ret, err);
}

Test(config_tokens, lines_comments_and_blanks)
{
    struct str got = {0};
    struct err err;

    cr_assert_eq(
        parse(SLICE("# for the canvas\n\n  token-one \r\n\ttoken-two\t\n  # end\n!#$%~`{}"), &got,
              &err),
        0, "%s", err.msg);
    cr_assert_str_eq(str_z(&got), "token-one|token-two|!#$%~`{}|");
    str_release(&got);
}

Test(config_tokens, each_violation_has_a_sentence_with_its_line)
{
    static char long_one[TOKENS_BYTES_MAX + 2], many[(TOKENS_MAX + 1) * 10 + 1];
    struct str got = {0};
    struct err err;

    memset(long_one, 'x', sizeof(long_one) - 1);
    for (int i = 0; i <= TOKENS_MAX; i++)
        (void)snprintf(many + (size_t)i * 10, 11, "SECRET%03d\n", i);
    const struct {
        struct slice content;
        const char *sentence;
    } bad[] = {
        {SLICE(""), "tokens:1: no token in the file"},
        {SLICE("# nothing\n\n"), "tokens:2: no token in the file"},
        {SLICE("good-token\nSECRET7\n"), "tokens:2: a token has 7 bytes, must have 8 to 4096"},
        {SLICE("\n\nSECRET and more\n"), "tokens:3: a token holds a blank"},
        {SLICE("SECRET-\x01-more"), "tokens:1: a token holds a blank, a control"},
        {SLICE("SECRET-\x7f-more"), "tokens:1: a token holds a blank, a control"},
        {SLICE("SECRET-\xc3\xa9-more"), "tokens:1: a token holds a blank, a control"},
        {SLICE("SECRET-\0-more"), "tokens:1: a token holds a blank, a control"},
        {{long_one, sizeof(long_one) - 1}, "tokens:1: a token has 4097 bytes"},
        {{many, sizeof(many) - 1}, "tokens:257: more than 256 tokens"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(parse(bad[i].content, &got, &err), -EINVAL, "case %zu", i);
        cr_expect(strstr(err.msg, bad[i].sentence), "case %zu: %s", i, err.msg);
        cr_expect_null(strstr(err.msg, "SECRET"), "case %zu repeats it: %s", i, err.msg);
        cr_expect_eq(got.len, 0, "case %zu: nothing of a bad file is taken", i);
    }
    cr_assert_eq(parse((struct slice){long_one, TOKENS_BYTES_MAX}, &got, &err), 0);
    cr_assert_eq(parse((struct slice){many, sizeof(many) - 1 - 10}, &got, &err), 0);
    str_release(&got);
}

Test(config_tokens, a_file_has_a_size, .init = scratch_make, .fini = scratch_remove)
{
    static char big[TOKENS_FILE_MAX + 1];
    struct err err = {0};

    memset(big, '#', sizeof(big));
    memcpy(big, "token-one\n", 10);
    cr_assert_eq(
        tokens_read(scratch_file_bytes("fits", big, TOKENS_FILE_MAX, 0600), NULL, NULL, &err), 0,
        "%s", err.msg);
    cr_assert_eq(tokens_read(scratch_file_bytes("big", big, sizeof(big), 0600), NULL, NULL, &err),
                 -EFBIG);
    cr_assert_eq(tokens_read(scratch_path("none"), NULL, NULL, &err), -ENOENT);
    cr_assert_eq(mkfifo(scratch_path("fifo"), 0600), 0);
    cr_assert_lt(tokens_read(scratch_path("fifo"), NULL, NULL, &err), 0, "and it does not hang");
}

Test(config_tokens, the_configuration_checks_the_file, .init = scratch_make, .fini = scratch_remove)
{
    const struct {
        const char *content;
        mode_t mode;
        const char *error, *warning;
    } files[] = {
        {"token-one\n", 0600, NULL, NULL},
        {"token-one\n", 0640, NULL, "has mode 0640, so others may read the tokens: chmod 600"},
        {"token-one\nSECRET\n", 0600, "tokens:2: a token has 6 bytes", NULL},
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct config_case k = {.args = {"--listen-bearer-tokens-file",
                                         scratch_file("tokens", files[i].content, files[i].mode)}};

        case_load(&k);
        cr_expect_eq(k.rc == 0, files[i].error == NULL, "case %zu:%s", i, case_sentences(&k));
        cr_expect(!files[i].error || case_has_error(&k, files[i].error), "case %zu:%s", i,
                  case_sentences(&k));
        cr_expect(!files[i].warning || case_has_warning(&k, files[i].warning), "case %zu:%s", i,
                  case_sentences(&k));
        cr_expect(files[i].warning || k.report.warning_count == 0, "case %zu:%s", i,
                  case_sentences(&k));
        cr_expect_null(strstr(case_sentences(&k), "SECRET"));
        case_release(&k);
    }
}

/* A second configuration beside the first: what differs, and what moves. */
#include "config/reload.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/value.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_PLATFORM .args = {"--platform-enabled", "false"}, .command = {"true", NULL}

static struct config_case live = {NO_PLATFORM, .yaml = "log:\n  level: info\n"};
static struct config_case next = {NO_PLATFORM, .yaml = "log:\n  level: info\n"};

static void setup(void)
{
    case_load(&live);
    (void)snprintf(next.root, sizeof(next.root), "%s", live.root); /* the same machine */
    (void)snprintf(next.file, sizeof(next.file), "%s", live.file);
    case_load(&next);
    cr_assert_eq(live.rc, 0, "%s", case_sentences(&live));
    cr_assert_eq(next.rc, 0, "%s", case_sentences(&next));
}

static void teardown(void)
{
    case_release(&next);
    case_release(&live);
}

TestSuite(config_reload, .init = setup, .fini = teardown);

/* Some value of the row's kind that is not its present one. */
static void set_other(struct config *c, const struct config_row *row)
{
    static const char *const texts[CONFIG_TYPE_COUNT] = {
        [TYPE_STRING] = "/x",
        [TYPE_PATH] = "/x",
        [TYPE_URL] = "http://other.example",
        [TYPE_UUID] = "11111111-2222-4333-8444-555555555555",
        [TYPE_ENDPOINT] = "127.0.0.1:1",
        [TYPE_SIGNALS] = "USR2 wait 1s, TERM",
        [TYPE_SIGNAL] = "USR2",
        [TYPE_OCTAL] = "0777",
    };
    const struct slice item = SLICE("x=y");
    struct config_report report = {0};
    struct value_in in = {.text = slice_of(texts[row->type]), .place = "test"};
    char number[FORMAT_MAX];
    int word;

    switch (row->type) {
    case TYPE_BOOL:
        in.text = *(bool *)((char *)c + row->offset) ? SLICE("false") : SLICE("true");
        break;
    case TYPE_INT:
    case TYPE_SIZE:
    case TYPE_DURATION:
        snprintf(number, sizeof(number), "%lld%s",
                 (long long)(*value_number(c, row) == row->max ? row->min : row->max),
                 row->type == TYPE_DURATION ? "ms" : "");
        in.text = slice_of(number);
        break;
    case TYPE_ENUM:
        memcpy(&word, (char *)c + row->offset, sizeof(word));
        in.text = slice_of(row->words[word == 0 ? 1 : 0]);
        break;
    case TYPE_LIST:
        in.items = &item;
        in.item_count = 1;
        in.is_list = true;
        break;
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_URL:
    case TYPE_UUID:
    case TYPE_ENDPOINT:
    case TYPE_SIGNAL:
    case TYPE_SIGNALS:
    case TYPE_OCTAL:
        break;
    }
    cr_assert_eq(value_set(c, row, &in, &report), 0, "%s.%s: %s", row->section, row->key,
                 str_z(&report.errors[0]));
    config_report_release(&report);
}

Test(config_reload, the_same_sources_give_no_difference)
{
    struct config_changes changes;

    config_compare(live.config, next.config, &changes);
    cr_assert_eq(changes.n, 0, "%s", changes.n ? changes.v[0].key : "");
}

/* Each key by itself: seen, told in words, and moved or left. */
Test(config_reload, each_key_is_taken_over_or_named)
{
    size_t moved = 0;

    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        CLEANUP(str_release) struct str before = {0};
        CLEANUP(str_release) struct str after = {0};
        CLEANUP(str_release) struct str sentence = {0};
        struct config_changes changes;
        char key[CONFIG_KEY_MAX];

        if (row->offset == ROW_NO_MEMBER || row->reserved.what)
            continue;
        (void)schema_dotted(row, key);
        set_other(next.config, row);
        config_compare(live.config, next.config, &changes);
        cr_assert_eq(changes.n, 1, "%s: %zu differences", key, changes.n);
        cr_assert_str_eq(changes.v[0].key, key);
        cr_assert_eq(changes.v[0].can_move, row->is_live, "%s", key);
        value_add_text(&before, live.config, row);
        value_add_text(&after, next.config, row);
        config_describe_change(live.config, next.config, &changes.v[0], &sentence);
        cr_assert(strstr(str_z(&sentence), " -> "), "%s", str_z(&sentence));
        cr_assert(strstr(str_z(&sentence), str_z(&before)), "%s", str_z(&sentence));
        cr_assert(strstr(str_z(&sentence), str_z(&after)), "%s", str_z(&sentence));

        config_move(live.config, next.config, &changes);
        str_truncate(&before, 0);
        value_add_text(&before, live.config, row);
        cr_assert_eq(strcmp(str_z(&before), str_z(&after)) == 0, row->is_live, "%s is %s", key,
                     str_z(&before));
        moved += row->is_live;
        config_move(live.config, next.config, &changes); /* back again */
        config_free(next.config);
        next.config = NULL;
        case_load(&next);
        cr_assert_eq(next.rc, 0);
    }
    cr_assert_gt(moved, 20);
}

Test(config_reload, where_a_value_came_from_moves_with_it)
{
    struct config_changes changes;

    config_free(next.config);
    next.config = NULL;
    next.yaml = "log:\n  level: debug\nlisten:\n  max_body: 1MiB\n";
    case_load(&next);
    config_compare(live.config, next.config, &changes);
    cr_assert_eq(changes.n, 2);
    config_move(live.config, next.config, &changes);
    cr_assert_eq(live.config->log.level, LOG_DEBUG);
    cr_assert_eq(live.config->listen.max_body, 64 * 1024 * 1024);
    cr_assert(strstr(config_origin(live.config, "log.level"), ":2"));
    cr_assert_str_eq(config_origin(live.config, "listen.max_body"), "default");
}

Test(config_reload, who_may_call_is_not_loosened_before_what_replaces_it_is_there)
{
    char path[] = "/tmp/config-reload-XXXXXX";
    CLEANUP(str_release) struct str yaml = {0};
    struct config_changes changes;
    int fd = mkstemp(path);

    cr_assert(fd >= 0 && write(fd, "a-token-of-some-length\n", 23) == 23);
    close(fd);
    str_addf(&yaml, "listen:\n  inbound_auth: 'off'\n  bearer_tokens_file: %s\n", path);
    config_free(next.config);
    next.config = NULL;
    next.yaml = str_z(&yaml);
    case_load(&next);
    unlink(path);
    cr_assert_eq(next.rc, 0, "%s", str_z(&next.report.errors[0]));
    config_compare(live.config, next.config, &changes);
    cr_assert_eq(changes.n, 2);
    cr_assert(!changes.v[0].can_move && !changes.v[1].can_move);
    config_move(live.config, next.config, &changes);
    cr_assert_eq(live.config->listen.inbound_auth, INBOUND_AUTH_AUTO);
}

Test(config_reload, secrets_are_not_told)
{
    CLEANUP(str_release) struct str sentence = {0};
    struct config_changes changes;

    config_free(next.config);
    next.config = NULL;
    next.yaml = "admin:\n  drain_path: /drain/0123456789abcdef\nagent:\n  env: [KEY=hidden]\n";
    case_load(&next);
    cr_assert_eq(next.rc, 0, "%s", case_sentences(&next));
    config_compare(live.config, next.config, &changes);
    cr_assert_geq(changes.n, 2);
    for (size_t i = 0; i < changes.n; i++)
        config_describe_change(live.config, next.config, &changes.v[i], &sentence);
    cr_assert_not(strstr(str_z(&sentence), "0123456789abcdef"), "%s", str_z(&sentence));
    cr_assert_not(strstr(str_z(&sentence), "hidden"), "%s", str_z(&sentence));
    cr_assert(strstr(str_z(&sentence), "KEY="), "%s", str_z(&sentence));
}

/* The file is read again by whoever uses it, and may hold a newer one by now. */
Test(config_reload, a_token_from_a_file_is_no_difference)
{
    struct config_changes changes;

    for (int k = 0; k < 2; k++) {
        struct config *c = k ? next.config : live.config;
        struct config_report report = {0};
        struct value_in in = {.text = SLICE("/run/token"), .place = "test"};

        cr_assert_eq(
            value_set(c, &config_rows[schema_find("platform", "token_file")], &in, &report), 0);
        in.text = k ? SLICE("new") : SLICE("old");
        cr_assert_eq(value_set(c, &config_rows[schema_find("platform", "token")], &in, &report), 0);
        config_report_release(&report);
    }
    config_compare(live.config, next.config, &changes);
    cr_assert_eq(changes.n, 0);
}

/*
 * The texts made from the schema, and the committed pages that must equal them. With UPDATE_DOCS=1
 * in the environment the pages are written instead.
 */
#include "base/file.h"
#include "config/config.h"
#include "config/schema.h"
#include "support/config_case.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void compare(const char *path, const struct str *wanted)
{
    struct str found = {0};
    struct err err = {0};

    if (getenv("UPDATE_DOCS")) {
        FILE *f = fopen(path, "we");

        cr_assert(f && fwrite(wanted->p, 1, wanted->len, f) == wanted->len && fclose(f) == 0);
        return;
    }
    cr_assert_eq(file_read(path, 1024 * 1024, &found, &err), 0, "%s", err.msg);
    cr_expect(slice_eq(str_slice(&found), str_slice(wanted)),
              "%s is not what the schema says; run this test with UPDATE_DOCS=1 and commit it",
              path);
    str_release(&found);
}

Test(config_docs, the_reference_page_is_current)
{
    struct str text = {0};

    config_print_reference(&text);
    cr_assert(str_ok(&text));
    compare(SOURCE_DIR "/docs/configuration.md", &text);
    str_release(&text);
}

Test(config_docs, the_json_schema_is_current_and_json)
{
    struct str text = {0};
    struct json_object *schema, *properties, *section, *keys;

    config_print_json_schema(&text);
    cr_assert(str_ok(&text));
    schema = json_tokener_parse(text.p);
    cr_assert_not_null(schema);
    cr_assert(json_object_object_get_ex(schema, "properties", &properties));
    for (size_t i = 0; i < config_row_count; i++) {
        cr_assert(json_object_object_get_ex(properties, config_rows[i].section, &section));
        cr_assert(json_object_object_get_ex(section, "properties", &keys));
        cr_expect(json_object_object_get_ex(keys, config_rows[i].key, NULL), "%s",
                  config_rows[i].key);
    }
    json_object_put(schema);
    compare(SOURCE_DIR "/docs/configuration.schema.json", &text);
    str_release(&text);
}

Test(config_docs, help_and_reference_list_every_key)
{
    struct str help = {0}, page = {0};

    config_print_help(&help);
    config_print_reference(&page);
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char flag[CONFIG_KEY_MAX], name[CONFIG_ENV_MAX], cell[CONFIG_STRING_MAX];

        (void)snprintf(cell, sizeof(cell), "| `%s` |", row->key);
        cr_expect(strstr(page.p, cell), "%s.%s", row->section, row->key);
        (void)snprintf(cell, sizeof(cell), "\u21bb %.*s", (int)strcspn(row->help, "<|"), row->help);
        cr_expect_eq(strstr(page.p, cell) != NULL, row->is_live, "%s.%s", row->section, row->key);
        if (row->flags & ROW_NO_FLAG)
            cr_expect(strstr(help.p, schema_env(row, name)), "%s", name);
        else
            cr_expect(strstr(help.p, schema_flag(row, flag)), "%s", flag);
        for (size_t k = 0; k < ROW_ENV_MAX && row->env[k].name; k++)
            cr_expect(strstr(page.p, row->env[k].name), "%s", row->env[k].name);
    }
    str_release(&help);
    str_release(&page);
}

Test(config_docs, help_fits_a_hundred_columns)
{
    struct str help = {0};

    config_print_help(&help);
    for (const char *line = help.p; *line;) {
        size_t n = strcspn(line, "\n");

        cr_expect_leq(n, 100, "%.*s", (int)n, line);
        cr_expect(n == 0 || line[n - 1] != ' ', "blank at the end: %.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
    str_release(&help);
}

Test(config_docs, help_texts_are_written_alike)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const char *help = config_rows[i].help;

        cr_expect(help && *help && help[strlen(help) - 1] != '.', "%s.%s", config_rows[i].section,
                  config_rows[i].key);
        cr_expect(!strchr(help, '\n'));
    }
}

Test(config_docs, effective_values_show_their_origin_and_no_secret)
{
    struct config_case k = {
        .yaml = "listen:\n  max_head: 128KiB\nagent:\n  env: [\"PASSWORD=SECRET\"]\n",
        .env = {"MOLECULE_WORKSPACE_TOKEN=SECRET-SECRET",
                "MOLECULE_SIDECAR_PLATFORM_PROXY=http://me:SECRET@proxy:3128"},
        .args = {"--admin-drain-path=/drain/SECRET-0123456789", "--stop-signal", "SIGUSR1"}};
    struct str text = {0};

    case_load(&k);
    cr_assert_eq(k.rc, 0, "%s", case_sentences(&k));
    config_print_effective(k.config, &text);
    cr_expect(!strstr(text.p, "SECRET"), "%s", text.p);
    cr_expect(strstr(text.p, "(set, 13 characters)"));
    cr_expect(strstr(text.p, "http://***@proxy:3128"));
    cr_expect(strstr(text.p, "[PASSWORD=(6 characters)]"));
    cr_expect(strstr(text.p, "listen.max_head"));
    cr_expect(strstr(text.p, "sidecar.yaml:2\n"));
    cr_expect(strstr(text.p, "# flag --stop-signal\n"));
    cr_expect(strstr(text.p, "# Kubernetes: no, container: no\n"));
    cr_expect(strstr(text.p, "# runtime directory: /run/molecule (from /run/molecule)\n"));
    cr_expect(!strstr(text.p, "forward.trace"), "reserved keys have no value");
    str_release(&text);
    case_release(&k);
}

Test(config_docs, the_example_file_is_valid_and_complete)
{
    struct config_case k = {.args = {"--config", SOURCE_DIR "/examples/config.yaml"},
                            .without_id = true};
    struct str text = {0};
    struct err err = {0};

    case_load(&k);
    cr_expect_eq(k.rc, 0, "%s", case_sentences(&k));
    cr_assert_eq(file_read(SOURCE_DIR "/examples/config.yaml", 1024 * 1024, &text, &err), 0);
    for (size_t i = 0; i < config_row_count; i++) {
        char key[CONFIG_KEY_MAX];

        if (config_rows[i].reserved.what)
            continue;
        (void)snprintf(key, sizeof(key), " %s:", config_rows[i].key);
        cr_expect(strstr(text.p, key), "the example does not show %s.%s", config_rows[i].section,
                  config_rows[i].key);
    }
    str_release(&text);
    case_release(&k);
}

/*
 * The texts for a terminal: the flags of `run --help`, and the effective values of `check-config`.
 * The pages for docs/ are reference.c's.
 */
#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

#include <string.h>

#include "base/banned.h"

enum {
    HELP_WIDTH = 100,     /* columns of a line */
    HELP_INDENT = 6,      /* of the explanation below a flag */
    EFFECTIVE_KEY = 30,   /* columns of "section.key" */
    EFFECTIVE_VALUE = 36, /* columns of the value, so that the origins stand in one column */
};

/* The word after the flag. */
static const char *metavar(const struct config_row *row)
{
    static const char *const words[CONFIG_TYPE_COUNT] = {
        [TYPE_BOOL] = "BOOL",  [TYPE_INT] = "N",           [TYPE_DURATION] = "DURATION",
        [TYPE_SIZE] = "SIZE",  [TYPE_STRING] = "TEXT",     [TYPE_PATH] = "PATH",
        [TYPE_URL] = "URL",    [TYPE_UUID] = "UUID",       [TYPE_ENDPOINT] = "ADDRESS",
        [TYPE_ENUM] = "WORD",  [TYPE_LIST] = "LIST",       [TYPE_SIGNAL] = "SIGNAL",
        [TYPE_OCTAL] = "MODE", [TYPE_SIGNALS] = "SIGNALS",
    };

    return words[row->type];
}

/* Words of `text`, wrapped and indented; ends with a line feed. */
static void add_wrapped(struct str *out, const char *text)
{
    size_t column = HELP_INDENT;
    bool is_first = true;

    str_addf(out, "%*s", HELP_INDENT, "");
    while (*text) {
        size_t n = strcspn(text, " ");

        if (!is_first && column + 1 + n > HELP_WIDTH) {
            str_addf(out, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
            is_first = true;
        }
        if (!is_first)
            str_addz(out, " ");
        str_add(out, (struct slice){text, n});
        column += n + (is_first ? 0 : 1);
        is_first = false;
        text += n;
        text += strspn(text, " ");
    }
    str_addz(out, "\n");
}

static void add_help_row(struct str *out, const struct config_row *row)
{
    struct str text = {0};
    char name[CONFIG_ENV_MAX];

    if (row->flags & ROW_NO_FLAG)
        str_addf(out, "  (%s, not as a flag)\n", schema_env(row, name));
    else
        str_addf(out, "  %s %s\n", schema_flag(row, name), metavar(row));
    str_addf(&text, "%s. ", row->help);
    if (row->reserved.what) {
        str_addz(&text, "Not in this version.");
    } else {
        str_addz(&text, "Default: ");
        schema_add_default(&text, row);
        if (row->type == TYPE_ENUM || row->type == TYPE_INT || row->type == TYPE_DURATION ||
            row->type == TYPE_SIZE) {
            str_addz(&text, "; ");
            schema_add_range(&text, row);
        }
        str_addz(&text, ".");
    }
    add_wrapped(out, str_z(&text));
    str_release(&text);
}

void config_print_help(struct str *out)
{
    const char *section = "";

    str_addz(out, "  --config PATH\n");
    add_wrapped(out, "The configuration file. Default: $MOLECULE_SIDECAR_CONFIG, else "
                     "/etc/molecule-sidecar/config.yaml if it is there.");
    str_addz(out, "\nEvery flag is also a key of the file (section: key:) and a variable "
                  "MOLECULE_SIDECAR_SECTION_KEY.\nA flag wins over a variable, a variable over the "
                  "file. Lists: a,b or the flag repeated.\n");
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (strcmp(section, row->section) != 0)
            str_addf(out, "\n%s\n", row->section);
        section = row->section;
        add_help_row(out, row);
    }
}

static void add_padding(struct str *out, size_t from, size_t width)
{
    size_t used = out->len - from;

    str_addf(out, "%*s", used < width ? (int)(width - used) : 0, "");
}

void config_print_effective(const struct config *c, struct str *out)
{
    const struct config_facts *f = &c->facts;

    str_addf(out, "# Kubernetes: %s, container: %s\n", f->is_kubernetes ? "yes" : "no",
             f->is_container ? "yes" : "no");
    str_addf(out, "# runtime directory: %s (from %s)\n", f->runtime_dir, f->runtime_dir_from);
    str_addz(out, "# ");
    config_describe_state(c, out, NULL);
    str_addz(out, "\n");
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        size_t line = out->len;
        char key[CONFIG_KEY_MAX];

        if (row->reserved.what)
            continue;
        str_addz(out, schema_dotted(row, key));
        add_padding(out, line, EFFECTIVE_KEY);
        str_addz(out, " = ");
        value_add_text(out, c, row);
        add_padding(out, line, EFFECTIVE_KEY + 3 + EFFECTIVE_VALUE);
        str_addf(out, "  # %s\n", config_origin(c, key));
    }
}

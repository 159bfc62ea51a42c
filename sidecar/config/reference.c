/*
 * The pages in docs/ made from the schema: configuration.md and configuration.schema.json. A unit
 * test compares the committed files with what is printed here.
 */
#include "config/config.h"
#include "config/schema.h"

#include <string.h>

#include "base/banned.h"

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Printed by `molecule-sidecar check-config --reference` from sidecar/config/table.c; a "
    "test\n"
    "     compares. configuration.schema.json is `check-config --schema`. -->\n"
    "\n"
    "Every key can be given in four ways; the first one that is set counts:\n"
    "\n"
    "1. flag: `--section-key value` or `--section-key=value`, with dashes for underscores\n"
    "2. environment: `MOLECULE_SIDECAR_<SECTION>_<KEY>`, or one of the other names below\n"
    "3. file: YAML, `section:` and below it, indented, `key: value`\n"
    "4. default\n"
    "\n"
    "The file is the one of `--config`, else of `$MOLECULE_SIDECAR_CONFIG`, else\n"
    "`/etc/molecule-sidecar/config.yaml` if it is there. `molecule-sidecar check-config` prints "
    "the\n"
    "values in effect and where each came from, secrets masked. Unknown keys and flags are errors, "
    "unknown\n"
    "variables that begin with `MOLECULE_SIDECAR_` are warnings; an empty variable is as good as "
    "none.\n"
    "\n"
    "| type | how it is written |\n"
    "|---|---|\n"
    "| duration | a whole number and a unit: `500ms`, `30s`, `2m`, `1h`, `1d` |\n"
    "| size | a whole number and a unit: `64KiB`, `10MiB`, `1GiB`; without a unit: bytes |\n"
    "| bool | `true`, `yes`, `on`, `1` or `false`, `no`, `off`, `0` |\n"
    "| address | `unix:/path/to.sock`, `127.0.0.1:8000`, `[::]:8000`, `:8000`, "
    "`http://127.0.0.1:9000` |\n"
    "| list | YAML list; in a variable or flag `a,b` (a flag may be repeated); `agent.env`: one "
    "item per "
    "flag, one per line of the variable |\n"
    "| signal | `TERM`, `SIGTERM` or `15`; `RTMIN+1` |\n"
    "| signals | one signal, or several with the time until the next one: `USR1 wait 20s, TERM, "
    "wait 10s, KILL`, also as a YAML list |\n"
    "| path | `~/` at the beginning is the home directory |\n"
    "\n"
    "A key with \u21bb changes while we run: `molecule-sidecar reload` or SIGHUP reads everything "
    "again, takes over what\n"
    "can change, and names what needs a restart; a file with a mistake changes nothing.\n"
    "\n"
    "Two facts set defaults: *Kubernetes* (`KUBERNETES_SERVICE_HOST` is set) and *container* "
    "(Kubernetes,\n"
    "or we are process 1, or `/.dockerenv` or `/run/.containerenv` is there).\n"
    "\n"
    "The runtime directory, where sockets go, is `$RUNTIME_DIRECTORY` (systemd sets it), else\n"
    "`/run/molecule` if it can be made, else `$XDG_RUNTIME_DIR/molecule/<workspace id or pid>`, "
    "else\n"
    "`$TMPDIR/molecule-<uid>-<workspace id or pid>` with mode 0700.\n"
    "\n"
    "Tokens are never taken from the command line. The order of their variables is\n"
    "`MOLECULE_SIDECAR_PLATFORM_TOKEN`, `MOLECULE_WORKSPACE_TOKEN`, "
    "`MOLECULE_SIDECAR_PLATFORM_TOKEN_FILE`,\n"
    "`MOLECULE_WORKSPACE_TOKEN_FILE`, `MOLECULE_API_KEY`. `MOLECULE_WORKSPACES` (a JSON list) is "
    "taken when it\n"
    "has one entry, and then replaces the variables for id and token. `PORT` sets the port of\n"
    "`listen.address`; `CONFIGS_DIR` and `WORKSPACE_CONFIG_PATH` count when they are writable "
    "directories.\n";

static const char *type_name(const struct config_row *row)
{
    static const char *const names[CONFIG_TYPE_COUNT] = {
        [TYPE_BOOL] = "bool",
        [TYPE_INT] = "number",
        [TYPE_DURATION] = "duration",
        [TYPE_SIZE] = "size",
        [TYPE_STRING] = "text",
        [TYPE_PATH] = "path",
        [TYPE_URL] = "URL",
        [TYPE_UUID] = "UUID",
        [TYPE_ENDPOINT] = "address",
        [TYPE_ENUM] = "word",
        [TYPE_LIST] = "list",
        [TYPE_SIGNAL] = "signal",
        [TYPE_OCTAL] = "octal number",
        [TYPE_SIGNALS] = "signals",
    };

    return names[row->type];
}

static bool has_range(const struct config_row *row)
{
    return row->type == TYPE_INT || row->type == TYPE_DURATION || row->type == TYPE_SIZE ||
           row->type == TYPE_ENUM || row->type == TYPE_OCTAL;
}

static const char *form_suffix(enum env_form form)
{
    switch (form) {
    case ENV_SECONDS:
        return " (seconds)";
    case ENV_MS:
        return " (milliseconds)";
    case ENV_TEXT:
    case ENV_PORT:
    case ENV_DIR:
    case ENV_LEVEL:
        break;
    }
    return "";
}

/* Text for a table cell: a bar would end the cell, "<" would begin a tag. */
static void add_cell(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '<')
            str_addz(out, "\\");
        str_add(out, (struct slice){text, 1});
    }
}

static void add_row(struct str *out, const struct config_row *row)
{
    struct str cell = {0};

    str_addf(out, "| `%s` | %s", row->key, type_name(row));
    if (has_range(row)) {
        str_addz(&cell, ": ");
        schema_add_range(&cell, row);
    }
    add_cell(out, str_z(&cell));
    str_truncate(&cell, 0);
    schema_add_default(&cell, row);
    str_addz(out, " | ");
    add_cell(out, str_z(&cell));
    str_release(&cell);
    str_addz(out, " | ");
    for (size_t i = 0; i < ROW_ENV_MAX && row->env[i].name; i++)
        str_addf(out, "%s`%s`%s", i > 0 ? ", " : "", row->env[i].name,
                 form_suffix(row->env[i].form));
    str_addz(out, row->is_live ? " | \u21bb " : " | ");
    add_cell(out, row->help);
    if (row->flags & ROW_NO_FLAG)
        str_addz(out, " (not as a flag)");
    if (row->reserved.what) {
        str_addz(out, ". **Not in this version**");
    }
    str_addz(out, " |\n");
}

void config_print_reference(struct str *out)
{
    const char *section = "";

    str_addz(out, intro);
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (strcmp(section, row->section) != 0)
            str_addf(out,
                     "\n## %s\n\n| key | type | default | other variables | what it is |\n"
                     "|---|---|---|---|---|\n",
                     row->section);
        section = row->section;
        add_row(out, row);
    }
}

static void add_schema_type(struct str *out, const struct config_row *row)
{
    switch (row->type) {
    case TYPE_BOOL:
        str_addz(out, "\"type\": \"boolean\"");
        break;
    case TYPE_INT:
        str_addf(out, "\"type\": \"integer\", \"minimum\": %lld, \"maximum\": %lld",
                 (long long)(row->flags & ROW_ZERO_OFF ? 0 : row->min), (long long)row->max);
        break;
    case TYPE_DURATION:
        str_addz(out, "\"type\": [\"string\", \"integer\"], \"pattern\": "
                      "\"^(0|[0-9]+(ms|s|m|h|d))$\", \"maximum\": 0");
        break;
    case TYPE_SIZE:
        str_addz(out, "\"type\": [\"string\", \"integer\"], \"pattern\": "
                      "\"^[0-9]+(B|KiB|MiB|GiB|kB|KB|MB|GB)?$\"");
        break;
    case TYPE_UUID:
        str_addz(out, "\"type\": \"string\", \"format\": \"uuid\"");
        break;
    case TYPE_URL:
        str_addz(out, "\"type\": \"string\", \"pattern\": \"^([Hh][Tt][Tt][Pp][Ss]?://.+)?$\"");
        break;
    case TYPE_ENUM:
        str_addz(out, "\"enum\": [");
        for (size_t i = 0; row->words[i]; i++) {
            str_addz(out, i > 0 ? ", " : "");
            str_add_json(out, slice_of(row->words[i]));
            if (strcmp(row->words[i], "off") == 0) /* as older YAML reads the bare word */
                str_addz(out, ", false");
        }
        str_addz(out, "]");
        break;
    case TYPE_LIST:
        str_addz(out, "\"type\": \"array\", \"items\": {\"type\": [\"string\", \"integer\"]}");
        break;
    case TYPE_SIGNAL:
    case TYPE_OCTAL:
        str_addz(out, "\"type\": [\"string\", \"integer\"]");
        break;
    case TYPE_SIGNALS:
        str_addz(out, "\"type\": [\"string\", \"integer\", \"array\"], \"items\": "
                      "{\"type\": [\"string\", \"integer\"]}");
        break;
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_ENDPOINT:
        str_addz(out, "\"type\": \"string\"");
        break;
    }
}

void config_print_json_schema(struct str *out)
{
    const char *section = "";

    str_addz(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                  "  \"title\": \"molecule-sidecar configuration\",\n  \"type\": \"object\",\n"
                  "  \"additionalProperties\": false,\n  \"properties\": {");
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        struct str text = {0};

        if (strcmp(section, row->section) != 0)
            str_addf(out,
                     "%s\n    \"%s\": {\n      \"type\": [\"object\", \"null\"],\n"
                     "      \"additionalProperties\": false,\n      \"properties\": {\n",
                     i > 0 ? "\n      }\n    }," : "", row->section);
        else
            str_addz(out, ",\n");
        section = row->section;
        str_addf(out, "        \"%s\": {", row->key);
        add_schema_type(out, row);
        str_addf(&text, "%s. Default: ", row->help);
        schema_add_default(&text, row);
        if (row->reserved.what)
            str_addz(&text, ". Not in this version");
        str_addz(out, ", \"description\": ");
        str_add_json(out, str_slice(&text));
        str_release(&text);
        str_addz(out, "}");
    }
    str_addz(out, "\n      }\n    }\n  }\n}\n");
}

/*
 * Walks libyaml's events. A hand-driven walk instead of libyaml's document tree, because only here
 * line numbers, duplicate keys and anchors are all still visible, and nothing is expanded.
 */
#include "config/yaml.h"

#include "base/cleanup.h"
#include "config/report.h"
#include "config/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/banned.h"

enum {
    YAML_ENTRIES_MAX = 1024, /* keys of one file; a complete one has about 100 */
    YAML_DEPTH_MAX = 32, /* nesting that is skipped over for one complaint; more ends the reading */
};

struct reader {
    yaml_parser_t parser;
    const char *name;
    struct yaml_doc *doc;
    struct config_report *report;
};

static void slice_wipe(struct slice s)
{
    if (s.p) {
        explicit_bzero((char *)(uintptr_t)s.p, s.n);
        free((char *)(uintptr_t)s.p);
    }
}

static void entry_release(struct yaml_entry *e)
{
    free(e->section);
    free(e->key);
    slice_wipe(e->text);
    for (size_t k = 0; k < e->item_count; k++)
        slice_wipe(e->items[k]);
    free(e->items);
}

void yaml_doc_release(struct yaml_doc *d)
{
    for (size_t i = 0; i < d->n; i++)
        entry_release(&d->v[i]);
    free(d->v);
    *d = (struct yaml_doc){0};
}

static int event_line(const yaml_event_t *e)
{
    return (int)e->start_mark.line + 1;
}

/* libyaml's words for the three mistakes people make, in ours. */
static int syntax_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "not YAML";
    int line = (int)p->problem_mark.line + 1;

    switch (p->error) {
    case YAML_MEMORY_ERROR:
        return report_error(r->report, "%s: no memory", r->name);
    case YAML_READER_ERROR:
        return report_error(r->report, "%s: byte %zu is not part of a UTF-8 text (%s)", r->name,
                            p->problem_offset, problem);
    default:
        break;
    }
    if (strstr(problem, "cannot start any token"))
        return report_error(r->report,
                            "%s:%d: a character that cannot stand here; indent with blanks, not "
                            "tabs, and put texts with special characters into quotes",
                            r->name, line);
    return report_error(r->report, "%s:%d: %s%s%s", r->name, line, problem, p->context ? " " : "",
                        p->context ? p->context : "");
}

/* Next event, or -EINVAL. Anchors, aliases and tags end here, wherever they stand. */
static int next_event(struct reader *r, yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    int line;

    if (!yaml_parser_parse(&r->parser, e)) {
        *e = (yaml_event_t){0};
        return syntax_error(r);
    }
    line = event_line(e);
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        break;
    case YAML_ALIAS_EVENT:
        anchor = e->data.alias.anchor;
        break;
    default:
        break;
    }
    if (anchor || tag) {
        yaml_event_delete(e);
        *e = (yaml_event_t){0};
        return report_error(r->report,
                            "%s:%d: %s are not allowed here; write the value out (a text that "
                            "begins with &, * or ! needs quotes)",
                            r->name, line, anchor ? "anchors and aliases" : "tags");
    }
    return 0;
}

static struct slice scalar_text(const yaml_event_t *e)
{
    return (struct slice){(const char *)e->data.scalar.value, e->data.scalar.length};
}

static bool scalar_is_null(const yaml_event_t *e)
{
    struct slice s = scalar_text(e);

    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (s.n == 0 || slice_eq(s, SLICE("~")) || slice_eq(s, SLICE("null")));
}

/* Everything up to the end of the collection whose start was just read. */
static int skip_nested(struct reader *r)
{
    int depth = 1, rc = 0;

    while (rc == 0 && depth > 0) {
        yaml_event_t e;

        rc = next_event(r, &e);
        if (rc < 0)
            break;
        if (e.type == YAML_SEQUENCE_START_EVENT || e.type == YAML_MAPPING_START_EVENT)
            depth++;
        else if (e.type == YAML_SEQUENCE_END_EVENT || e.type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth > YAML_DEPTH_MAX)
            rc = report_error(r->report, "%s:%d: nested deeper than %d levels", r->name,
                              event_line(&e), YAML_DEPTH_MAX);
        yaml_event_delete(&e);
    }
    return rc;
}

/* The items of a list whose start was just read. */
static int read_items(struct reader *r, struct yaml_entry *entry)
{
    for (;;) {
        yaml_event_t e;
        struct slice *grown;
        char *copy;
        int rc = next_event(r, &e);

        if (rc < 0)
            return rc;
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        if (e.type != YAML_SCALAR_EVENT || entry->item_count >= CONFIG_LIST_MAX) {
            int line = event_line(&e);
            bool is_scalar = e.type == YAML_SCALAR_EVENT;

            yaml_event_delete(&e);
            if (is_scalar)
                return report_error(r->report, "%s:%d: %s.%s has more than %d items", r->name, line,
                                    entry->section, entry->key, CONFIG_LIST_MAX);
            return report_error(r->report,
                                "%s:%d: the items of %s.%s must be plain values (NAME: value has "
                                "to be written NAME=value)",
                                r->name, line, entry->section, entry->key);
        }
        grown = realloc(entry->items, (entry->item_count + 1) * sizeof(*grown));
        if (grown)
            entry->items = grown;
        copy = grown ? slice_dup(scalar_text(&e)) : NULL;
        if (copy)
            entry->items[entry->item_count++] = (struct slice){copy, e.data.scalar.length};
        yaml_event_delete(&e);
        if (!copy)
            return report_error(r->report, "%s: no memory", r->name);
    }
}

static struct yaml_entry *add_entry(struct reader *r, const char *section, struct slice key,
                                    int line)
{
    struct yaml_doc *d = r->doc;
    struct yaml_entry *grown;
    struct yaml_entry e = {.line = line};

    if (d->n >= YAML_ENTRIES_MAX) {
        (void)report_error(r->report, "%s:%d: more than %d keys", r->name, line, YAML_ENTRIES_MAX);
        return NULL;
    }
    e.section = strdup(section);
    e.key = slice_dup(key);
    grown = realloc(d->v, (d->n + 1) * sizeof(*grown));
    if (grown)
        d->v = grown;
    if (!e.section || !e.key || !grown) {
        free(e.section);
        free(e.key);
        (void)report_error(r->report, "%s: no memory", r->name);
        return NULL;
    }
    d->v[d->n] = e;
    return &d->v[d->n++];
}

static const struct yaml_entry *find_entry(const struct yaml_doc *d, const char *section,
                                           struct slice key)
{
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->v[i].section, section) == 0 && slice_eq(slice_of(d->v[i].key), key))
            return &d->v[i];
    }
    return NULL;
}

/* What stands behind "key:". */
static int read_value(struct reader *r, struct yaml_entry *entry)
{
    yaml_event_t e;
    int rc = next_event(r, &e);
    char *copy;

    if (rc < 0)
        return rc;
    switch (e.type) {
    case YAML_SCALAR_EVENT:
        entry->is_null = scalar_is_null(&e);
        copy = slice_dup(entry->is_null ? SLICE("") : scalar_text(&e));
        if (copy)
            entry->text = (struct slice){copy, entry->is_null ? 0 : e.data.scalar.length};
        else
            rc = report_error(r->report, "%s: no memory", r->name);
        break;
    case YAML_SEQUENCE_START_EVENT:
        entry->is_list = true;
        rc = read_items(r, entry);
        break;
    default:
        entry->is_nested = true;
        rc = skip_nested(r);
        break;
    }
    yaml_event_delete(&e);
    return rc;
}

/* A name as key; anything else is refused. On success *ret is the caller's. */
static int take_key(struct reader *r, const yaml_event_t *e, char **ret)
{
    struct slice s;

    if (e->type != YAML_SCALAR_EVENT)
        return report_error(r->report, "%s:%d: a key must be a plain word", r->name, event_line(e));
    s = scalar_text(e);
    if (s.n == 0 || memchr(s.p, '\0', s.n))
        return report_error(r->report, "%s:%d: a key must be a plain word", r->name, event_line(e));
    *ret = slice_dup(s);
    return *ret ? 0 : report_error(r->report, "%s: no memory", r->name);
}

/* The keys of a section whose mapping was just opened. */
static int read_section(struct reader *r, const char *section)
{
    for (;;) {
        CLEANUP(free_cleanup) char *key = NULL;
        const struct yaml_entry *twin;
        struct yaml_entry *entry;
        yaml_event_t e;
        int line, rc = next_event(r, &e);

        if (rc < 0)
            return rc;
        line = event_line(&e);
        if (e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        rc = take_key(r, &e, &key);
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
        twin = find_entry(r->doc, section, slice_of(key));
        if (twin)
            (void)report_error(r->report, "%s:%d: %s.%s is there twice (first in line %d)", r->name,
                               line, section, value_shown(slice_of(key)).z, twin->line);
        entry = add_entry(r, section, slice_of(key), line);
        if (!entry)
            return -EINVAL;
        rc = read_value(r, entry);
        if (rc < 0) { /* half a value would only give a second, misleading complaint */
            entry_release(entry);
            r->doc->n--;
            return rc;
        }
    }
}

/* There is no mapping behind a section's name: what was meant? */
static void complain_of_section(struct reader *r, const char *section, int line)
{
    struct shown_value shown = value_shown(slice_of(section));
    const char *near = schema_nearest_section(slice_of(section));
    const char *dot = strchr(section, '.');
    char buf[CONFIG_KEY_MAX];

    if (dot && schema_find_dotted(slice_of(section)) >= 0) {
        (void)report_error(
            r->report, "%s:%d: write %s as two levels: \"%.*s:\" and below it, indented, \"%s:\"",
            r->name, line, shown.z, (int)(dot - section), section, dot + 1);
        return;
    }
    if (schema_has_section(section)) {
        (void)report_error(r->report, "%s:%d: %s is a section; its keys belong below it, indented",
                           r->name, line, shown.z);
        return;
    }
    if (!near)
        near = schema_nearest_key(slice_of(section), buf);
    (void)report_error(r->report, "%s:%d: unknown section %s%s%s%s", r->name, line, shown.z,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* What stands behind a section's name. */
static int read_section_value(struct reader *r, const char *section, int line)
{
    yaml_event_t e;
    bool is_null;
    int rc = next_event(r, &e);

    if (rc < 0)
        return rc;
    if (e.type == YAML_MAPPING_START_EVENT) {
        yaml_event_delete(&e);
        return read_section(r, section);
    }
    is_null = e.type == YAML_SCALAR_EVENT && scalar_is_null(&e);
    rc = e.type == YAML_SEQUENCE_START_EVENT ? skip_nested(r) : 0;
    yaml_event_delete(&e);
    if (rc == 0 &&
        !(is_null && schema_has_section(section))) /* an empty section is as good as none */
        complain_of_section(r, section, line);
    return rc;
}

/* The sections of the root mapping, which was just opened. */
static int read_root(struct reader *r)
{
    struct str seen = {0}; /* names of sections so far, each with line feeds around */
    int rc = 0;

    for (;;) {
        CLEANUP(free_cleanup) char *section = NULL;
        CLEANUP(str_release) struct str marked = {0};
        yaml_event_t e;
        int line;
        bool is_end;

        rc = next_event(r, &e);
        if (rc < 0)
            break;
        line = event_line(&e);
        is_end = e.type == YAML_MAPPING_END_EVENT;
        if (!is_end)
            rc = take_key(r, &e, &section);
        yaml_event_delete(&e);
        if (is_end || rc < 0)
            break;
        str_addf(&marked, "\n%s\n", section);
        if (seen.p && strstr(seen.p, str_z(&marked)))
            (void)report_error(r->report, "%s:%d: the section %s is there twice; join them",
                               r->name, line, value_shown(slice_of(section)).z);
        else
            str_addz(&seen, str_z(&marked));
        rc = read_section_value(r, section, line);
        if (rc < 0 || r->report->error_count >= CONFIG_PROBLEMS_MAX)
            break;
    }
    str_release(&seen);
    return rc;
}

static int read_document(struct reader *r)
{
    yaml_event_t e;
    int rc = next_event(r, &e);

    if (rc < 0)
        return rc;
    switch (e.type) {
    case YAML_MAPPING_START_EVENT:
        rc = read_root(r);
        break;
    case YAML_SCALAR_EVENT:
        if (!scalar_is_null(&e))
            rc = report_error(r->report,
                              "%s:%d: the file must consist of sections, such as \"listen:\"",
                              r->name, event_line(&e));
        break;
    default:
        rc =
            report_error(r->report, "%s:%d: the file must consist of sections, such as \"listen:\"",
                         r->name, event_line(&e));
        break;
    }
    yaml_event_delete(&e);
    return rc;
}

/* Stream start, at most one document, stream end. */
static int read_stream(struct reader *r)
{
    bool had_document = false;

    for (;;) {
        yaml_event_t e;
        yaml_event_type_t type;
        int line, rc = next_event(r, &e);

        if (rc < 0)
            return rc;
        type = e.type;
        line = event_line(&e);
        yaml_event_delete(&e);
        if (type == YAML_STREAM_END_EVENT)
            return 0;
        if (type != YAML_DOCUMENT_START_EVENT)
            continue;
        if (had_document)
            return report_error(r->report,
                                "%s:%d: a second document begins; only one is allowed, remove the "
                                "\"---\"",
                                r->name, line);
        had_document = true;
        rc = read_document(r);
        if (rc < 0)
            return rc;
    }
}

int yaml_read(struct slice text, const char *name, struct yaml_doc *ret,
              struct config_report *report)
{
    struct reader r = {.name = name, .doc = ret, .report = report};
    size_t before = report->error_count;
    const char *nul = text.n > 0 ? memchr(text.p, '\0', text.n) : NULL;

    *ret = (struct yaml_doc){0};
    if (text.n > CONFIG_FILE_MAX)
        return report_error(report, "%s is larger than %d KiB", name, CONFIG_FILE_MAX / 1024);
    if (nul) /* also UTF-16, which libyaml would read */
        return report_error(report, "%s: byte %zu is NUL; the file must be UTF-8 text", name,
                            (size_t)(nul - text.p));
    if (!yaml_parser_initialize(&r.parser))
        return report_error(report, "%s: no memory", name);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
    (void)read_stream(&r); /* counted in the report */
    yaml_parser_delete(&r.parser);
    return report->error_count > before ? -EINVAL : 0;
}

/*
 * The file: YAML of one shape only, `section: {key: scalar or list of scalars}`, into a flat list
 * with line numbers. What the keys mean is not known here.
 *
 * Refused with the line: anchors, aliases, tags, more than one document, duplicate keys, deeper
 * nesting, tabs as indentation, bytes that are not UTF-8, more than CONFIG_FILE_MAX bytes. So the
 * work is bounded by the size of the text.
 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "base/slice.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

struct yaml_entry {
    char *section; /* owned, like all below */
    char *key;
    struct slice text;   /* scalars; owned bytes, wiped at the end */
    struct slice *items; /* lists */
    size_t item_count;
    bool is_list;
    bool is_null;   /* `key:` without a value, or ~ */
    bool is_nested; /* a mapping stands there; its content was skipped */
    int line;       /* from 1 */
};

struct yaml_doc {
    struct yaml_entry *v;
    size_t n;
};

/*
 * name: how the file is called in messages. Returns 0, or -EINVAL with sentences in `report`; ret
 * then holds what was read before the first syntax error. Always yaml_doc_release(ret).
 */
int yaml_read(struct slice text, const char *name, struct yaml_doc *ret,
              struct config_report *report);
void yaml_doc_release(struct yaml_doc *d);

#endif

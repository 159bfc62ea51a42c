/*
 * The configuration file with any bytes: reading never crashes, never hangs, and a refusal always
 * has a sentence. What was read is put through the rules of its rows.
 */
#include "config/report.h"
#include "config/schema.h"
#include "config/value.h"
#include "config/yaml.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_report report = {0};
    struct yaml_doc doc = {0};
    int rc = yaml_read((struct slice){(const char *)data, size}, "f", &doc, &report);

    assert((rc < 0) == (report.error_count > 0));
    for (size_t i = 0; i < doc.n; i++) {
        const struct yaml_entry *e = &doc.v[i];
        int row = schema_find(e->section, e->key);
        struct value_in in = {.text = e->text,
                              .items = e->items,
                              .item_count = e->item_count,
                              .is_list = e->is_list,
                              .place = "f",
                              .home = "/home"};

        assert(e->line > 0);
        if (row >= 0)
            (void)value_set(NULL, &config_rows[row], &in, &report);
    }
    yaml_doc_release(&doc);
    config_report_release(&report);
    return 0;
}

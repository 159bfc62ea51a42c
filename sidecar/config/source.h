/*
 * A load in progress: the struct being filled, where each value came from, and the three sources
 * that fill it. Private to config/.
 */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"
#include "config/yaml.h"

/* Later ones win. */
enum source {
    FROM_DEFAULT = 0,
    FROM_COMPUTED, /* by load.c, from facts or other keys */
    FROM_FILE,
    FROM_ENVIRONMENT,
    FROM_FLAG,
};

struct origin {
    enum source source;
    char *text; /* owned; NULL = "default" */
};

struct config_origins {
    struct origin *v; /* one per row of the schema */
    size_t n;
};

struct loader {
    struct config *c;
    struct config_report *report;
    const struct config_input *in;
    struct config_system system;
    const char *home; /* HOME of the environment; NULL = unknown */
    const char *file; /* --config, found by source_flags; NULL = none */
};

/*
 * Check a value, and store it with its origin unless a stronger source already gave one. Text, or a
 * list. 0, or -EINVAL with a sentence reported. So the order in which sources are read does not
 * matter.
 */
int loader_set_text(struct loader *l, size_t row, enum source source, const char *place,
                    struct slice text);
int loader_set_items(struct loader *l, size_t row, enum source source, const char *place,
                     const struct slice *items, size_t count);
void loader_note_origin(struct loader *l, size_t row, enum source source, const char *text);
enum source loader_source(const struct loader *l, size_t row);
const char *loader_place(const struct loader *l,
                         size_t row); /* "default", "sidecar.yaml:12", ... */

/* Row of a key that the code knows; asserts that it exists. */
size_t loader_row(const char *section, const char *key);

/* The sources. Complaints go to the report. */
void source_file(struct loader *l, const struct yaml_doc *doc, const char *name);
void source_environment(struct loader *l);
void source_flags(struct loader *l); /* sets l->file too */

/* Value of a variable, trimmed; n == 0 when it is missing or empty. */
struct slice env_value(const struct loader *l, const char *name);

/* Facts about the system (facts.c). */
void facts_find(struct loader *l); /* Kubernetes? container? Needed before any source is read */
int facts_runtime_dir(
    struct loader *l); /* where our sockets go; needs workspace.id. 0 or -ENOMEM */
/* "not writable" also when it does not exist; `root` is the loader's. */
bool facts_is_writable_dir(const struct loader *l, const char *path);
bool facts_can_make_dir(const struct loader *l, const char *path);

/* Rules that join keys, after everything is filled (check.c, check_url.c, check_tls.c,
 * check_stop.c, check_signals.c, check_start.c). */
void check_all(struct loader *l);
void check_urls(struct loader *l);
void check_stop(struct loader *l);
void check_start(struct loader *l); /* how the child is started; looks agent.user up */
void check_tls(struct loader *l);   /* reads the files */
void check_signals(struct loader *l);

#endif

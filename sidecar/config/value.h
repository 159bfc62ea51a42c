/*
 * One value: from text into its member of struct config by the rules of its row, and back into
 * text. Private to config/.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/slice.h"
#include "base/str.h"
#include "config/config.h"
#include "config/schema.h"

#include <stdbool.h>

/* Text on its way in. Scalars use `text`; lists use `items`. */
struct value_in {
    struct slice text;
    const struct slice *items;
    size_t item_count;
    bool is_list;      /* written as a list (items hold it) */
    const char *place; /* "sidecar.yaml:7", "environment PORT", "flag --listen-address" */
    const char *home;  /* for "~/"; NULL = unknown */
};

/*
 * Check `in` by the rules of `row` and store it in c, replacing what is there. c may be NULL: check
 * only. A reserved row stores nothing and accepts its default alone. 0, or -EINVAL with a sentence
 * in `report`; c is unchanged then.
 */
int value_set(struct config *c, const struct config_row *row, const struct value_in *in,
              struct config_report *report);

/* Members of a row: strings become "" when they were NULL, so that nobody meets a NULL. 0 or
 * -ENOMEM. */
int value_init(struct config *c, const struct config_row *row);
void value_release(struct config *c, const struct config_row *row); /* secrets are wiped */

/* As it would stand in the file; secrets as "(set, N characters)". */
void value_add_text(struct str *out, const struct config *c, const struct config_row *row);

/* Typed access for the loader's own computations. */
char **value_string(struct config *c, const struct config_row *row);
int64_t *value_number(struct config *c, const struct config_row *row);

/* A signal that may be sent to ask for something: as signal_parse(), without KILL, STOP, CHLD and
 * PIPE. 0 when there is none. */
int signal_of_name(struct slice name);

/* "10.0.0.0/8", "::1/128" or a bare address. */
bool is_cidr(struct slice text);

#endif

/*
 * Collecting complaints: sentences go into a struct config_report until it is full; further ones
 * are counted in words. Private to config/.
 */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include "base/slice.h"
#include "config/config.h"

enum { REPORT_VALUE_MAX = 80 }; /* bytes of a value repeated in a sentence */

/* A value as it may stand in a sentence: cut, control characters escaped. */
struct shown_value {
    char z[REPORT_VALUE_MAX + 8];
};
struct shown_value value_shown(struct slice text);

/* Always -EINVAL, so that `return report_error(...)` reads well. */
int report_error(struct config_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void report_warning(struct config_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif

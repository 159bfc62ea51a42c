/*
 * The list of complaints. Who shows it decides where; nothing here writes to a log.
 */
#include "config/report.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/banned.h"

struct shown_value value_shown(struct slice text)
{
    struct shown_value shown = {{0}};
    struct str s = {0};
    size_t n;

    str_add_printable(&s, text, REPORT_VALUE_MAX);
    n = s.len < sizeof(shown.z) ? s.len : sizeof(shown.z) - 1;
    memcpy(shown.z, str_z(&s), n);
    str_release(&s);
    return shown;
}

/* The slot for one more sentence, or NULL: the last slot says that there are more. */
static struct str *report_slot(struct str *slots, size_t *count)
{
    if (*count == CONFIG_PROBLEMS_MAX)
        return NULL;
    if (*count == CONFIG_PROBLEMS_MAX - 1) {
        str_addz(&slots[(*count)++], "there are more problems; these first");
        return NULL;
    }
    return &slots[(*count)++];
}

int report_error(struct config_report *r, const char *fmt, ...)
{
    struct str *slot = report_slot(r->errors, &r->error_count);
    va_list ap;

    if (slot) {
        va_start(ap, fmt);
        str_vaddf(slot, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

void report_warning(struct config_report *r, const char *fmt, ...)
{
    struct str *slot = report_slot(r->warnings, &r->warning_count);
    va_list ap;

    if (slot) {
        va_start(ap, fmt);
        str_vaddf(slot, fmt, ap);
        va_end(ap);
    }
}

void config_report_release(struct config_report *r)
{
    for (size_t i = 0; i < CONFIG_PROBLEMS_MAX; i++) {
        str_release(&r->errors[i]);
        str_release(&r->warnings[i]);
    }
    r->error_count = 0;
    r->warning_count = 0;
}

/*
 * Counters as text: the Prometheus exposition format, version 0.0.4. Only the writing; what is
 * counted lives with whoever counts it.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/str.h"
#include "base/window.h"

#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The HELP and TYPE lines of a family; its values follow. type: "counter", "gauge", "histogram". */
void metrics_family(struct str *out, const char *name, const char *type, const char *help);
/* labels: "" or `a="x",b="y"`, already escaped (metrics_label). */
void metrics_value(struct str *out, const char *name, const char *labels, double value);
void metrics_count(struct str *out, const char *name, const char *labels, uint64_t value);
void metrics_histogram(struct str *out, const char *name, const char *labels,
                       const struct histogram *h);

/* A family with one value and no labels. */
void metrics_counter(struct str *out, const char *name, const char *help, uint64_t value);
void metrics_gauge(struct str *out, const char *name, const char *help, double value);

/* `name="value"` with backslash, quote and newline escaped; a comma first unless out is empty. */
void metrics_label(struct str *out, const char *name, const char *value);

#endif

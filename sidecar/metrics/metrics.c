/*
 * Writes the Prometheus text format.
 */
#include "metrics/metrics.h"

#include <inttypes.h>

void metrics_family(struct str *out, const char *name, const char *type, const char *help)
{
    str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_suffixed(struct str *out, const char *name, const char *suffix, const char *labels)
{
    if (labels[0]) {
        str_addf(out, "%s%s{%s} ", name, suffix, labels);
    } else {
        str_addf(out, "%s%s ", name, suffix);
    }
}

static void add_name(struct str *out, const char *name, const char *labels)
{
    add_suffixed(out, name, "", labels);
}

void metrics_value(struct str *out, const char *name, const char *labels, double value)
{
    add_name(out, name, labels);
    str_addf(out, "%.9g\n", value);
}

void metrics_count(struct str *out, const char *name, const char *labels, uint64_t value)
{
    add_name(out, name, labels);
    str_addf(out, "%" PRIu64 "\n", value);
}

void metrics_histogram(struct str *out, const char *name, const char *labels,
                       const struct histogram *h)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t sum = 0;

    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += h->bucket[i];
        str_addf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
                 histogram_bounds_s[i], sum);
    }
    str_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, h->count);
    add_suffixed(out, name, "_sum", labels);
    str_addf(out, "%.9g\n", h->sum_s);
    add_suffixed(out, name, "_count", labels);
    str_addf(out, "%" PRIu64 "\n", h->count);
}

void metrics_counter(struct str *out, const char *name, const char *help, uint64_t value)
{
    metrics_family(out, name, "counter", help);
    metrics_count(out, name, "", value);
}

void metrics_gauge(struct str *out, const char *name, const char *help, double value)
{
    metrics_family(out, name, "gauge", help);
    metrics_value(out, name, "", value);
}

void metrics_label(struct str *out, const char *name, const char *value)
{
    str_addf(out, "%s%s=\"", out->len ? "," : "", name);
    for (const char *p = value; *p; p++) {
        switch (*p) {
        case '\\':
            str_addz(out, "\\\\");
            break;
        case '"':
            str_addz(out, "\\\"");
            break;
        case '\n':
            str_addz(out, "\\n");
            break;
        default:
            str_add(out, (struct slice){p, 1});
        }
    }
    str_addz(out, "\"");
}

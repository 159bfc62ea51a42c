/* The text format, as a scraper reads it. */
#include "base/cleanup.h"
#include "metrics/metrics.h"

#include <criterion/criterion.h>
#include <string.h>

Test(metrics, families_have_help_type_and_values)
{
    CLEANUP(str_release) struct str out = {0};

    metrics_counter(&out, "x_total", "What x counts.", 42);
    cr_assert_str_eq(str_z(&out),
                     "# HELP x_total What x counts.\n# TYPE x_total counter\nx_total 42\n");
}

Test(metrics, labels_escape_what_would_end_them)
{
    CLEANUP(str_release) struct str labels = {0};

    metrics_label(&labels, "a", "x\"y\\z\n");
    metrics_label(&labels, "b", "c");
    cr_assert_str_eq(str_z(&labels), "a=\"x\\\"y\\\\z\\n\",b=\"c\"");
}

Test(metrics, histograms_are_cumulative_and_end_with_infinity)
{
    CLEANUP(str_release) struct str out = {0};
    struct histogram h = {0};

    histogram_add(&h, 0.0001);
    histogram_add(&h, 0.0001);
    histogram_add(&h, 1e9);
    metrics_histogram(&out, "t", "", &h);
    cr_assert_not_null(strstr(str_z(&out), "t_bucket{le=\"0.0005\"} 2\n"), "%s", str_z(&out));
    cr_assert_not_null(strstr(str_z(&out), "t_bucket{le=\"+Inf\"} 3\n"), "%s", str_z(&out));
    cr_assert_not_null(strstr(str_z(&out), "t_count 3\n"), "%s", str_z(&out));
}

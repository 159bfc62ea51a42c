/*
 * Values back into text, for check-config. Secrets are only counted, never shown.
 */
#include "config/value.h"

#include "base/parse.h"
#include "base/signame.h"
#include "config/report.h"
#include "config/url.h"

#include <assert.h>
#include <string.h>

#include "base/banned.h"

/* A proxy's password is nobody's business. */
static void add_url(struct str *out, const struct config_row *row, const char *text)
{
    struct url u;

    if (*text && (row->flags & ROW_URL_USER) && url_parse(slice_of(text), &u, NULL) == 0 &&
        u.userinfo.p) {
        str_add(out, (struct slice){text, (size_t)(u.userinfo.p - text)});
        str_addf(out, "***@%s", u.userinfo.p + u.userinfo.n + 1);
        return;
    }
    str_addz(out, *text ? text : "\"\"");
}

static void add_list(struct str *out, const struct config_row *row, const struct string_list *l)
{
    str_addz(out, "[");
    for (size_t i = 0; i < l->n; i++) {
        const char *eq = row->flags & ROW_MASK_VALUES ? strchr(l->v[i], '=') : NULL;

        if (i > 0)
            str_addz(out, ", ");
        if (eq) {
            str_add_printable(out, (struct slice){l->v[i], (size_t)(eq - l->v[i])},
                              REPORT_VALUE_MAX);
            str_addf(out, "=(%zu characters)", strlen(eq + 1));
        } else {
            str_add_printable(out, slice_of(l->v[i]), REPORT_VALUE_MAX);
        }
    }
    str_addz(out, "]");
}

void value_add_text(struct str *out, const struct config *c, const struct config_row *row)
{
    const void *at = (const char *)c + row->offset;
    char buf[FORMAT_MAX];
    char signal[SIGNAL_TEXT_MAX];
    const char *text;
    int number;

    assert(row->offset != ROW_NO_MEMBER);
    switch (row->type) {
    case TYPE_BOOL:
        str_addz(out, *(const bool *)at ? "true" : "false");
        break;
    case TYPE_INT:
        str_addf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case TYPE_DURATION:
        if (*(const int64_t *)at < 0)
            str_addz(out, "(computed)");
        else
            str_addz(out, format_duration(*(const int64_t *)at, buf));
        break;
    case TYPE_SIZE:
        str_addz(out, format_size(*(const int64_t *)at, buf));
        break;
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_URL:
    case TYPE_UUID:
        text = *(char *const *)at;
        if (*text && (row->flags & ROW_SECRET))
            str_addf(out, "(set, %zu characters)", strlen(text));
        else if (row->type == TYPE_URL)
            add_url(out, row, text);
        else if (*text)
            str_add_printable(out, slice_of(text), CONFIG_STRING_MAX);
        else
            str_addz(out, "\"\"");
        break;
    case TYPE_ENDPOINT:
        str_addz(out, ((const struct endpoint *)at)->text);
        break;
    case TYPE_ENUM:
        memcpy(&number, at, sizeof(number));
        str_addz(out, row->words[number]);
        break;
    case TYPE_LIST:
        add_list(out, row, at);
        break;
    case TYPE_SIGNAL:
        str_addz(out, signal_text(*(const int *)at, signal));
        break;
    case TYPE_SIGNALS:
        stop_sequence_add_text(out, at);
        break;
    case TYPE_OCTAL:
        if (*(const int *)at < 0)
            str_addz(out, "\"\"");
        else
            str_addf(out, "%04o", (unsigned)*(const int *)at);
        break;
    }
}

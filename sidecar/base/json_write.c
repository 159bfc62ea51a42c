/*
 * JSON out.
 */
#include "base/json_write.h"

#include <inttypes.h>

static void begin_value(struct json_writer *w, const char *key)
{
    if (w->needs_comma) {
        str_addz(w->out, ",");
    }
    w->needs_comma = true;
    if (key) {
        str_add_json(w->out, slice_of(key));
        str_addz(w->out, ":");
    }
}

void json_open(struct json_writer *w, const char *key, char bracket)
{
    begin_value(w, key);
    str_add(w->out, (struct slice){&bracket, 1});
    w->needs_comma = false;
}

void json_close(struct json_writer *w, char bracket)
{
    str_add(w->out, (struct slice){&bracket, 1});
    w->needs_comma = true;
}

void json_add_text(struct json_writer *w, const char *key, const char *text)
{
    begin_value(w, key);
    if (text && text[0]) {
        str_add_json(w->out, slice_of(text));
    } else {
        str_addz(w->out, "null");
    }
}

void json_add_int(struct json_writer *w, const char *key, int64_t n)
{
    begin_value(w, key);
    str_addf(w->out, "%" PRId64, n);
}

void json_add_bool(struct json_writer *w, const char *key, bool on)
{
    begin_value(w, key);
    str_addz(w->out, on ? "true" : "false");
}

void json_add_number(struct json_writer *w, const char *key, double n)
{
    begin_value(w, key);
    str_addf(w->out, "%.4f", n);
}

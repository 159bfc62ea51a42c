/*
 * One log line in the making: fixed room, always ends well. Private to log/.
 */
#ifndef LOG_LINE_H
#define LOG_LINE_H

#include "log/log.h"

struct line {
    char p[LOG_LINE_MAX];
    size_t n;
    bool is_cut; /* something did not fit; nothing more is added */
};

/* The whole line, newline included. text is the formatted sentence. */
void line_make(struct line *line, enum log_format format, enum log_level level, const char *module,
               struct slice text, const struct log_field *fields, size_t field_count);

#endif

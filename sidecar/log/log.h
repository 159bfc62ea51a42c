/*
 * The only writer to stderr. One event, one line: time, level, module, sentence, fields. Text on a
 * terminal, JSON lines otherwise.
 *
 * Lines go into a bounded buffer (LOG_BUFFER_BYTES) and are written when log_flush() is called (the
 * loop does it at the end of a turn) as far as stderr takes them without blocking; what does not
 * fit is dropped, counted, and said in a line of its own as soon as there is room. stderr's own
 * flags are never changed: the child and the terminal share them. Until log_set_buffered(true) each
 * line is written at once. Control characters in sentences and values are escaped. Nothing secret
 * is ever passed in here.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG = 0, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_FORMAT_AUTO = 0, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum {
    LOG_BUFFER_BYTES = 256 * 1024, /* lines waiting for stderr */
    /* bytes of one line; longer ones are cut, PIPE_BUF keeps them whole */
    LOG_LINE_MAX = 4096,
    LOG_PRESSING_BYTES = 16 * 1024, /* of lines are written without gathering more */
    /* of a log_line()'s text, escapes counted, that fit together with short fields */
    LOG_TEXT_MAX = LOG_LINE_MAX - 256,
};

struct log_field {
    struct slice lead; /* as JSON wants it: ,"key": and for texts the quote that opens the value */
    struct slice text; /* used when is_number is false */
    int64_t number;
    bool is_number;
    bool is_plain; /* printable ASCII without quotes and backslashes: copied as it is */
};
/* k: a snake_case literal. The compiler puts the lead together: one piece to copy for each field.
 */
#define LOG_STR(k, z)   LOG_SLICE(k, slice_of(z))
#define LOG_SLICE(k, s) ((struct log_field){.lead = SLICE_INIT(",\"" k "\":\""), .text = (s)})
#define LOG_PLAIN(k, z)                                                                            \
    ((struct log_field){.lead = SLICE_INIT(",\"" k "\":\""), .text = slice_of(z), .is_plain = true})
#define LOG_INT(k, n)                                                                              \
    ((struct log_field){                                                                           \
        .lead = SLICE_INIT(",\"" k "\":"), .number = (int64_t)(n), .is_number = true})

/* The key alone. */
static inline struct slice log_field_key(const struct log_field *f)
{
    size_t before = 2, after = f->is_number ? 2 : 3; /* ," and ": or ":" */

    return (struct slice){f->lead.p + before, f->lead.n - before - after};
}

/* AUTO: text when stderr is a terminal, else JSON */
void log_init(enum log_level level, enum log_format format);
void log_set_buffered(bool on);
bool log_wants(enum log_level level);

/*
 * One line, from the loop's thread only. module: a literal such as "platform". fields may be NULL.
 * A line over LOG_LINE_MAX is cut and says so. %m is the errno on entry.
 */
void log_event(enum log_level level, const char *module, const struct log_field *fields,
               size_t field_count, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/*
 * A line that somebody else wrote (the agent's output), whatever log.level is: text as it came, no
 * format. Ask log_has_room() first: then such lines never take more than half of the buffer, and
 * ours always find room. log_char_cost() takes a character (or bad byte) off *rest, which is not
 * empty, and returns how many bytes of LOG_TEXT_MAX it takes.
 */
void log_line(enum log_level level, const char *module, struct slice text,
              const struct log_field *fields, size_t field_count);
bool log_has_room(void); /* writes what stderr takes when there is none */
size_t log_char_cost(struct slice *rest);

/* Everything that can be written now, without blocking. Returns true when nothing is left. */
bool log_flush(void);
size_t log_pending(void); /* bytes that wait */
/* Better now than gathered further: a warning or an error waits, or much does. */
bool log_is_pressing(void);
/*
 * While log_flush() returns false: a descriptor (ours, do not close) that becomes readable when
 * stderr takes bytes again; -1 when there is none, then try again a little later.
 */
int log_wait_fd(void);
/* Before exit: waits for stderr at most max_ms. */
void log_finish(int max_ms);
uint64_t log_dropped(void); /* lines lost since start */

#define log_debug(module, ...)                                                                     \
    do {                                                                                           \
        if (log_wants(LOG_DEBUG))                                                                  \
            log_event(LOG_DEBUG, module, NULL, 0, __VA_ARGS__);                                    \
    } while (0)
#define log_info(module, ...)    log_event(LOG_INFO, module, NULL, 0, __VA_ARGS__)
#define log_warning(module, ...) log_event(LOG_WARNING, module, NULL, 0, __VA_ARGS__)
#define log_error(module, ...)   log_event(LOG_ERROR, module, NULL, 0, __VA_ARGS__)

#endif

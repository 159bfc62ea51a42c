/*
 * Names of signals, both ways. Which of them may be used for what is the caller's business.
 */
#ifndef BASE_SIGNAME_H
#define BASE_SIGNAME_H

#include "base/slice.h"

enum {
    SIGNAL_MAX = 64,      /* the highest number Linux has; tables by number have one more entry */
    SIGNAL_TEXT_MAX = 16, /* bytes that hold any result below, with its NUL */
};

/*
 * The number of a signal: "TERM", "SIGTERM" or "15", and "RTMIN", "RTMIN+3", "RTMAX-1" or "37" for
 * real-time ones, in any case. 0 for anything else, also for 32 and 33, which the C library keeps
 * for its threads.
 */
int signal_parse(struct slice text);

/* "SIGTERM", "SIGRTMIN+3", "signal 32": for sentences. */
enum { SIGNAL_WORDS_MAX = 24 };
const char *signal_in_words(int number, char buf[SIGNAL_WORDS_MAX]);

/* "TERM", "RTMIN+3"; the bare number for what has no name. */
const char *signal_text(int number, char buf[SIGNAL_TEXT_MAX]);

#endif

/*
 * A file of bearer tokens (listen.bearer_tokens_file): one token per line, blanks at both ends of a
 * line cut off, lines that are empty or begin with # skipped. What is done with the tokens is the
 * caller's business; nothing here keeps one.
 */
#ifndef CONFIG_TOKENS_H
#define CONFIG_TOKENS_H

#include "base/err.h"
#include "base/slice.h"

enum {
    TOKENS_FILE_MAX = 64 * 1024, /* bytes of the file: it is read between two requests */
    TOKENS_MAX = 256,            /* tokens: each request that carries one is compared with all */
    TOKENS_BYTES_MIN = 8,        /* bytes of one: less can be guessed */
    TOKENS_BYTES_MAX = 4096,
};

/* token is borrowed for the call. */
typedef void token_fn(void *arg, struct slice token);

/*
 * Checks all of it first, then calls fn for each token in order; so fn sees all tokens of a good
 * file or none of a bad one. fn may be NULL. 0, or -EINVAL with a sentence that names file and
 * line, and never repeats what stands there: it may be a token.
 */
int tokens_parse(struct slice content, const char *name, token_fn *fn, void *arg, struct err *err);

/* The same from the file; blocks as long as the disk does. -errno and -EFBIG too. */
int tokens_read(const char *path, token_fn *fn, void *arg, struct err *err);

#endif

/*
 * Long answers in parts: what one call may carry is bounded (P sections 12 and 13.1). Pure, and the
 * same text always gives the same parts: after a crash the next part is known by its number alone.
 *
 * Parts are cut at the end of a paragraph, else of a line, else of a word, else of a character.
 * Invalid UTF-8 becomes U+FFFD and U+0000 goes: the platform's database takes neither.
 */
#ifndef INBOX_SPLIT_H
#define INBOX_SPLIT_H

#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SPLIT_PERSON_BYTES = 64 * 1024,     /* of one message to a person, its mark included */
    SPLIT_PEER_JSON_BYTES = 960 * 1024, /* of one part as a JSON string; the envelope of a call of
                                           1 MiB has the rest */
    SPLIT_PARTS_MAX = 16,               /* what is longer is cut, and says so */
    SPLIT_WORDS_BYTES = 160,            /* kept free for the mark and for those words */
};

struct split {
    struct str text; /* made valid; the parts point into it */
    struct slice parts[SPLIT_PARTS_MAX];
    unsigned count;   /* 0 = nothing but blanks: there is nothing to say */
    size_t left_out;  /* bytes beyond the last part */
    bool is_for_peer; /* no marks in the text: peers are told in metadata */
};

/* 0 or -ENOMEM. ret is released with split_release(), whatever the result. */
int split_text(struct slice answer, bool is_for_peer, struct split *ret);
/* The words of part k (from 0) as they are sent: "(2/3)" before them when a person gets several. */
void split_words(const struct split *s, unsigned k, struct str *ret);
void split_release(struct split *s);

#endif

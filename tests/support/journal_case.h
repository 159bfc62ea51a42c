/*
 * A journal in a directory of its own, and its callbacks turned into plain calls: each runs the
 * loop until it has its answer.
 */
#ifndef SUPPORT_JOURNAL_CASE_H
#define SUPPORT_JOURNAL_CASE_H

#include "store/journal.h"

struct journal_case {
    struct loop *loop;
    struct store *store;
    struct journal *journal;
    char dir[256];
    struct journal_options options;
};

void journal_case_begin(struct journal_case *c); /* directory, loop, store; opens nothing */
void journal_case_end(struct journal_case *c);   /* closes, and removes the directory */
void journal_case_clean(struct journal_case *c); /* removes what is in the directory */
void journal_case_open(struct journal_case *c);
void journal_case_shut(struct journal_case *c);  /* the journal only */
void journal_case_close(struct journal_case *c); /* with its store and loop, as a process ends */

/* The n-th row: "00000000-0000-4000-8000-00000000000n", in conversation "c<n % 3>". */
void journal_case_row(unsigned n, char ret[JOURNAL_ID_LEN + 1]);
struct journal_message journal_case_message(unsigned n); /* owns its texts */

/* Adds the n-th; its seq. */
int64_t journal_case_add(struct journal_case *c, unsigned n);
int journal_case_set(struct journal_case *c, const struct journal_message *m,
                     const struct journal_conversation *conversation);
/* The caller releases them (journal_case_free). */
size_t journal_case_read(struct journal_case *c, const struct journal_query *q,
                         struct journal_message **ret);
void journal_case_free(struct journal_message *v, size_t n);
struct journal_message journal_case_find(struct journal_case *c, const char *row_id);
struct journal_conversation journal_case_conversation(struct journal_case *c, const char *name);
bool journal_case_verify(struct journal_case *c, char *sentence, size_t size);
void journal_case_start(struct journal_case *c, struct journal_cursor *cursor, int64_t *last_ms);
/* Runs the loop until is_true or a minute has passed. */
bool journal_case_until(struct journal_case *c, bool (*is_true)(void *arg), void *arg);

#endif

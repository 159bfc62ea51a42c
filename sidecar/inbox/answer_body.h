/*
 * What an answer is on the wire: path, body, the id that makes a repeat recognisable, and what the
 * message that it answers says about automatic replies. Pure. Source: P sections 12, 13.1, 13.2.
 */
#ifndef INBOX_ANSWER_BODY_H
#define INBOX_ANSWER_BODY_H

#include "base/slice.h"
#include "base/str.h"
#include "inbox/row.h"
#include "store/journal.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ANSWER_HOPS_MAX = 8, /* automatic replies to replies, as far as their metadata tells */
    ANSWER_UUID_MAX = 36 + 1,
};

struct asked {          /* of the message that is answered: row_about(), with texts of its own */
    bool is_unreadable; /* nobody can say whether it is a reply */
    bool is_from_agent, is_reply;
    int64_t hops;
    char context_id[ROW_ID_TEXT_MAX + 1];
};
void asked_read(const char *request, struct asked *ret); /* request_body as JSON; NULL is
                                                          * unreadable */
/* Why it gets no automatic reply, or NULL (P section 13.2: two that answer each other never end).
 */
const char *asked_forbids(const struct asked *a);

/* UUIDv5 of row and part in the name space of the workspace: the same for every try. False: no
 * memory. */
bool answer_message_id(const char *workspace_id, const char *row_id, unsigned part,
                       char ret[ANSWER_UUID_MAX]);

void answer_person_body(struct slice words, struct str *ret);
void answer_peer_body(const struct journal_message *m, const struct asked *a,
                      const char *message_id, unsigned part, unsigned parts, const char *words,
                      struct str *ret);

#endif

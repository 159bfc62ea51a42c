/*
 * Outcomes of delegations: rows that the platform copies into the feed for whoever delegated
 * (DELEGATION_RESULT_INBOX_PUSH=1). The agent hears of them as of any message; who did the work
 * waits for no answer. Pure. Source: P sections 10.5 (rule 3), 13.5, 13.6, 18.
 *
 * In the journal such a message is known by its conversation, which no sender can choose: a
 * person's begins with "user/", a peer's with its id. Its sender is the peer that did the work, or
 * this workspace itself where the row does not say which one that was.
 */
#ifndef INBOX_OUTCOME_H
#define INBOX_OUTCOME_H

#include "base/str.h"
#include "inbox/row.h"
#include "store/journal.h"

#include <json-c/json.h>
#include <stdbool.h>

#define OUTCOME_CONVERSATION "delegation"

/*
 * o: a row whose method is delegate_result and whose id, time and source are read. Fills kind:
 *
 *   ROW_DELEGATION        peer_id, message_id (delegation and status, so that one outcome in two
 *                         rows is one message), context_id (of the delegation) and request:
 *     {"delegation":{"id":...,"status":...},"params":{"message":{"role":"agent","parts":[...],...}}}
 *   ROW_DELEGATION_OPEN   no outcome: it goes on, or waits at a peer that polls (request: the same)
 *   ROW_OTHER_METHOD      the platform's own copies have a response_body and no duration; what a
 *                         caller sends under this name has not
 *
 * request stays NULL without memory.
 */
void outcome_read(struct json_object *o, const char *own_id, struct row *ret);

bool outcome_is(const struct journal_message *m);

/* What the agent is told of it, outside of markers: a sentence without any word of the peer's.
 * delegation: that of request, or NULL; id: as the agent may see it, "" = none. */
const char *outcome_status(struct json_object *delegation); /* a word of P section 13.6 */
void outcome_sentence(const char *id, const char *status, bool has_text, struct str *ret);

#endif

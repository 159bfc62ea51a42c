/*
 * What the agent is sent: the request for its A2A server, made of a message as the platform stored
 * it. Pure: the same input gives the same bytes, so that a message that is delivered again is the
 * same message. docs/polling.md shows examples.
 *
 * Both protocol versions are read (parts with `kind` or `type`, flat ones, v0.2 content, bodies
 * that are JSON in a string) and the one the agent speaks is written. Role is always the user's:
 * towards its server every sender is a client.
 */
#ifndef INBOX_ENVELOPE_H
#define INBOX_ENVELOPE_H

#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>

/* message.metadata: who speaks. What a sender puts there himself is dropped. */
#define ENVELOPE_SENDER_KEY "molecule_sender"
/* message.metadata: of which delegation this is the outcome, {"id","status"}; ours alone, too. */
#define ENVELOPE_DELEGATION_KEY "molecule_delegation"
#define ENVELOPE_VERSION_1      "1.0" /* A2A-Version of the 1.0 form */

struct envelope {                 /* all borrowed; "" or NULL = none */
    const char *request;          /* request_body */
    const char *row_id;           /* the JSON-RPC id */
    const char *message_id;       /* "" = row_id */
    const char *context_id;       /* the sender's */
    const char *agent_context_id; /* which the agent gave the conversation; instead */
    const char *task_id;          /* an interrupted task that waits for this message */
    bool is_1_0;                  /* SendMessage rather than message/send */
    bool is_peer;                 /* another workspace, not a person */
    bool has_markers;             /* inbox.peer_markers; only for peers */
    bool is_outcome;              /* of a delegation: outcome.h; is_peer, too */
    const char *sender_id;
    const char *peer_name, *peer_role, *card_url;
};

/*
 * 0; -ENODATA: nothing in it that an agent could read; -EBADMSG: the request is no JSON object, or
 * nested too deep; -ENOMEM. With a sentence.
 */
int envelope_write(const struct envelope *e, struct str *out, struct err *err);
/* tasks/get, or GetTask */
void envelope_write_task(const char *row_id, const char *task_id, bool is_1_0, struct str *out);

#endif

/*
 * What the agent's HTTP answer means for the message it was given, in both protocol versions and
 * in the shapes that agents answer with all the same. Pure.
 *
 *   task or message with words           AGENT_SAID        an answer for the sender
 *   task failed, rejected, canceled      AGENT_SAID        in words: the agent has decided
 *   task submitted, working              AGENT_WORKING     to be followed
 *   task input-, auth-required           AGENT_ASKS        in words; the conversation stays open
 *   TaskNotFound, a task that has ended  AGENT_FORGOT      the task we named is of no use
 *   MethodNotFound, VersionNotSupported  AGENT_OTHER_VERSION
 *   other refusals of the request        AGENT_REFUSED     the same bytes get the same answer
 *   all else                             AGENT_FAILED      worth another attempt
 */
#ifndef INBOX_AGENT_ANSWER_H
#define INBOX_AGENT_ANSWER_H

#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>

#define AGENT_WORDS ", in its words: "

enum agent_said {
    AGENT_SAID = 0, /* text; "" = nothing to say */
    AGENT_WORKING,  /* task_id */
    AGENT_ASKS,     /* text, task_id: its next message goes to this task */
    AGENT_FORGOT,   /* only when a task was named in the request; why */
    AGENT_OTHER_VERSION,
    AGENT_REFUSED,
    AGENT_FAILED,
};

enum {
    AGENT_ID_MAX = 256, /* bytes of a task or context id; with a longer one it has none */
    AGENT_ANSWER_DEPTH_MAX = 128,
};

struct agent_answer {
    enum agent_said said;
    struct str text; /* valid UTF-8 without NUL, blanks at both ends removed */
    char context_id[AGENT_ID_MAX + 1];
    char task_id[AGENT_ID_MAX + 1]; /* of a task that is not over, or that the message belongs to */
    /* FORGOT and the last three: a sentence, printable in one line. The agent's own words are at
     * its end, behind AGENT_WORDS: for the journal, not for a log. */
    char why[ERR_MSG_MAX];
};

/*
 * status, body: an answer that is whole. has_task: the request named a task (a message to an open
 * one, or tasks/get). 0 or -ENOMEM; release in every case.
 */
int agent_answer_read(int status, struct slice body, bool has_task, struct agent_answer *ret);
void agent_answer_release(struct agent_answer *a);

#endif

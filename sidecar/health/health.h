/*
 * Started, ready, live, and the agent's own health: four different facts, each with its reasons.
 * Pure: facts in, one JSON line out.
 *
 * Which check counts for which question is one table in health.c. Source: design section 6.
 */
#ifndef HEALTH_HEALTH_H
#define HEALTH_HEALTH_H

#include "base/str.h"

#include <stdbool.h>

enum health_question { HEALTH_STARTED = 0, HEALTH_READY, HEALTH_LIVE, HEALTH_AGENT };
enum { HEALTH_QUESTION_COUNT = HEALTH_AGENT + 1 };

struct health_facts {
    bool is_bound;  /* listeners and sockets */
    bool has_child; /* wrapper mode */
    bool child_was_spawned;
    bool child_is_lost;       /* ended for good without us having stopped it */
    bool secrets_are_settled; /* written, or their wait is over, or there are none to wait for */
    bool agent_is_probed;     /* false when it counts as ready once it runs */
    bool agent_answers;
    const char *agent_reason; /* why not; "" */
    const char *state;        /* lifecycle word */
    const char *state_reason; /* why it is held; "" */
    bool is_running;          /* not starting, held, draining, stopping */
    bool platform_is_enabled;
    bool is_registered;
    bool registration_is_required; /* platform.required */
    const char *platform_reason;   /* why not registered; "" */
    const char *journal_problem;   /* why polled messages wait; NULL or "" */
};

/* Is the answer yes? Appends one JSON object (no newline): {"status":"ok"} or
 * {"status":"fail","reasons":[...]}; verbose adds "checks". */
bool health_answer(const struct health_facts *f, enum health_question q, bool verbose,
                   struct str *json);

/* "started" "ready" "live" "agent", or false. */
bool health_question_by_name(const char *name, enum health_question *ret);

#endif

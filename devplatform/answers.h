/*
 * Every answer an agent gave: what it told people (notify) and what it replied to peers (messages
 * whose metadata say in_reply_to or reply). GET /dev/answers lists them, so that a test can count
 * ten thousand without reading the log.
 */
#ifndef DEVPLATFORM_ANSWERS_H
#define DEVPLATFORM_ANSWERS_H

#include "devplatform/world.h"

#include <json-c/json.h>

enum { ANSWERS_MAX = 200000, ANSWERS_PAGE_MAX = 20000 };

/* One answer; texts are borrowed in answers_add() and owned in the list. "" or NULL = none. */
struct answered {
    int64_t number;        /* from 1 */
    int64_t at_ms;         /* wall clock */
    const char *kind;      /* "notify" or "reply"; a literal */
    const char *from, *to; /* workspaces; `to` of a reply only */
    const char *text, *message_id, *in_reply_to;
};

struct answers {
    struct answered *at; /* at[i].number is i + 1 */
    size_t count, cap;
};

void answers_init(struct answers *a);
void answers_release(struct answers *a);
/* Copies; the number is given here, and at_ms unless it is set. What is kept, or NULL beyond
 * ANSWERS_MAX. */
const struct answered *answers_add(struct answers *a, const struct answered *one);
/* When the message is a reply; else NULL. caller is empty for people, who never reply. */
const struct answered *answers_on_message(struct answers *a, struct slice caller,
                                          const struct workspace *to, struct json_object *body);

#endif

/*
 * The texts of what an agent answers with: parts of messages and tasks, event streams that came
 * where one answer was asked for. Used by agent_answer.c. Pure.
 */
#ifndef INBOX_ANSWER_PARTS_H
#define INBOX_ANSWER_PARTS_H

#include "base/slice.h"
#include "base/str.h"

#include <json-c/json.h>
#include <stdbool.h>

bool parts_parse(struct slice text, struct json_object **ret); /* one JSON value and nothing else */
bool parts_has_some(struct json_object *o);                    /* parts or content, of a message */
void parts_of_message(struct json_object *message, struct str *out);
/* Artifacts, then the status message unless it says the same; else the agent's last message. */
void parts_of_task(struct json_object *task, struct str *out);
/* The text of a value in nobody's format: strings as they are, known members, else its JSON. */
void parts_of_any(struct json_object *o, struct str *out);
struct slice parts_trimmed(struct slice s); /* no blanks, line ends or NUL at both ends */
/* Trimmed, NUL removed, bytes that are no UTF-8 become U+FFFD: in place. */
struct slice parts_clean(struct str *s);

bool parts_is_stream(struct slice body); /* text/event-stream by its look */
/* The stream's events as the one answer they amount to ({"result":task}); false: none in it. */
bool parts_of_stream(struct slice body, struct json_object **ret);

#endif

/*
 * --data FILE: what the platform knows, in an SQLite file that survives a SIGKILL: workspaces with
 * tokens and secrets, rows, files, the busy queue, answers. Not kept: faults, the log, event
 * streams, rate windows, pushes under way (a queued message that was on its way waits again).
 *
 * Everything lives in memory all the same; the file is written behind it and read once, at the
 * start. What one turn of the loop changes is one transaction (synchronous=FULL), and answers of
 * that turn leave after its commit (reply.c): an answer is a promise. Committing blocks the loop,
 * which a tool with one user may do.
 *
 * Without --data the pointer is NULL, and every function here does nothing.
 */
#ifndef DEVPLATFORM_DATA_H
#define DEVPLATFORM_DATA_H

#include "base/err.h"
#include "devplatform/answers.h"
#include "devplatform/dispatch.h"
#include "devplatform/pending.h"
#include "devplatform/world.h"

#include <stdbool.h>

struct data;
struct devplatform;

/* Opens or makes the file and fills dp's world, files, queue and answers. 0, or -errno with a
 * sentence: not ours, of another version, damaged, used by another process. */
int data_open(const char *path, struct devplatform *dp, struct data **ret, struct err *err);
void data_close(struct data *d); /* commits what is left */

/* Workspaces say is_unsaved; the rest is written when it is told. All end up in the turn's commit.
 */
void data_on_row(struct data *d, const struct row *r);
void data_on_file(struct data *d, const struct pending_file *f);
void data_on_item(struct data *d, const struct queue_item *it);
void data_on_answer(struct data *d, const struct answered *one);
void data_drop_file(struct data *d, const char *id);
void data_drop_item(struct data *d, const char *id);
void data_drop_workspace(struct data *d, const char *id); /* with its rows */
void data_drop_rows(struct data *d, int64_t before_us);
/* Rows that memory has no room for. */
void data_trim_rows(struct data *d);

/* True when something waits for a commit, which then happens at the end of this turn. */
bool data_has_news(struct data *d);

#endif

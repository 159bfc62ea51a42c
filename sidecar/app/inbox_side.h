/*
 * Polled messages: joins inbox/ with the platform, the agent and the way down. Made with
 * platform.delivery poll (auto without platform.reported_url) and an agent that speaks A2A; without
 * it every function here does nothing.
 */
#ifndef APP_INBOX_SIDE_H
#define APP_INBOX_SIDE_H

#include "base/err.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "base/str.h"
#include "control/control.h"

#include <stdbool.h>
#include <stdint.h>

struct app;

int inbox_side_open(struct app *a, struct err *err); /* after the platform's side */
void inbox_side_close(struct app *a);
void inbox_side_start(struct app *a);                   /* a token is held */
void inbox_side_gate(struct app *a);                    /* the agent, the hold or a stop changed */
void inbox_side_card(struct app *a, struct slice card); /* the agent's */
int64_t inbox_side_work(const struct app *a);           /* messages in work */
int64_t inbox_side_awaited(const struct app *a);        /* those of them a drain waits for */
/* Calls under way get so long, then ending_on_inbox_finished(). false: there is no inbox, it does
 * not come. */
bool inbox_side_finish(struct app *a, int64_t budget_ms);
/* What is wrong with the journal, for STATUS and the probes; "". */
const char *inbox_side_problem(const struct app *a);
void inbox_side_status(const struct app *a, struct json_writer *w);
void inbox_side_metrics(const struct app *a, struct str *out);
control_inbox_fn inbox_side_order;

#endif

/*
 * The service manager's watchdog, and whether its interval fits the agent's restarts.
 */
#ifndef APP_WATCHDOG_H
#define APP_WATCHDOG_H

#include "base/str.h"
#include "config/config.h"

#include <stdint.h>

struct app;

/*
 * The interval (WatchdogSec=) must be longer than the longest back-off and the start of an agent
 * together, so that no restart that goes well can outlast it. When it is not: a line that begins
 * with "warning:" and has the numbers. Nothing without a child or a watchdog (interval_ms 0). Pure.
 */
void watchdog_check(const struct config *cfg, int64_t interval_ms, struct str *out);

void watchdog_start(struct app *a); /* feed it from now on, if there is one; warn of the above */
void watchdog_say(struct app *a);   /* only warn */

#endif

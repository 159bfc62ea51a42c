/*
 * A reload of the configuration, for the app's own files and their tests.
 */
#ifndef APP_RELOAD_H
#define APP_RELOAD_H

#include "base/str.h"

struct app;

/*
 * Read flags, environment and file again and take over what may change. What came of it goes into
 * the log and, when json is not NULL, there: "reloaded", and lists of sentences "changed",
 * "needs_restart", "errors", "warnings". 200, or 409 when nothing was changed. `who` begins a
 * sentence.
 */
int reload_now(struct app *a, const char *who, struct str *json);
void app_reload(struct app *a, const char *who); /* for signals: into the log alone */

/* When a reload of the key takes effect ("now", "at the agent's next start"); NULL: it needs a
 * restart. */
const char *reload_when(const char *key);

#endif

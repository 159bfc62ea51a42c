/*
 * Feeds the service manager's watchdog while the loop turns and the agent is not lost for good.
 */
#include "app/watchdog.h"

#include "app/parts.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "log/log.h"

#include <string.h>

static const char warning[] = "warning: ";

void watchdog_check(const struct config *cfg, int64_t interval_ms, struct str *out)
{
    int64_t least = cfg->restart.backoff_max + cfg->agent.start_timeout;
    char t[4][FORMAT_MAX];

    if (interval_ms <= 0 || !cfg->command || interval_ms > least) {
        return;
    }
    str_addf(out,
             "%sthe service manager's watchdog is %s, but a restart of the agent may take %s "
             "(restart.backoff_max %s + agent.start_timeout %s); make WatchdogSec= longer than "
             "that, or one of the two keys shorter\n",
             warning, format_duration(interval_ms, t[0]), format_duration(least, t[1]),
             format_duration(cfg->restart.backoff_max, t[2]),
             format_duration(cfg->agent.start_timeout, t[3]));
}

void watchdog_say(struct app *a)
{
    CLEANUP(str_release) struct str out = {0};

    watchdog_check(a->cfg, 2 * notify_watchdog_interval_ms(a->notify), &out);
    if (out.len > 0) {
        str_truncate(&out, out.len - 1); /* its line end */
        log_warning("app", "%s", str_z(&out) + strlen(warning));
    }
}

static void feed(struct timer *t)
{
    struct app *a = t->arg;

    if (!a->child_is_lost) {
        notify_watchdog(a->notify);
    }
    timer_start(t, a->loop, loop_now_ms(a->loop) + notify_watchdog_interval_ms(a->notify), feed, a);
}

void watchdog_start(struct app *a)
{
    if (notify_watchdog_interval_ms(a->notify) <= 0) {
        return;
    }
    watchdog_say(a);
    timer_start(&a->watchdog, a->loop, loop_now_ms(a->loop), feed, a);
}

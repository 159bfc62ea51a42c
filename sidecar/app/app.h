/*
 * The whole: owns every module, wires them by callbacks, and is the only place that knows the order
 * of things.
 *
 *   start    configuration -> listeners and sockets -> token or register -> first secrets -> spawn
 * -> the agent answers -> running stop     stopping.h files    app.c      open, run, close: the
 * table of contents agent_side.c    supervisor, probe, the proxy's gate platform_side.c what the
 * platform says and is told; secrets ending.c        the stop phases' actions, and why we ended
 *            observe.c       probes, status, metrics
 *            child_env.c     the agent's environment
 *            reload.c        the configuration, a second time; watchdog.c, sockets.c: what a
 *                            service manager wants and gives
 *
 * Source: design sections 3, 4, 6, 7.
 */
#ifndef APP_APP_H
#define APP_APP_H

#include "config/config.h"
#include "supervisor/supervisor.h"

/*
 * Run until the end. Returns the exit status of the process. Logs why. `again` is what cfg was
 * loaded from, for a reload, which changes cfg (config/reload.h).
 */
int app_run(struct config *cfg, const struct config_input *again,
            const struct process_origin *origin);

#endif

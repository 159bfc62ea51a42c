/* The service manager's watchdog is fed while the agent may come back, and no longer. */
#include "app/watchdog.h"

#include "app/parts.h"
#include "config/config.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { INTERVAL_US = 10000, FEEDS = 3, SILENT_INTERVALS = 10, PATIENCE_MS = 20000 };

static int manager; /* a service manager's socket */
static struct app app;

static void listen_as_manager(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[64];

    (void)snprintf(name, sizeof(name), "@watchdog-test-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(manager, (struct sockaddr *)&at,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                 0);
    (void)setenv("NOTIFY_SOCKET", name, 1);
}

/* WATCHDOG=1 that have come since it was asked last. */
static int take_feeds(void)
{
    char got[256];
    int n = 0;
    ssize_t len;

    while ((len = recv(manager, got, sizeof(got) - 1, 0)) > 0) {
        got[len] = '\0';
        n += strstr(got, "WATCHDOG=1\n") != NULL;
    }
    return n;
}

static void on_time_over(struct timer *t)
{
    loop_stop(t->arg);
}

static void run_for(int64_t ms)
{
    struct timer t = {0};

    timer_start(&t, app.loop, loop_now_ms(app.loop) + ms, on_time_over, app.loop);
    loop_run(app.loop);
    timer_stop(&t);
}

Test(watchdog, starves_when_the_agent_is_lost_for_good)
{
    struct config cfg = {0};
    struct err err = {0};
    char text[32];
    int fed = 0;

    listen_as_manager();
    (void)snprintf(text, sizeof(text), "%d", INTERVAL_US);
    (void)setenv("WATCHDOG_USEC", text, 1);
    (void)unsetenv("WATCHDOG_PID");
    app.cfg = &cfg;
    cr_assert_eq(loop_new(&app.loop, &err), 0, "%s", err.msg);
    cr_assert_eq(notify_new(app.loop, &app.notify, &err), 0, "%s", err.msg);
    watchdog_start(&app);
    for (int i = 0; i < PATIENCE_MS && fed < FEEDS; i++) {
        run_for(1);
        fed += take_feeds();
    }
    cr_assert_geq(fed, FEEDS);

    app.child_is_lost = true;
    (void)take_feeds();
    run_for((int64_t)SILENT_INTERVALS * INTERVAL_US / 1000);
    cr_expect_eq(take_feeds(), 0, "the loop still turns, but there is nothing left to wait for");

    app.child_is_lost = false; /* and that was the reason */
    for (fed = 0; fed == 0;) {
        run_for(1);
        fed = take_feeds();
    }
    timer_stop(&app.watchdog);
    notify_free(app.notify);
    loop_free(app.loop);
    (void)close(manager);
}

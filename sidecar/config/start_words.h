/*
 * The small languages of agent.ready and agent.limits. Pure.
 */
#ifndef CONFIG_START_WORDS_H
#define CONFIG_START_WORDS_H

#include "base/err.h"
#include "base/slice.h"

#include <sys/resource.h>

/* How we learn that the agent has started. */
enum ready_kind {
    READY_STARTED = 0, /* it runs: nothing to wait for */
    READY_HTTP,        /* it answers GET agent.ready_path */
    READY_CONNECT,     /* agent.address accepts a connection */
    READY_NOTIFY,      /* READY=1 on $NOTIFY_SOCKET, as systemd's Type=notify */
    READY_FD,          /* a newline on a descriptor, as s6's notification-fd */
};

enum {
    READY_FD_MIN = 3, /* below are stdin, stdout and stderr */
    READY_FD_MAX = 1023,
    LIMITS_MAX = 16, /* as many as the kernel has */
};

struct ready_word {
    enum ready_kind kind;
    int fd; /* READY_FD: its number in the agent */
};

/* "http", "connect", "notify", "fd:3", "started". 0, or -EINVAL with what may stand there. */
int ready_word_parse(struct slice text, struct ready_word *ret, struct err *err);

struct limit_word {
    int resource;     /* RLIMIT_* */
    const char *name; /* static: "nofile" */
    struct rlimit value;
};

/*
 * "nofile=1024", "nofile=1024:4096", "core=unlimited", "as=2GiB". One value is both limits; names
 * are those of prlimit(1), with or without the RLIMIT_ of the C constant; sizes take a unit. 0, or
 * -EINVAL with a sentence.
 */
int limit_word_parse(struct slice text, struct limit_word *ret, struct err *err);

#endif

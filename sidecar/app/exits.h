/*
 * Exit statuses of our own (design section 4). The agent's own code is passed on; these are for
 * when no agent ever ran.
 */
#ifndef APP_EXITS_H
#define APP_EXITS_H

enum exit_status {
    EXIT_OK = 0,
    EXIT_NO = 1,        /* `health`: the answer is no; other commands: it did not work */
    EXIT_USAGE = 2,     /* usage or configuration, also an agent command that cannot be executed */
    EXIT_REFUSED = 3,   /* the platform refused the registration */
    EXIT_INTERNAL = 70, /* ours: out of memory, a kernel refusal */
    EXIT_KILLED = 137,  /* we had to kill the agent; as a shell says it: 128 + SIGKILL */
};

#endif

/*
 * The agent's environment: what we were started with, without what is ours alone, with what the
 * agent needs to be told.
 *
 * Order, later ones win: our own environment, less agent.env_remove; HOME, USER, LOGNAME and SHELL
 * of agent.user; the platform's secrets (secrets.mode env); agent.env_file; agent.env; the
 * variables we set (MOLECULE_AGENT_SOCKET, MOLECULE_SIDECAR_SOCKET, agent.port_env, and what
 * `start` has). Source: design sections 5, 13; P sections 2.2, 9.
 */
#ifndef APP_CHILD_ENV_H
#define APP_CHILD_ENV_H

#include "base/err.h"
#include "config/config.h"
#include "platform/platform.h"

/* What is known only when it starts; all borrowed, zeroed = nothing. */
struct child_env_start {
    const char *notify_socket; /* NOTIFY_SOCKET; NULL = none */
    size_t listen_count;       /* LISTEN_FDS, with LISTEN_PID and LISTEN_FDNAMES; 0 = none */
    const char *listen_names;
};

/* A malloc'ed NULL-terminated array of malloc'ed strings, or NULL with a sentence. secrets and
 * start may be NULL. */
char **child_env_build(const struct config *cfg, char *const *own, const struct secrets *secrets,
                       const struct child_env_start *start, struct err *err);
void child_env_free(char **env);

#endif

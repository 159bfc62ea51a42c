/*
 * Which secrets of the workspace may become variables of the agent's environment (P section 9).
 */
#ifndef PLATFORM_SECRETS_H
#define PLATFORM_SECRETS_H

#include <stdbool.h>

/*
 * True for names a shell accepts ([A-Za-z_][A-Za-z0-9_]*), except those that change how programs
 * are found, loaded or run (PATH, HOME, LD_*, NODE_OPTIONS, proxies, ...), our own (MOLECULE_*,
 * WORKSPACE_ID, PORT, ...) and what systemd and Kubernetes tell (NOTIFY_SOCKET, KUBERNETES_*).
 */
bool secret_name_is_exportable(const char *name);

#endif

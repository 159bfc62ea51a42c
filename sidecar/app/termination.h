/*
 * The termination message: why we ended, where `kubectl describe pod` looks for it.
 */
#ifndef APP_TERMINATION_H
#define APP_TERMINATION_H

/* Kubernetes' default for terminationMessagePath */
#define TERMINATION_FILE "/dev/termination-log"

/*
 * The text becomes all that is in the file. Only into a file that is there and is one: Kubernetes
 * mounts it, elsewhere nothing is written. Never blocks; never fails aloud: the last log line says
 * the same. path "" = off.
 */
void termination_write(const char *path, const char *text);

/* The same for an end before the configuration was known, or while it was applied. */
void termination_cannot_start(const char *path, const char *why, int status);

#endif

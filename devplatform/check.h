/*
 * molecule-devplatform --check: asks the one that runs whether it is well. For HEALTHCHECK in an
 * image that has nothing else to ask with.
 */
#ifndef DEVPLATFORM_CHECK_H
#define DEVPLATFORM_CHECK_H

#include "base/endpoint.h"

#include <stdbool.h>

/*
 * Asks GET /dev/health at `at`, on the loopback address where it is any, and prints one line: to
 * stdout for yes, to stderr with the reason for no. Blocks, at most CHECK_TIMEOUT_MS. True: it
 * answers.
 */
bool check_health(const struct endpoint *at);

#endif

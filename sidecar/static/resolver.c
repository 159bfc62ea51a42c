/*
 * How long the static build's resolver waits for a name server. c-ares 1.18 takes servers, search
 * domains and ndots from resolv.conf, but not timeout and attempts, and would wait 5, 10, 20 and
 * 40 s: a second server would never be asked before our calls give up. libcurl opens one channel
 * for each call (so that a changed file counts from the next call on); the linker sends that
 * through here (--wrap, cmake/static.cmake).
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/resolv_conf.h"
#include "base/str.h"

#include <ares.h>

#include "base/banned.h"

int __real_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);

int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
    CLEANUP(str_release) struct str text = {0};
    struct resolv_options from_file;

    /* A small file, which c-ares reads next; one that cannot be read says nothing. */
    (void)file_read("/etc/resolv.conf", RESOLV_CONF_MAX_BYTES, &text, NULL);
    from_file = resolv_options_parse(str_slice(&text));
    options->timeout = from_file.timeout_ms;
    options->tries = from_file.tries;
    return __real_ares_init_options(channel, options, mask | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
}

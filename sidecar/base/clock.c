/*
 * Clocks and randomness straight from the kernel.
 */
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

/*
 * Both clocks exist on every Linux, but where the kernel is asked for them (no vDSO) a filter may
 * refuse. Their coarse sisters stay behind by less than a tick; one is added, so that a timer which
 * was due for the kernel is due for us and nobody spins until the tick comes.
 */
static void read_coarse(clockid_t id, struct timespec *ret)
{
    static const char sentence[] = "cannot go on: the kernel refuses to tell the time\n";
    clockid_t coarse = id == CLOCK_REALTIME ? CLOCK_REALTIME_COARSE : CLOCK_MONOTONIC_COARSE;
    struct timespec tick;

    if (clock_gettime(coarse, ret) < 0 || clock_getres(coarse, &tick) < 0) {
        (void)!write(STDERR_FILENO, sentence, sizeof(sentence) - 1); /* the log asks for the time */
        abort();
    }
    ret->tv_nsec += tick.tv_nsec; /* may pass a second: it is only added up */
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    if (clock_gettime(id, &ts) < 0)
        read_coarse(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_mono_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t clock_mono_us(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

const char *clock_wall_text(int64_t wall_ms, char buf[CLOCK_TEXT_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    int ms = (int)(wall_ms % 1000);
    struct tm tm;

    if (ms < 0) { /* before 1970 */
        ms += 1000;
        seconds--;
    }
    if (!gmtime_r(&seconds, &tm) || tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999) {
        (void)snprintf(buf, CLOCK_TEXT_MAX, "0000-00-00T00:00:00.000Z");
        return buf;
    }
    (void)snprintf(buf, CLOCK_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)(tm.tm_year + 1900) % 10000U, (unsigned)(tm.tm_mon + 1) % 100U,
                   (unsigned)tm.tm_mday % 100U, (unsigned)tm.tm_hour % 100U,
                   (unsigned)tm.tm_min % 100U, (unsigned)tm.tm_sec % 100U, (unsigned)ms % 1000U);
    return buf;
}

void random_bytes(void *p, size_t n)
{
    char *at = p;

    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);

        if (got > 0) {
            at += got;
            n -= (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            abort(); /* no getrandom at all: nothing that needs an unguessable name could go on */
        }
    }
}

uint64_t random_u64(void)
{
    uint64_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

int64_t random_between(int64_t low, int64_t high)
{
    uint64_t span = (uint64_t)high - (uint64_t)low; /* number of values, less one */
    uint64_t limit, v;

    assert(low <= high);
    if (span == UINT64_MAX)
        return (int64_t)random_u64();
    /* Refuse the incomplete last round, or small values would come more often. */
    limit = UINT64_MAX - UINT64_MAX % (span + 1);
    do
        v = random_u64();
    while (v >= limit);
    return (int64_t)((uint64_t)low + v % (span + 1));
}

int64_t backoff_ms(int64_t base_ms, int64_t cap_ms, unsigned attempt)
{
    int64_t whole = base_ms;

    while (attempt-- > 0 && whole < cap_ms) {
        if (__builtin_mul_overflow(whole, 2, &whole))
            whole = cap_ms;
    }
    if (whole > cap_ms)
        whole = cap_ms;
    if (whole <= 0)
        return 0;
    return random_between(whole - whole / 2, whole);
}

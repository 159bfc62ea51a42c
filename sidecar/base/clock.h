/*
 * The two clocks and random bytes. Intervals and deadlines use the monotonic clock; the wall clock
 * is for logs and messages only. Code on the loop asks the loop (loop_now_ms, read once per turn),
 * not this.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since 1970 */
static inline int64_t ms_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
enum { CLOCK_TEXT_MAX = 32 };
/* RFC 3339, UTC, milliseconds */
const char *clock_wall_text(int64_t wall_ms, char buf[CLOCK_TEXT_MAX]);

/* getrandom(2); aborts only if the kernel refuses for good */
void random_bytes(void *p, size_t n);
uint64_t random_u64(void);
int64_t random_between(int64_t low, int64_t high); /* uniform in low..high */

/*
 * Exponential back-off with jitter: rand(0.5..1) * min(cap, base * 2^attempt), P section 4.4.
 * attempt counts from 0.
 */
int64_t backoff_ms(int64_t base_ms, int64_t cap_ms, unsigned attempt);

#endif

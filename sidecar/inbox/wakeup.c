/*
 * The event stream is not listened to: fetching goes by its own clock.
 */
#include "inbox/parts.h"

int wakeup_new(struct inbox *i)
{
    (void)i;
    return 0;
}
void wakeup_free(struct inbox *i)
{
    (void)i;
}
void wakeup_start(struct inbox *i)
{
    (void)i;
}
void wakeup_stop(struct inbox *i)
{
    (void)i;
}

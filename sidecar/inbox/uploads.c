/* Files. */
#include "inbox/parts.h"

#include "base/banned.h"

int uploads_new(struct inbox *i)
{
    i->uploads = NULL;
    return 0;
}
void uploads_free(struct inbox *i)
{
    (void)i;
}
void uploads_start(struct inbox *i)
{
    (void)i;
}
void uploads_stop(struct inbox *i)
{
    (void)i;
}
void uploads_saw(struct inbox *i, const struct journal_message *m)
{
    (void)i;
    (void)m;
}
char *uploads_rewrite(struct inbox *i, const char *body)
{
    (void)i;
    (void)body;
    return NULL;
}
bool uploads_is_awaited(struct inbox *i, const char *body)
{
    (void)i;
    (void)body;
    return false;
}

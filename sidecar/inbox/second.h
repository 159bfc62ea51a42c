/*
 * The inside of second.c, for its tests.
 */
#ifndef INBOX_SECOND_H
#define INBOX_SECOND_H

#include "inbox/parts.h"

enum {
    SECOND_TEXTS = 4096, /* of ours whose echoes are known */
    SECOND_LOOKS = 2,    /* at a row that is not ours, before anything is said */
};

struct second_times {
    int64_t look;   /* between two looks at the workspace's row */
    int64_t again;  /* after one that was strange */
    int64_t settle; /* after the first sweep: echoes of an earlier run may still come */
    int64_t forget; /* without a further sign the notice goes */
};

struct second {
    struct inbox *i;
    struct timer timer;
    struct call call;
    struct second_times times;
    int64_t settled_ms; /* 0 = not swept yet */
    int64_t sign_ms;    /* the last sign; 0 = none */
    unsigned strange;   /* looks */
    bool is_said;
    uint64_t *texts; /* hashes, a ring; owned; NULL until the first */
    size_t text_count;
};

#endif

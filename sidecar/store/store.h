/*
 * The storage thread: disks belong to it, the loop never waits for one. Jobs run one after the
 * other in the order given; each job's `done` runs on the loop.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include "base/slice.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <sys/types.h>

struct store;
enum { STORE_QUEUE_MAX = 1024 }; /* jobs waiting */

/* the thread is started with the first job */
int store_new(struct loop *l, struct store **ret, struct err *err);
/* finishes the jobs already given (bounded by the disk), runs their done callbacks */
void store_free(struct store *s);

/* code 0 or -errno; message "" or a sentence, borrowed */
typedef void store_done_fn(void *arg, int code, const char *message);

/*
 * Write a file as file_write_atomic() does. path and content are copied (content is wiped after
 * use). done may be NULL. 0, -EAGAIN (queue full), -ENOMEM.
 */
int store_write_file(struct store *s, const char *path, struct slice content, mode_t mode,
                     store_done_fn *done, void *arg);

/* content borrowed, wiped after the call */
typedef void store_read_fn(void *arg, int code, struct slice content, const char *message);
int store_read_secret(struct store *s, const char *path, bool mounted, store_read_fn *done,
                      void *arg);

/*
 * Any other work on a disk. work runs on the thread: until done it alone may touch what arg leads
 * to. Its failure is what it leaves in err. 0, -EAGAIN (queue full, or the store is being freed),
 * -ENOMEM: neither is called.
 */
typedef void store_work_fn(void *arg, struct err *err);
int store_run(struct store *s, store_work_fn *work, store_done_fn *done, void *arg);

#endif

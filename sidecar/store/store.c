/*
 * One thread for disks. The loop's side queues jobs and runs their callbacks; the thread's side
 * does one job after the other. They meet in two lists under one mutex and an eventfd.
 */
#include "store/store.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/list.h"
#include "log/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/banned.h"

enum job_kind { JOB_WRITE_FILE = 0, JOB_READ_SECRET, JOB_RUN };

struct job {
    struct list node;
    enum job_kind kind;
    char *path;         /* owned */
    struct str content; /* to write, or what was read; wiped with the job */
    mode_t mode;
    bool mounted;
    store_done_fn *on_written;
    store_read_fn *on_read;
    store_work_fn *work;
    void *arg;
    struct err err; /* the result; its code is 0 for success */
};

struct store {
    struct loop *loop;
    struct watch watch; /* the eventfd: jobs are done */
    int event_fd;
    bool is_running; /* the thread has been started */
    pthread_t thread;
    size_t queued; /* given and not yet called back; the loop's side only */

    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t wake;
    struct list todo;
    struct list done;
    bool is_ending;
};

static struct job *job_of(struct list *node)
{
    return container_of(node, struct job, node);
}

static void job_free(struct job *job)
{
    str_wipe(&job->content);
    free(job->path);
    free(job);
}

/* ---- the thread ---- */

static void job_run(struct job *job)
{
    switch (job->kind) {
    case JOB_WRITE_FILE:
        (void)file_write_atomic(job->path, str_slice(&job->content), job->mode, &job->err);
        break;
    case JOB_READ_SECRET:
        str_release(&job->content);
        (void)file_read_secret(job->path, job->mounted, &job->content, &job->err);
        break;
    case JOB_RUN:
        job->work(job->arg, &job->err);
        break;
    }
}

static void *store_thread(void *arg)
{
    struct store *s = arg;

    (void)pthread_mutex_lock(&s->lock); /* a plain mutex of our own: these cannot fail */
    for (;;) {
        struct list *first = list_pop(&s->todo);
        uint64_t one = 1;

        if (!first) {
            if (s->is_ending)
                break;
            (void)pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&s->lock);
        job_run(job_of(first));
        (void)pthread_mutex_lock(&s->lock);
        list_append(&s->done, first);
        /* Only a full counter could refuse, and then the loop is being woken already. */
        if (write(s->event_fd, &one, sizeof(one)) < 0)
            assert(errno == EAGAIN);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Signals belong to the loop's signalfd, so the thread takes none. */
static int thread_start(struct store *s)
{
    sigset_t all, before;
    int rc;

    if (s->is_running)
        return 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->thread, NULL, store_thread, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return -rc; /* EAGAIN: no room for a thread now; the next job tries again */
    (void)pthread_setname_np(s->thread, "store");
    s->is_running = true;
    return 0;
}

/* ---- the loop's side ---- */

static void job_call_back(struct job *job)
{
    struct slice none = {NULL, 0};

    switch (job->kind) {
    case JOB_RUN:
    case JOB_WRITE_FILE:
        if (job->on_written)
            job->on_written(job->arg, job->err.code, job->err.msg);
        else if (job->err.code < 0)
            log_warning("store", "%s", job->err.msg); /* nobody else would say it */
        break;
    case JOB_READ_SECRET:
        job->on_read(job->arg, job->err.code, job->err.code < 0 ? none : str_slice(&job->content),
                     job->err.msg);
        break;
    }
}

/* Call back for what is done, in order. A callback may give new jobs. */
static void store_collect(struct store *s)
{
    for (;;) {
        struct list *first;

        (void)pthread_mutex_lock(&s->lock);
        first = list_pop(&s->done);
        (void)pthread_mutex_unlock(&s->lock);
        if (!first)
            return;
        s->queued--;
        job_call_back(job_of(first));
        job_free(job_of(first));
    }
}

static void on_event(struct watch *w, int events)
{
    struct store *s = w->arg;
    uint64_t count;

    (void)events;
    if (read(s->event_fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
        store_collect(s);
}

int store_new(struct loop *l, struct store **ret, struct err *err)
{
    struct store *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return err_set(err, -ENOMEM, "no memory for the storage thread");
    s->loop = l;
    (void)pthread_mutex_init(&s->lock, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&s->wake, NULL);
    list_init(&s->todo);
    list_init(&s->done);
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = s->event_fd < 0 ? -errno : watch_start(&s->watch, l, s->event_fd, WATCH_READ, on_event, s);
    if (rc < 0) {
        store_free(s);
        errno = -rc;
        return err_set(err, rc, "cannot make the storage thread's event descriptor: %m");
    }
    *ret = s;
    return 0;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    if (s->is_running) {
        (void)pthread_mutex_lock(&s->lock);
        s->is_ending = true;
        (void)pthread_cond_signal(&s->wake);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL); /* as long as the disk takes */
        s->is_running = false;
    }
    store_collect(s);
    assert(s->queued == 0); /* a callback gave a job to a store that is being freed */
    watch_stop(&s->watch);
    fd_close(&s->event_fd);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Takes over job, also when it fails. */
static int store_give(struct store *s, struct job *job)
{
    int rc = thread_start(s);

    if (rc < 0) {
        job_free(job);
        return rc;
    }
    s->queued++;
    (void)pthread_mutex_lock(&s->lock);
    list_append(&s->todo, &job->node);
    (void)pthread_cond_signal(&s->wake);
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

static int job_new(struct store *s, const char *path, struct slice content, struct job **ret)
{
    struct job *job;

    if (s->is_ending || s->queued >= STORE_QUEUE_MAX)
        return -EAGAIN;
    job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    job->path = slice_dup(slice_of(path));
    str_add(&job->content, content);
    if (!job->path || !str_ok(&job->content)) {
        job_free(job);
        return -ENOMEM;
    }
    *ret = job;
    return 0;
}

int store_write_file(struct store *s, const char *path, struct slice content, mode_t mode,
                     store_done_fn *done, void *arg)
{
    struct job *job;
    int rc = job_new(s, path, content, &job);

    if (rc < 0)
        return rc;
    job->kind = JOB_WRITE_FILE;
    job->mode = mode;
    job->on_written = done;
    job->arg = arg;
    return store_give(s, job);
}

int store_run(struct store *s, store_work_fn *work, store_done_fn *done, void *arg)
{
    struct job *job;
    int rc = job_new(s, "", (struct slice){NULL, 0}, &job);

    if (rc < 0)
        return rc;
    job->kind = JOB_RUN;
    job->work = work;
    job->on_written = done;
    job->arg = arg;
    return store_give(s, job);
}

int store_read_secret(struct store *s, const char *path, bool mounted, store_read_fn *done,
                      void *arg)
{
    struct job *job;
    int rc = job_new(s, path, (struct slice){NULL, 0}, &job);

    if (rc < 0)
        return rc;
    job->kind = JOB_READ_SECRET;
    job->mounted = mounted;
    job->on_read = done;
    job->arg = arg;
    return store_give(s, job);
}

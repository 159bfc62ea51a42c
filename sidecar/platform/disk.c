/*
 * Small secret files by way of the storage thread. A job outlives the platform object that asked:
 * it is then finished without a word.
 */
#include "platform/internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/banned.h"

struct disk_job {
    struct list node;   /* in platform.disk_jobs, until the platform forgets it */
    struct platform *p; /* NULL: nobody waits any more */
    disk_fn *fn;
};

static struct disk_job *job_new(struct platform *p, disk_fn *fn)
{
    struct disk_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->p = p;
    job->fn = fn;
    list_init(&job->node);
    list_append(&p->disk_jobs, &job->node);
    return job;
}

static void job_free(struct disk_job *job)
{
    list_remove(&job->node);
    free(job);
}

static void on_read(void *arg, int code, struct slice content, const char *message)
{
    struct disk_job *job = arg;
    struct platform *p = job->p;
    disk_fn *fn = job->fn;

    job_free(job);
    if (p)
        fn(p, code, content, message);
}

static void on_written(void *arg, int code, const char *message)
{
    on_read(arg, code, (struct slice){NULL, 0}, message);
}

int disk_read_secret(struct platform *p, const char *path, bool mounted, disk_fn *fn)
{
    struct disk_job *job = job_new(p, fn);

    if (!job)
        return -ENOMEM;
    int rc = store_read_secret(p->store, path, mounted, on_read, job);
    if (rc < 0)
        job_free(job);
    return rc;
}

int disk_write_secret(struct platform *p, const char *path, struct slice content, disk_fn *fn)
{
    struct disk_job *job = job_new(p, fn);

    if (!job)
        return -ENOMEM;
    int rc = store_write_file(p->store, path, content, 0600, on_written, job);
    if (rc < 0)
        job_free(job);
    return rc;
}

void disk_forget(struct platform *p)
{
    LIST_FOREACH(node, &p->disk_jobs)
    {
        struct disk_job *job = container_of(node, struct disk_job, node);
        job->p = NULL;
        list_remove(node);
    }
}

#include "support/fault_vfs.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what was told; under one lock: the storage thread calls, the test tells ---- */

static struct {
    pthread_mutex_t lock;
    enum fault_call call;
    unsigned left, times, hits; /* calls before the first that fails; how many fail */
    int rc, refuse_rc;
    bool is_remembering;
} plan = {.lock = PTHREAD_MUTEX_INITIALIZER};

void fault_vfs_plan(enum fault_call call, unsigned n, unsigned times, int rc)
{
    pthread_mutex_lock(&plan.lock);
    plan.call = call;
    plan.left = n;
    plan.times = times;
    plan.rc = rc;
    plan.hits = 0;
    pthread_mutex_unlock(&plan.lock);
}

void fault_vfs_refuse(int rc)
{
    pthread_mutex_lock(&plan.lock);
    plan.refuse_rc = rc;
    plan.hits = 0;
    pthread_mutex_unlock(&plan.lock);
}

void fault_vfs_clear(void)
{
    fault_vfs_plan(FAULT_OPEN, 0, 0, 0);
    pthread_mutex_lock(&plan.lock);
    plan.refuse_rc = 0;
    pthread_mutex_unlock(&plan.lock);
}

unsigned fault_vfs_hits(void)
{
    unsigned hits;

    pthread_mutex_lock(&plan.lock);
    hits = plan.hits;
    pthread_mutex_unlock(&plan.lock);
    return hits;
}

static bool is_writing(enum fault_call call)
{
    return call == FAULT_WRITE || call == FAULT_SYNC || call == FAULT_TRUNCATE;
}

/* 0 = let it pass */
static int told(enum fault_call call)
{
    int rc = 0;

    pthread_mutex_lock(&plan.lock);
    if (plan.refuse_rc && is_writing(call)) {
        rc = plan.refuse_rc;
    } else if (plan.times > 0 && plan.call == call && (plan.left == 0 || --plan.left == 0)) {
        plan.times--;
        rc = plan.rc;
    }
    plan.hits += rc != 0;
    pthread_mutex_unlock(&plan.lock);
    return rc;
}

/* ---- what is on the disk ---- */

struct range {
    int64_t at, n;
    struct range *next;
};

struct image { /* of one path, kept when its file is closed */
    char path[512];
    unsigned char *p;
    int64_t n;
    struct image *next;
};
static struct image *images;

static struct image *image_of(const char *path)
{
    struct image *i = images;

    while (i && strcmp(i->path, path) != 0)
        i = i->next;
    if (i)
        return i;
    i = calloc(1, sizeof(*i));
    cr_assert_not_null(i);
    snprintf(i->path, sizeof(i->path), "%s", path);
    i->next = images;
    images = i;
    return i;
}

static void image_size(struct image *i, int64_t n)
{
    unsigned char *p = realloc(i->p, n > 0 ? (size_t)n : 1);

    cr_assert_not_null(p);
    if (n > i->n)
        memset(p + i->n, 0, (size_t)(n - i->n));
    i->p = p;
    i->n = n;
}

void fault_vfs_remember(void)
{
    while (images) {
        struct image *i = images;

        images = i->next;
        free(i->p);
        free(i);
    }
    plan.is_remembering = true;
}

void fault_vfs_power_cut(const char *dir)
{
    for (struct image *i = images; i; i = i->next) {
        int fd;

        if (strncmp(i->path, dir, strlen(dir)) != 0)
            continue;
        fd = open(i->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, i->p, (size_t)i->n), i->n);
        close(fd);
    }
    plan.is_remembering = false;
}

/* ---- the file ---- */

struct fault_file {
    sqlite3_file base;
    struct image *image;
    struct range *dirty;
    sqlite3_file *real; /* behind this struct */
};

static struct fault_file *of(sqlite3_file *f)
{
    return (struct fault_file *)f;
}

static void forget_dirty(struct fault_file *f)
{
    while (f->dirty) {
        struct range *r = f->dirty;

        f->dirty = r->next;
        free(r);
    }
}

static void note_write(struct fault_file *f, int64_t at, int64_t n)
{
    struct range *r;

    if (!f->image)
        return;
    r = malloc(sizeof(*r));
    cr_assert_not_null(r);
    *r = (struct range){at, n, f->dirty};
    f->dirty = r;
}

static void note_sync(struct fault_file *f)
{
    sqlite3_int64 size = 0;

    if (!f->image)
        return;
    cr_assert_eq(f->real->pMethods->xFileSize(f->real, &size), SQLITE_OK);
    image_size(f->image, size);
    for (struct range *r = f->dirty; r; r = r->next) {
        if (r->at + r->n <= size)
            cr_assert_eq(f->real->pMethods->xRead(f->real, f->image->p + r->at, (int)r->n, r->at),
                         SQLITE_OK);
    }
    forget_dirty(f);
}

static int f_close(sqlite3_file *f)
{
    int rc = of(f)->real->pMethods->xClose(of(f)->real);

    forget_dirty(of(f)); /* never synced */
    return rc;
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    int rc = told(FAULT_READ);

    return rc ? rc : of(f)->real->pMethods->xRead(of(f)->real, p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    int rc = told(FAULT_SHORT_WRITE);

    if (rc) {
        (void)of(f)->real->pMethods->xWrite(of(f)->real, p, n / 2, at);
        note_write(of(f), at, n / 2);
        return rc;
    }
    rc = told(FAULT_WRITE);
    if (rc == 0)
        rc = of(f)->real->pMethods->xWrite(of(f)->real, p, n, at);
    if (rc == 0)
        note_write(of(f), at, n);
    return rc;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    int rc = told(FAULT_TRUNCATE);

    return rc ? rc : of(f)->real->pMethods->xTruncate(of(f)->real, n);
}

static int f_sync(sqlite3_file *f, int flags)
{
    int rc = told(FAULT_SYNC);

    if (rc) {
        forget_dirty(of(f));
        return rc;
    }
    rc = of(f)->real->pMethods->xSync(of(f)->real, flags);
    if (rc == 0)
        note_sync(of(f));
    return rc;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    int rc = told(FAULT_FILE_SIZE);

    return rc ? rc : of(f)->real->pMethods->xFileSize(of(f)->real, ret);
}

static int f_lock(sqlite3_file *f, int level)
{
    int rc = told(FAULT_LOCK);

    return rc ? rc : of(f)->real->pMethods->xLock(of(f)->real, level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}

static int f_reserved(sqlite3_file *f, int *ret)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int f_traits(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* no shared memory: exclusive locking does without */
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_traits,
};

/* ---- the VFS ---- */

static sqlite3_vfs fault;

static sqlite3_vfs *real_of(sqlite3_vfs *v)
{
    return v->pAppData;
}

static int v_open(sqlite3_vfs *v, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
    struct fault_file *f = of(file);
    int rc = told(FAULT_OPEN);

    memset(f, 0, sizeof(*f));
    if (rc)
        return rc;
    f->real = (sqlite3_file *)(f + 1);
    rc = real_of(v)->xOpen(real_of(v), path, f->real, flags, ret_flags);
    if (rc == SQLITE_OK) {
        f->base.pMethods = &methods;
        f->image = plan.is_remembering && path ? image_of(path) : NULL;
    }
    return rc;
}

static int v_delete(sqlite3_vfs *v, const char *path, int sync_dir)
{
    int rc = told(FAULT_DELETE);

    if (rc == 0)
        rc = real_of(v)->xDelete(real_of(v), path, sync_dir);
    if (rc == 0 && plan.is_remembering)
        image_size(image_of(path), 0);
    return rc;
}

static int v_access(sqlite3_vfs *v, const char *path, int flags, int *ret)
{
    int rc = told(FAULT_ACCESS);

    return rc ? rc : real_of(v)->xAccess(real_of(v), path, flags, ret);
}

void fault_vfs_register(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);

    cr_assert_not_null(real);
    fault = *real;
    fault.iVersion = 1;
    fault.szOsFile = (int)sizeof(struct fault_file) + real->szOsFile;
    fault.pNext = NULL;
    fault.zName = "fault";
    fault.pAppData = real;
    fault.xOpen = v_open;
    fault.xDelete = v_delete;
    fault.xAccess = v_access;
    cr_assert_eq(sqlite3_vfs_register(&fault, 0), SQLITE_OK);
}

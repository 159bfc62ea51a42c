/*
 * Two pipes, read by the loop, into the log. Cutting is lines.c's, the bounded queue is the log's.
 */
#include "supervisor/output.h"

#include "base/fd.h"
#include "log/log.h"
#include "supervisor/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { STREAM_COUNT = 2 };

static const char *const stream_names[STREAM_COUNT] = {"stdout", "stderr"};

struct stream {
    struct output *output;
    const char *name;
    int fd; /* our end, non-blocking */
    struct watch watch;
    struct timer idle; /* while a line has begun */
    bool skips_line;   /* a part of the current line was dropped, so is the rest */
    struct lines lines;
};

struct output {
    struct loop *loop;
    struct stream streams[STREAM_COUNT];
    int child_fds[STREAM_COUNT]; /* the child's ends; blocking, as it expects */
    pid_t pid;
    uint64_t unsaid; /* dropped lines that no line of the log tells of yet */
    struct timer say;
    struct output_stats stats;
};

/* ---- dropped lines ---- */

static void on_say(struct timer *t);

static void say_later(struct output *o)
{
    if (!o->say.armed) {
        timer_start(&o->say, o->loop, loop_now_ms(o->loop) + OUTPUT_SAY_MS, on_say, o);
    }
}

/* true: there is nothing (more) to say. */
static bool say_dropped(struct output *o)
{
    const struct log_field fields[] = {LOG_INT("dropped", o->unsaid)};

    if (o->unsaid == 0) {
        return true;
    }
    if (!log_has_room()) {
        return false;
    }
    log_line(LOG_WARNING, "output",
             SLICE("lines of the agent were dropped here because stderr was not read in time"),
             fields, 1);
    o->unsaid = 0;
    timer_stop(&o->say);
    return true;
}

static void on_say(struct timer *t)
{
    struct output *o = t->arg;

    if (!say_dropped(o)) {
        say_later(o);
    }
}

static void drop(struct stream *s, const struct piece *p)
{
    struct output *o = s->output;

    o->stats.dropped++;
    o->unsaid++;
    s->skips_line = p->has_more;
    say_later(o);
}

/* ---- lines ---- */

static void on_piece(void *arg, const struct piece *p)
{
    struct stream *s = arg;
    struct output *o = s->output;
    const struct log_field fields[] = {LOG_STR("stream", s->name), LOG_INT("pid", o->pid),
                                       LOG_INT("part", p->part), LOG_INT("more", p->has_more)};

    if (s->skips_line) {
        s->skips_line = p->has_more;
        return;
    }
    if (!say_dropped(o) || !log_has_room()) {
        drop(s, p);
        return;
    }
    if (p->part <= 1) {
        o->stats.lines++;
    }
    log_line(LOG_INFO, "output", p->text, fields, p->part > 0 ? 4 : 2);
}

static void on_idle(struct timer *t)
{
    struct stream *s = t->arg;

    lines_flush(&s->lines, on_piece, s);
}

/* One read: a flood gets no more than a buffer per turn of the loop. Bytes, 0 when there is none.
 */
static size_t read_some(struct stream *s)
{
    size_t room;
    char *to = lines_room(&s->lines, &room);
    ssize_t n = read(s->fd, to, room);

    if (n <= 0) {
        return 0; /* EAGAIN, EINTR: the loop calls again */
    }
    lines_added(&s->lines, (size_t)n, on_piece, s);
    return (size_t)n;
}

static void on_readable(struct watch *w, int events)
{
    struct stream *s = w->arg;

    (void)events;
    (void)read_some(s);
    if (s->lines.len == 0) {
        timer_stop(&s->idle);
    } else if (!s->idle.armed) {
        timer_start(&s->idle, s->output->loop, loop_now_ms(s->output->loop) + OUTPUT_IDLE_MS,
                    on_idle, s);
    }
}

void output_child_ended(struct output *o)
{
    for (int i = 0; i < STREAM_COUNT; i++) {
        struct stream *s = &o->streams[i];
        size_t left = OUTPUT_END_BYTES;
        size_t n;

        while (left > 0 && (n = read_some(s)) > 0) {
            left -= n < left ? n : left;
        }
        timer_stop(&s->idle);
        lines_end(&s->lines, on_piece, s);
    }
}

/* ---- opening and closing ---- */

/* Not among the numbers the child's own three will get, should ours have been closed. */
static int above_standard(int fd)
{
    int higher;

    if (fd < 0 || fd > STDERR_FILENO) {
        return fd;
    }
    higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    fd_close(&fd);
    return higher;
}

static int stream_open(struct output *o, int i, struct err *err)
{
    struct stream *s = &o->streams[i];
    int ends[2];
    int r;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "cannot wrap the agent's output (log.child): no pipe: %m");
    }
    s->output = o;
    s->name = stream_names[i];
    s->fd = above_standard(ends[0]);
    o->child_fds[i] = above_standard(ends[1]);
    if (s->fd < 0 || o->child_fds[i] < 0 || fd_set_nonblock(s->fd, true) < 0) {
        return err_set(err, -EMFILE, "cannot wrap the agent's output (log.child): no descriptors");
    }
    r = watch_start(&s->watch, o->loop, s->fd, WATCH_READ, on_readable, s);
    return r == 0 ? 0 : err_set(err, r, "cannot watch the agent's output (log.child)");
}

int output_new(struct loop *l, struct output **ret, struct err *err)
{
    struct output *o = calloc(1, sizeof(*o));
    int r = 0;

    if (!o) {
        return err_set(err, -ENOMEM, "cannot wrap the agent's output: out of memory");
    }
    o->loop = l;
    for (int i = 0; i < STREAM_COUNT; i++) {
        o->streams[i].fd = o->child_fds[i] = -1;
    }
    for (int i = 0; i < STREAM_COUNT && r == 0; i++) {
        r = stream_open(o, i, err);
    }
    if (r < 0) {
        output_free(o);
        return r;
    }
    *ret = o;
    return 0;
}

void output_free(struct output *o)
{
    if (!o) {
        return;
    }
    output_child_ended(o);
    (void)say_dropped(o);
    timer_stop(&o->say);
    for (int i = 0; i < STREAM_COUNT; i++) {
        watch_stop(&o->streams[i].watch);
        timer_stop(&o->streams[i].idle);
        fd_close(&o->streams[i].fd);
        fd_close(&o->child_fds[i]);
    }
    free(o);
}

const int *output_fds(const struct output *o)
{
    return o->child_fds;
}

void output_set_pid(struct output *o, pid_t pid)
{
    o->pid = pid;
}

const struct output_stats *output_stats(const struct output *o)
{
    return &o->stats;
}

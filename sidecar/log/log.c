/*
 * The way of a line to stderr: a bounded buffer, and writes that never block and never change the
 * flags of a description that the child and the terminal share with us. What a line looks like is
 * line.c's business.
 *
 * How not to block depends on what stderr is:
 *   FIFO, terminal  opened once more through /proc: a description of our own, non-blocking
 *   socket          MSG_DONTWAIT
 *   the rest        poll() first, then at most PIPE_BUF bytes; for regular files that is all there
 * is
 */
#include "log/log.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/uninit.h"
#include "log/line.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line goes into a pipe in one piece");

enum sink_kind { SINK_UNKNOWN = 0, SINK_OWN, SINK_SOCKET, SINK_FILE, SINK_POLLED };

static struct {
    enum log_level level;
    enum log_format format; /* never AUTO once known */
    bool buffered;
    bool is_ready; /* log_init or the first line has looked at stderr */
    enum sink_kind kind;
    int own_fd;        /* SINK_OWN: our own description of stderr */
    int epoll_fd;      /* for log_wait_fd(); once made it stays, somebody may be watching it */
    bool is_watched;   /* stderr is in epoll_fd */
    bool is_pressing;  /* a warning or an error waits */
    bool is_broken;    /* the last write failed: nobody reads */
    uint64_t dropped;  /* since start */
    uint64_t unsaid;   /* of these, not yet in a line */
    size_t start, len; /* the bytes waiting in buffer */
} state = {.level = LOG_INFO, .own_fd = -1, .epoll_fd = -1};

static char buffer[LOG_BUFFER_BYTES]; /* not in state, whose initial values are in the file */

static int sink_fd(void)
{
    return state.kind == SINK_OWN ? state.own_fd : STDERR_FILENO;
}

/* What stderr is, and our own way to it if it needs one. */
static void sink_look(void)
{
    struct stat st;

    fd_close(&state.own_fd);
    state.kind = SINK_POLLED;
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    if (S_ISREG(st.st_mode)) {
        state.kind = SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        state.kind = SINK_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO)) {
        state.own_fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (state.own_fd >= 0) /* may be refused: another user's terminal, no /proc */
            state.kind = SINK_OWN;
    }
}

/* Again after a reload, too: whoever waits for log_wait_fd() then must go on being woken. */
static void sink_open(void)
{
    bool was_watched = state.is_watched;

    if (was_watched)
        (void)epoll_ctl(state.epoll_fd, EPOLL_CTL_DEL, sink_fd(), NULL); /* may be gone already */
    state.is_watched = false;
    sink_look();
    if (was_watched)
        (void)log_wait_fd();
}

void log_init(enum log_level level, enum log_format format)
{
    state.level = level;
    state.format = format;
    if (format == LOG_FORMAT_AUTO)
        state.format = isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    sink_open();
    state.is_ready = true;
}

void log_set_buffered(bool on)
{
    state.buffered = on;
    if (!on)
        (void)log_flush();
}

bool log_wants(enum log_level level)
{
    return level >= state.level;
}

uint64_t log_dropped(void)
{
    return state.dropped;
}

/* ---- the buffer ---- */

/* A whole line, or nothing. */
static bool buffer_add(const struct line *line)
{
    if (line->n > LOG_BUFFER_BYTES - state.len)
        return false;
    if (line->n > LOG_BUFFER_BYTES - state.start - state.len) {
        memmove(buffer, buffer + state.start, state.len);
        state.start = 0;
    }
    memcpy(buffer + state.start + state.len, line->p, line->n);
    state.len += line->n;
    return true;
}

static void buffer_consume(size_t n)
{
    state.start += n;
    state.len -= n;
    if (state.len == 0)
        state.start = 0;
}

/* Say how many lines are missing here, when there is room to say it. */
static bool add_notice(void)
{
    struct log_field field = LOG_INT("dropped", state.unsaid);
    UNINITIALIZED struct line line;

    if (state.unsaid == 0)
        return true;
    if (state.len > LOG_BUFFER_BYTES / 2)
        return false; /* one gap of many lines rather than many gaps */
    line_make(&line, state.format, LOG_WARNING, "log",
              SLICE("lines were lost here because stderr was not read in time"), &field, 1);
    if (!buffer_add(&line))
        return false;
    state.unsaid = 0;
    return true;
}

static void count_dropped(uint64_t lines)
{
    state.dropped += lines;
    state.unsaid += lines;
}

/* ---- writing ---- */

/* How much to write at once: whole lines up to PIPE_BUF, so that lines of others do not get
 * between. */
static size_t chunk_bytes(void)
{
    const char *from = buffer + state.start;
    const char *last;

    if (state.kind == SINK_FILE || state.len <= PIPE_BUF)
        return state.len;
    last = memrchr(from, '\n', PIPE_BUF);
    return last ? (size_t)(last - from) + 1 : PIPE_BUF;
}

static bool is_writable_now(int fd, int timeout_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};

    return poll(&pfd, 1, timeout_ms) > 0; /* POLLERR too: the write then tells */
}

/* Bytes written, or -errno; -EAGAIN when it would block. */
static ssize_t sink_write(const char *p, size_t n)
{
    ssize_t done;

    do {
        if (state.kind == SINK_POLLED && !is_writable_now(STDERR_FILENO, 0))
            return -EAGAIN;
        if (state.kind == SINK_SOCKET)
            done = send(STDERR_FILENO, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            done = write(sink_fd(), p, n);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

/* Nobody will ever read these: the reader is gone, or the disk is full. */
static void discard(void)
{
    const char *p = buffer + state.start;
    uint64_t lines = 0;

    for (size_t i = 0; i < state.len; i++)
        lines += p[i] == '\n';
    buffer_consume(state.len);
    count_dropped(lines);
    state.is_broken = true;
}

size_t log_pending(void)
{
    return state.len;
}

bool log_is_pressing(void)
{
    return state.is_pressing || state.len >= LOG_PRESSING_BYTES;
}

bool log_flush(void)
{
    state.is_pressing = false;
    for (;;) {
        ssize_t n;

        if (state.len == 0) {
            /* A broken stderr gets the notice with the next line only, or it would be lost too. */
            if (state.unsaid == 0 || state.is_broken || !add_notice())
                return true;
        }
        n = sink_write(buffer + state.start, chunk_bytes());
        if (n == -EAGAIN)
            return false;
        if (n < 0) {
            discard();
            return true;
        }
        state.is_broken = false;
        buffer_consume((size_t)n);
    }
}

/*
 * An epoll of our own with stderr in it: libraries that watch a descriptor like to make it
 * non-blocking, and stderr's description may be shared.
 */
int log_wait_fd(void)
{
    struct epoll_event event = {.events = EPOLLOUT};

    if (state.epoll_fd < 0)
        state.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (state.epoll_fd < 0)
        return -1;
    if (!state.is_watched && epoll_ctl(state.epoll_fd, EPOLL_CTL_ADD, sink_fd(), &event) < 0)
        return -1;
    state.is_watched = true;
    return state.epoll_fd;
}

void log_finish(int max_ms)
{
    int64_t until_ms = clock_mono_ms() + max_ms;

    while (!log_flush()) {
        int64_t left_ms = until_ms - clock_mono_ms();

        if (left_ms <= 0)
            break;
        (void)is_writable_now(sink_fd(), (int)left_ms);
    }
    state.buffered = false;
}

void log_event(enum log_level level, const char *module, const struct log_field *fields,
               size_t field_count, const char *fmt, ...)
{
    int saved = errno;
    UNINITIALIZED char text[LOG_LINE_MAX];
    UNINITIALIZED struct line line;
    struct slice sentence = slice_of(fmt);
    va_list ap;

    if (!log_wants(level))
        return;
    if (!state.is_ready)
        log_init(state.level, LOG_FORMAT_AUTO);
    if (memchr(fmt, '%', sentence.n)) { /* "request" has none */
        va_start(ap, fmt);
        errno = saved; /* %m */
        if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
            text[0] = '\0'; /* a bad conversion of ours; the fields may still tell something */
        va_end(ap);
        sentence = slice_of(text);
    }
    line_make(&line, state.format, level, module, sentence, fields, field_count);
    if (!add_notice() || !buffer_add(&line))
        count_dropped(1);
    if (level >= LOG_WARNING)
        state.is_pressing = true;
    if (!state.buffered)
        (void)log_flush();
    errno = saved;
}

/* ---- lines of others ---- */

static bool is_half_empty(void)
{
    return state.len <= LOG_BUFFER_BYTES / 2;
}

bool log_has_room(void)
{
    if (!is_half_empty())
        (void)log_flush();
    return is_half_empty();
}

void log_line(enum log_level level, const char *module, struct slice text,
              const struct log_field *fields, size_t field_count)
{
    UNINITIALIZED struct line line;

    if (!state.is_ready)
        log_init(state.level, LOG_FORMAT_AUTO);
    line_make(&line, state.format, level, module, text, fields, field_count);
    if (!add_notice() || !buffer_add(&line))
        count_dropped(1);
    if (!state.buffered)
        (void)log_flush();
}

size_t log_char_cost(struct slice *rest)
{
    char out[ESCAPE_MAX];
    char c = rest->p[0];

    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
        rest->p++;
        rest->n--;
        return 1;
    }
    return state.format == LOG_FORMAT_JSON ? escape_json(rest, out) : escape_printable(rest, out);
}

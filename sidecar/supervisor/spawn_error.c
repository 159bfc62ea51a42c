/*
 * Looks at the file that could not be executed and says what is wrong with it. Runs after a
 * failure only; reads at most a page of a regular file.
 */
#include "supervisor/spawn_error.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 4096,     /* of the program's file: #! line, ELF and program headers */
    WHY_MAX = 320,         /* one explanation, leaves room for the program's name */
    INTERPRETER_MAX = 256, /* the kernel's BINPRM_BUF_SIZE */
};

struct head {
    char bytes[HEAD_BYTES + 1]; /* NUL-terminated */
    size_t n;
};

static bool read_head(const char *path, struct head *ret)
{
    CLEANUP(fd_cleanup) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    n = pread(fd, ret->bytes, HEAD_BYTES, 0);
    ret->n = n > 0 ? (size_t)n : 0;
    ret->bytes[ret->n] = '\0';
    return n >= 0;
}

/* The interpreter of a #! line, with a trailing CR if the line has one. false: not a script. */
static bool script_interpreter(const struct head *h, char ret[INTERPRETER_MAX])
{
    const char *at = h->bytes + 2;
    size_t n;

    if (h->n < 2 || h->bytes[0] != '#' || h->bytes[1] != '!') {
        return false;
    }
    at += strspn(at, " \t");
    n = strcspn(at, " \t\n");
    if (n >= INTERPRETER_MAX) {
        n = INTERPRETER_MAX - 1;
    }
    memcpy(ret, at, n);
    ret[n] = '\0';
    return true;
}

static bool is_elf(const struct head *h)
{
    return h->n >= sizeof(Elf32_Ehdr) && memcmp(h->bytes, ELFMAG, SELFMAG) == 0;
}

/* One program header of either class, as far as it is of use here. */
static bool elf_segment(const struct head *h, size_t i, uint32_t *ret_type, uint64_t *ret_offset)
{
    bool is_64 = h->bytes[EI_CLASS] == ELFCLASS64;
    size_t size = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    Elf64_Ehdr e64;
    Elf32_Ehdr e32;
    uint64_t from;

    memcpy(&e32, h->bytes, sizeof(e32));
    if (is_64 && h->n < sizeof(e64)) {
        return false;
    }
    memcpy(&e64, h->bytes, is_64 ? sizeof(e64) : sizeof(e32));
    from = is_64 ? e64.e_phoff : e32.e_phoff;
    if (i >= (is_64 ? e64.e_phnum : e32.e_phnum) || from > h->n || from + (i + 1) * size > h->n) {
        return false;
    }
    if (is_64) {
        Elf64_Phdr p;

        memcpy(&p, h->bytes + from + i * size, size);
        *ret_type = p.p_type;
        *ret_offset = p.p_offset;
    } else {
        Elf32_Phdr p;

        memcpy(&p, h->bytes + from + i * size, size);
        *ret_type = p.p_type;
        *ret_offset = p.p_offset;
    }
    return true;
}

/* PT_INTERP of an ELF file. false when there is none or it lies beyond the first page. */
static bool elf_loader(const struct head *h, char ret[INTERPRETER_MAX])
{
    uint32_t type;
    uint64_t offset;

    if (!is_elf(h)) {
        return false;
    }
    for (size_t i = 0; elf_segment(h, i, &type, &offset); i++) {
        if (type == PT_INTERP && offset < h->n) {
            (void)snprintf(ret, INTERPRETER_MAX, "%s", h->bytes + offset);
            return true;
        }
    }
    return false;
}

/* e_machine, in the file's own byte order: a foreign file may have the other one. */
static unsigned elf_machine(const struct head *h)
{
    unsigned char low = (unsigned char)h->bytes[offsetof(Elf32_Ehdr, e_machine)];
    unsigned char high = (unsigned char)h->bytes[offsetof(Elf32_Ehdr, e_machine) + 1];

    return h->bytes[EI_DATA] == ELFDATA2MSB ? (unsigned)low << 8 | high : (unsigned)high << 8 | low;
}

static const char *machine_name(unsigned machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86_64";
    case EM_AARCH64:
        return "aarch64";
    case EM_386:
        return "i386";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return "riscv";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390x";
    default:
        return "another machine";
    }
}

/* Cut where it is too long: a program's name may be. */
__attribute__((format(printf, 2, 3))) static void say(char why[WHY_MAX], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, WHY_MAX, fmt, ap);
    va_end(ap);
}

/* ---- one explanation per errno; "" when we know no more than the errno ---- */

/* A path that cannot be resolved: which part of it is no directory, or missing? */
static void why_no_path(const char *path, char why[WHY_MAX])
{
    char at[PATH_MAX];
    struct stat st;

    for (size_t i = 1; path[0] && path[i] && i < sizeof(at); i++) {
        if (path[i] != '/') {
            continue;
        }
        memcpy(at, path, i);
        at[i] = '\0';
        if (stat(at, &st) < 0) {
            say(why, "there is no directory %s", at);
            return;
        }
        if (!S_ISDIR(st.st_mode)) {
            say(why, "%s is not a directory", at);
            return;
        }
    }
}

/* The program is there: then it is what it is run by that is missing. */
static void why_interpreter_missing(const struct head *h, char why[WHY_MAX])
{
    char interpreter[INTERPRETER_MAX];
    char loader[INTERPRETER_MAX];
    struct head inner;
    size_t len;

    if (!script_interpreter(h, interpreter)) {
        if (elf_loader(h, loader)) {
            say(why, "its loader %s does not exist: it was built for another C library%s", loader,
                h->bytes[EI_CLASS] == ELFCLASS32 ? " or needs the 32-bit one" : "");
        }
        return;
    }
    len = strlen(interpreter);
    if (len > 0 && interpreter[len - 1] == '\r') {
        interpreter[len - 1] = '\0';
        say(why,
            "its first line ends in CR LF, so that its interpreter reads as "
            "\"%s\\r\": save it with Unix line ends",
            interpreter);
    } else if (!strchr(interpreter, '/')) {
        say(why, "its interpreter \"%s\" is no path: write #!/usr/bin/env %s", interpreter,
            interpreter);
    } else if (read_head(interpreter, &inner) && elf_loader(&inner, loader)) {
        say(why, "its interpreter %s is there, but not that one's loader %s", interpreter, loader);
    } else {
        say(why, "its interpreter %s does not exist", interpreter);
    }
}

static void why_missing(const char *path, const char *search_path, char why[WHY_MAX])
{
    char target[INTERPRETER_MAX];
    struct head h;
    ssize_t n;

    if (read_head(path, &h)) {
        why_interpreter_missing(&h, why);
        return;
    }
    n = readlink(path, target, sizeof(target) - 1);
    if (n > 0) {
        target[n] = '\0';
        say(why, "%s is a symbolic link to %s, which does not exist", path, target);
    } else if (search_path) {
        say(why, "looked in PATH %s", search_path);
    } else if (path[0] != '/') {
        char cwd[INTERPRETER_MAX];

        say(why, "looked in %s", getcwd(cwd, sizeof(cwd)) ? cwd : ".");
    } else {
        why_no_path(path, why);
    }
}

/* The directory above, as text for a walk; "/" of a relative path is no use and never closed. */
static void directory_of(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    (void)snprintf(ret, PATH_MAX, "%.*s", slash && path[0] == '/' ? (int)(slash - path) : 0, path);
}

static bool may_execute(const char *path, const struct stat *st, const struct user *user)
{
    return user ? user_may(user, st, 1) : faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

static void why_denied(const char *path, const struct user *user, char why[WHY_MAX])
{
    unsigned uid = user ? user->uid : geteuid();
    char dir[PATH_MAX], closed[WHY_MAX / 2];
    char interpreter[INTERPRETER_MAX];
    struct head h;
    struct stat st;
    struct statvfs fs;

    if (stat(path, &st) < 0) {
        say(why, "uid %u may not look into one of the directories on the way to %s", uid, path);
    } else if (S_ISDIR(st.st_mode)) {
        say(why, "%s is a directory: name a program in it", path);
    } else if (!S_ISREG(st.st_mode)) {
        say(why, "%s is not a regular file", path);
    } else if (!may_execute(path, &st, user) && (st.st_mode & 0111) == 0) {
        say(why, "it is not executable, mode %04o: chmod +x %s", (unsigned)st.st_mode & 07777U,
            path);
    } else if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOEXEC)) {
        say(why, "the file system of %s is mounted noexec", path);
    } else if (!may_execute(path, &st, user)) {
        say(why, "it is not executable for uid %u: mode %04o, owner %d of %d", uid,
            (unsigned)st.st_mode & 07777U, (int)st.st_uid, (int)st.st_gid);
    } else if (user && (directory_of(path, dir), dir[0]) &&
               !user_may_enter(user, dir, closed, sizeof(closed))) {
        say(why, "uid %u (agent.user) may not enter the directory %s", uid, closed);
    } else if (read_head(path, &h) && script_interpreter(&h, interpreter)) {
        say(why, "its interpreter %s is not an executable file", interpreter);
    }
}

/* UTF-8's mark, which some editors put in front: then #! is not the beginning. */
static bool has_byte_order_mark(const struct head *h)
{
    return h->n >= 3 && memcmp(h->bytes, "\xEF\xBB\xBF", 3) == 0;
}

static void why_no_format(const char *path, char why[WHY_MAX])
{
    char interpreter[INTERPRETER_MAX];
    struct utsname u;
    struct head h;

    if (!read_head(path, &h)) {
        return;
    }
    if (h.n == 0) {
        say(why, "it is empty");
    } else if (is_elf(&h)) {
        say(why, "it was built for %s, this machine is %s", machine_name(elf_machine(&h)),
            uname(&u) == 0 ? u.machine : "another");
    } else if (script_interpreter(&h, interpreter)) {
        struct head inner;

        if (interpreter[0] == '\0') {
            say(why, "its #! line names no interpreter");
        } else if (read_head(interpreter, &inner) && is_elf(&inner)) {
            say(why, "its interpreter %s was built for %s, this machine is %s", interpreter,
                machine_name(elf_machine(&inner)), uname(&u) == 0 ? u.machine : "another");
        } else {
            say(why, "its interpreter %s is no program", interpreter);
        }
    } else if (has_byte_order_mark(&h)) {
        say(why, "it begins with a byte order mark, which hides its #! line: save it without");
    } else if (!memchr(h.bytes, '\0', h.n)) {
        say(why, "it has no #! line, and /bin/sh could not run it either: begin it with the line "
                 "of its interpreter, or name that before it");
    }
}

/* What the errno alone says, where the file has nothing to add. */
static const char *plain_reason(int errnum)
{
    switch (errnum) {
    case E2BIG:
        return "arguments and environment together are over the kernel's limit, or one of them "
               "over 128 KiB: agent.env, secrets";
    case ETXTBSY:
        return "somebody has it open for writing";
    case EAGAIN:
        return "its user has as many processes as it may: agent.limits nproc, ulimit -u";
    case ENOMEM:
        return "the memory for it is not there: agent.limits as, stack or data, the container's "
               "limit";
    case ELOOP:
        return "symbolic links, or interpreters of interpreters, go around in a circle";
    case ELIBBAD:
        return "its loader is no program for this machine";
    default:
        return "";
    }
}

int spawn_explain(const char *shown, const char *path, const char *search_path,
                  const struct user *user, int errnum, struct err *err)
{
    char why[WHY_MAX] = "";

    switch (errnum) {
    case ENOENT:
        why_missing(path, search_path, why);
        break;
    case ENOTDIR:
        why_no_path(path, why);
        break;
    case EACCES:
    case EPERM:
        why_denied(path, user, why);
        break;
    case ENOEXEC:
    case EINVAL:
        why_no_format(path, why);
        break;
    default:
        say(why, "%s", plain_reason(errnum));
        break;
    }
    errno = errnum;
    if (why[0] == '\0') {
        return err_set(err, -errnum, "cannot exec %s: %m", shown);
    }
    return err_set(err, -errnum, "cannot exec %s: %m (%s)", shown, why);
}

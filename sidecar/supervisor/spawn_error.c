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
#include <stdarg.h>
#include <stdbool.h>
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
    return h->n >= sizeof(Elf64_Ehdr) && memcmp(h->bytes, ELFMAG, SELFMAG) == 0;
}

/* PT_INTERP of a 64-bit ELF file. false when there is none or it lies beyond the first page. */
static bool elf_loader(const struct head *h, char ret[INTERPRETER_MAX])
{
    Elf64_Ehdr e;

    if (!is_elf(h) || h->bytes[EI_CLASS] != ELFCLASS64) {
        return false;
    }
    memcpy(&e, h->bytes, sizeof(e));
    for (size_t i = 0; i < e.e_phnum; i++) {
        Elf64_Phdr p;

        if (e.e_phoff > h->n || e.e_phoff + (i + 1) * sizeof(p) > h->n) {
            return false;
        }
        memcpy(&p, h->bytes + e.e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_INTERP && p.p_offset < h->n) {
            (void)snprintf(ret, INTERPRETER_MAX, "%s", h->bytes + p.p_offset);
            return true;
        }
    }
    return false;
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

static void why_missing(const char *path, const char *search_path, char why[WHY_MAX])
{
    char interpreter[INTERPRETER_MAX];
    char target[INTERPRETER_MAX];
    struct head h;
    ssize_t n;

    if (read_head(path, &h)) {
        if (script_interpreter(&h, interpreter)) {
            size_t len = strlen(interpreter);

            if (len > 0 && interpreter[len - 1] == '\r') {
                interpreter[len - 1] = '\0';
                say(why,
                    "its first line ends in CR LF, so that its interpreter reads as "
                    "\"%s\\r\": save it with Unix line ends",
                    interpreter);
            } else if (!strchr(interpreter, '/')) {
                say(why, "its interpreter \"%s\" is no path: write #!/usr/bin/env %s", interpreter,
                    interpreter);
            } else {
                say(why, "its interpreter %s does not exist", interpreter);
            }
        } else if (elf_loader(&h, interpreter)) {
            say(why, "its loader %s does not exist: it was built for another C library",
                interpreter);
        }
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
    }
}

static void why_denied(const char *path, char why[WHY_MAX])
{
    char interpreter[INTERPRETER_MAX];
    struct head h;
    struct stat st;
    struct statvfs fs;

    if (stat(path, &st) < 0) {
        say(why, "uid %d may not look into one of the directories on the way to %s", (int)geteuid(),
            path);
    } else if (S_ISDIR(st.st_mode)) {
        say(why, "%s is a directory: name a program in it", path);
    } else if (!S_ISREG(st.st_mode)) {
        say(why, "%s is not a regular file", path);
    } else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 && (st.st_mode & 0111) == 0) {
        say(why, "it is not executable, mode %04o: chmod +x %s", (unsigned)st.st_mode & 07777U,
            path);
    } else if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOEXEC)) {
        say(why, "the file system of %s is mounted noexec", path);
    } else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0) {
        say(why, "it is not executable for uid %d: mode %04o, owner %d of %d", (int)geteuid(),
            (unsigned)st.st_mode & 07777U, (int)st.st_uid, (int)st.st_gid);
    } else if (read_head(path, &h) && script_interpreter(&h, interpreter)) {
        say(why, "its interpreter %s is not an executable file", interpreter);
    }
}

static void why_no_format(const char *path, char why[WHY_MAX])
{
    struct utsname u;
    struct head h;

    if (!read_head(path, &h)) {
        return;
    }
    if (h.n == 0) {
        say(why, "it is empty");
    } else if (is_elf(&h)) {
        Elf64_Ehdr e;

        memcpy(&e, h.bytes, sizeof(e));
        say(why, "it was built for %s, this machine is %s", machine_name(e.e_machine),
            uname(&u) == 0 ? u.machine : "another");
    } else if (h.n >= 2 && h.bytes[0] == '#' && h.bytes[1] == '!') {
        say(why, "its #! line names no interpreter");
    } else if (!memchr(h.bytes, '\0', h.n)) {
        say(why, "it has no #! line: begin it with one such as #!/bin/sh, or name its "
                 "interpreter before it");
    }
}

int spawn_explain(const char *shown, const char *path, const char *search_path, int errnum,
                  struct err *err)
{
    char why[WHY_MAX] = "";

    switch (errnum) {
    case ENOENT:
        why_missing(path, search_path, why);
        break;
    case EACCES:
    case EPERM:
        why_denied(path, why);
        break;
    case ENOEXEC:
    case EINVAL:
        why_no_format(path, why);
        break;
    case E2BIG:
        say(why, "arguments and environment together are over the "
                 "kernel's limit: agent.env, secrets");
        break;
    case ETXTBSY:
        say(why, "somebody has it open for writing");
        break;
    default:
        break;
    }
    errno = errnum;
    if (why[0] == '\0') {
        return err_set(err, -errnum, "cannot exec %s: %m", shown);
    }
    return err_set(err, -errnum, "cannot exec %s: %m (%s)", shown, why);
}

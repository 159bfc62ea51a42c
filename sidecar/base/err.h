/*
 * Errors: a code to branch on, a sentence to read.
 *
 * A function that can fail in a way a person will see takes `struct err *err` as its last
 * parameter. The struct lives on the caller's stack; nothing is allocated on the failing path.
 * Whoever gives up logs it, once; everybody below returns it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum {
    ERR_MSG_MAX = 512, /* bytes of one sentence, with its NUL; longer ones are cut */
};

struct err {
    int code;              /* negative errno; 0 while nothing has failed */
    char msg[ERR_MSG_MAX]; /* one sentence for a person, no newline */
};

/*
 * Fill `err` (may be NULL) and return `code`, so that `return err_set(err, -EINVAL, ...)` reads
 * well. %m is the errno on entry.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Put context in front: "outer: inner". Returns the code already there. `err` may be NULL (returns
 * -EIO then).
 */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * %m is glibc's, and -Wpedantic complains about it in every call; __extension__ says that we know.
 * The check of the arguments stays.
 */
#ifdef __clang_analyzer__ /* sees one file at a time: tell it what is returned */
#define err_set(err, code, ...)                                                                    \
    (__extension__({                                                                               \
        const int code_ = (code);                                                                  \
        if (code_ >= 0)                                                                            \
            __builtin_unreachable();                                                               \
        (void)err_set((err), code_, __VA_ARGS__);                                                  \
        code_;                                                                                     \
    }))
#else
#define err_set(...) (__extension__ err_set(__VA_ARGS__))
#endif
#define err_wrap(...) (__extension__ err_wrap(__VA_ARGS__))

#endif

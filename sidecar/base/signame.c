/*
 * Names of signals. The C library has the table; this adds the real-time ones and the prefix.
 */
#include "base/signame.h"

#include "base/parse.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum { LAST_STANDARD = 31 };

/* Names that other programs use for the same numbers. */
static const struct {
    struct slice name;
    int number;
} aliases[] = {
    {SLICE_INIT("CLD"), SIGCHLD},
    {SLICE_INIT("IO"), SIGIO},
    {SLICE_INIT("IOT"), SIGABRT},
    {SLICE_INIT("POLL"), SIGIO},
};

/* "RTMIN+3": `rest` is what follows the base's name; sign says which way it may go. */
static int from_base(int base, char sign, struct slice rest)
{
    int64_t offset = 0;

    if (rest.n > 0 && (rest.p[0] != sign || parse_int64((struct slice){rest.p + 1, rest.n - 1}, 0,
                                                        SIGRTMAX - SIGRTMIN, &offset) < 0))
        return 0;
    return base + (sign == '+' ? (int)offset : -(int)offset);
}

static bool takes_off(struct slice *text, struct slice prefix)
{
    if (text->n < prefix.n || !slice_eq_nocase((struct slice){text->p, prefix.n}, prefix))
        return false;
    *text = (struct slice){text->p + prefix.n, text->n - prefix.n};
    return true;
}

static int of_name(struct slice name)
{
    if (takes_off(&name, SLICE("RTMIN")))
        return from_base(SIGRTMIN, '+', name);
    if (takes_off(&name, SLICE("RTMAX")))
        return from_base(SIGRTMAX, '-', name);
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (slice_eq_nocase(name, aliases[i].name))
            return aliases[i].number;
    }
    for (int number = 1; number <= LAST_STANDARD; number++) {
        if (slice_eq_nocase(name, slice_of(sigabbrev_np(number))))
            return number;
    }
    return 0;
}

int signal_parse(struct slice text)
{
    int64_t number;

    if (text.n == 0)
        return 0;
    if (parse_int64(text, 1, SIGRTMAX, &number) == 0)
        return number > LAST_STANDARD && number < SIGRTMIN ? 0 : (int)number;
    (void)takes_off(&text, SLICE("SIG"));
    return text.n > 0 ? of_name(text) : 0;
}

const char *signal_text(int number, char buf[SIGNAL_TEXT_MAX])
{
    const char *name = number >= 1 && number <= LAST_STANDARD ? sigabbrev_np(number) : NULL;

    if (name)
        (void)snprintf(buf, SIGNAL_TEXT_MAX, "%s", number == SIGIO ? "IO" : name);
    else if (number == SIGRTMIN)
        (void)snprintf(buf, SIGNAL_TEXT_MAX, "RTMIN");
    else if (number > SIGRTMIN && number <= SIGRTMAX)
        (void)snprintf(buf, SIGNAL_TEXT_MAX, "RTMIN+%d", number - SIGRTMIN);
    else
        (void)snprintf(buf, SIGNAL_TEXT_MAX, "%d", number);
    return buf;
}

const char *signal_in_words(int number, char buf[SIGNAL_WORDS_MAX])
{
    char name[SIGNAL_TEXT_MAX];

    (void)signal_text(number, name);
    (void)snprintf(buf, SIGNAL_WORDS_MAX, "%s%s",
                   name[0] >= '0' && name[0] <= '9' ? "signal " : "SIG", name);
    return buf;
}

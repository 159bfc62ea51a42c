/* The list of signals in stop.signal: what is understood, what is refused and how that reads. */
#include "config/stop_sequence.h"

#include "base/cleanup.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

/* text -> the one spelling it is printed in, which reads back as itself */
static const struct {
    const char *text, *printed;
} good[] = {
    {"TERM", "TERM"},
    {"SIGINT", "INT"},
    {"15", "TERM"},
    {"sigusr1", "USR1"},
    {"40", "RTMIN+6"},
    {"TERM, KILL", "TERM"},
    {"TERM wait 10s", "TERM wait 10s, KILL"},
    {"TERM wait 10s KILL", "TERM wait 10s, KILL"},
    {"TERM, wait 10s, KILL", "TERM wait 10s, KILL"},
    {"USR1 wait 20s, TERM, wait 10s, KILL", "USR1 wait 20s, TERM wait 10s, KILL"},
    {"USR1 wait 20s,TERM,wait 10s,SIGKILL", "USR1 wait 20s, TERM wait 10s, KILL"},
    {"  USR1\twait 20s ,  TERM  wait 10s  9", "USR1 wait 20s, TERM wait 10s, KILL"},
    {"USR1 WAIT 500ms TERM", "USR1 wait 500ms, TERM, KILL"},
    {"INT wait 1s, INT wait 1s, INT", "INT wait 1s, INT wait 1s, INT, KILL"},
    {"QUIT wait 1d", "QUIT wait 1d, KILL"},
};

/* text -> words that the refusal must have, parted by | */
static const struct {
    const char *text, *words;
} bad[] = {
    {"", "must be a signal, such as TERM|USR1 wait 20s"},
    {"  ", "must be a signal"},
    {"KILL", "must be a signal that can be caught|USR1 wait 20s, TERM wait 10s, KILL"},
    {"KILL, TERM", "character 1, KILL|can be caught"},
    {"STOP wait 1s, TERM", "character 1, STOP|can be caught"},
    {"TERM wait 1s, BOOM", "character 15, BOOM|such as TERM, INT, HUP or USR1"},
    {"USR1, TERM", "character 7, TERM|there must be a wait|any order|USR1 wait 20s"},
    {"USR1 wait 20", "character 11, 20|ms, s, m, h or d"},
    {"USR1 wait -1s", "character 11, -1s"},
    {"USR1 wait 0", "character 11, 0|1ms to 1d"},
    {"USR1 wait 2d", "character 11, 2d|1ms to 1d"},
    {"USR1 20s TERM", "character 6, 20s"},
    {"USR1 wait", "a duration must follow wait"},
    {"USR1 wait, 20s", "a duration must follow wait"},
    {"wait 10s, TERM", "character 1, wait|write the signal first|stop.drain_delay"},
    {"TERM wait 1s wait 2s", "character 14, wait|one wait per signal"},
    {"TERM wait 1s,", "character 13, ,|nothing follows the comma"},
    {"TERM wait 1s,, KILL", "character 13, ,|nothing follows the comma"},
    {", TERM", "character 1, ,|nothing stands before the comma"},
    {"TERM wait 1s KILL wait 2s", "character 19, wait|nothing can follow KILL"},
    {"INT wait 1s INT wait 1s INT wait 1s INT wait 1s INT wait 1s INT wait 1s INT wait 1s "
     "INT wait 1s INT",
     "character 97, INT|8 are the most"},
};

Test(stop_sequence, reads_what_a_reader_of_the_manual_would_write)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CLEANUP(str_release) struct str text = {0};
        CLEANUP(str_release) struct str again = {0};
        struct stop_sequence s = {0}, t = {0};
        struct err err = {0};

        cr_assert_eq(stop_sequence_parse(slice_of(good[i].text), &s, &err), 0, "%s: %s",
                     good[i].text, err.msg);
        stop_sequence_add_text(&text, &s);
        cr_assert_str_eq(str_z(&text), good[i].printed);
        cr_assert_eq(stop_sequence_parse(str_slice(&text), &t, NULL), 0, "%s", good[i].text);
        stop_sequence_add_text(&again, &t);
        cr_assert_str_eq(str_z(&again), good[i].printed);
    }
}

Test(stop_sequence, a_refusal_says_where_what_and_how_it_is_written)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stop_sequence s = {0};
        struct err err = {0};
        struct slice words = slice_of(bad[i].words), word;

        cr_assert_lt(stop_sequence_parse(slice_of(bad[i].text), &s, &err), 0, "%s", bad[i].text);
        cr_assert_eq(s.n, 0);
        while (slice_next(&words, '|', &word))
            cr_assert_not_null(memmem(err.msg, strlen(err.msg), word.p, word.n),
                               "%s: \"%s\" is not in \"%s\"", bad[i].text, bad[i].words, err.msg);
    }
}

Test(stop_sequence, every_cut_of_a_good_text_is_read_or_refused)
{
    static const char text[] = "USR1 wait 20s, TERM, wait 10s, INT wait 1s, KILL";

    for (size_t n = 0; n < sizeof(text); n++) {
        struct stop_sequence s = {0};
        struct err err = {0};
        int rc = stop_sequence_parse((struct slice){text, n}, &s, &err);

        cr_assert(rc == 0 ? s.n > 0 : err.msg[0] != '\0', "%.*s", (int)n, text);
    }
}

Test(stop_sequence, sums_the_waits_and_knows_an_open_end)
{
    struct stop_sequence s;

    cr_assert_eq(stop_sequence_parse(SLICE("USR1 wait 20s, TERM wait 10s"), &s, NULL), 0);
    cr_assert_eq(stop_sequence_waits_ms(&s), 30000);
    cr_assert_not(stop_sequence_is_open(&s));
    cr_assert_eq(stop_sequence_parse(SLICE("USR1 wait 20s, TERM"), &s, NULL), 0);
    cr_assert_eq(stop_sequence_waits_ms(&s), 20000);
    cr_assert(stop_sequence_is_open(&s));
}

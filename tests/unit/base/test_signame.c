#include "base/signame.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(signame, names_and_numbers_in_every_spelling)
{
    cr_expect_eq(signal_parse(SLICE("TERM")), SIGTERM);
    cr_expect_eq(signal_parse(SLICE("sigTerm")), SIGTERM);
    cr_expect_eq(signal_parse(SLICE("15")), SIGTERM);
    cr_expect_eq(signal_parse(SLICE("KILL")), SIGKILL);
    cr_expect_eq(signal_parse(SLICE("IOT")), SIGABRT);
    cr_expect_eq(signal_parse(SLICE("SIGPOLL")), SIGIO);
    cr_expect_eq(signal_parse(SLICE("IO")), SIGIO);
    cr_expect_eq(signal_parse(SLICE("STKFLT")), SIGSTKFLT);
    cr_expect_eq(signal_parse(SLICE("RTMIN")), SIGRTMIN);
    cr_expect_eq(signal_parse(SLICE("sigrtmin+3")), SIGRTMIN + 3);
    cr_expect_eq(signal_parse(SLICE("RTMAX-1")), SIGRTMAX - 1);
    cr_expect_eq(signal_parse(SLICE("RTMAX")), SIGRTMAX);
    cr_expect_eq(signal_parse(SLICE("64")), 64);
}

Test(signame, what_is_no_signal)
{
    static const char *const wrong[] = {"",           "SIG",     "0",        "-1",       "65",
                                        "32",         "33",      "BOOM",     "TERM ",    " 15",
                                        "RTMIN-1",    "RTMAX+1", "RTMIN+",   "RTMIN+31", "RTMAX-99",
                                        "SIGSIGTERM", "15.0",    "RTMIN+ 1", "SIG15"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect_eq(signal_parse(slice_of(wrong[i])), 0, "%s", wrong[i]);
}

Test(signame, every_text_is_read_back)
{
    char text[SIGNAL_TEXT_MAX];

    for (int number = 1; number <= SIGNAL_MAX; number++) {
        int expected = number > 31 && number < SIGRTMIN ? 0 : number;

        cr_expect_eq(signal_parse(slice_of(signal_text(number, text))), expected, "%s", text);
    }
    cr_expect_str_eq(signal_text(SIGHUP, text), "HUP");
    cr_expect_str_eq(signal_text(SIGRTMIN, text), "RTMIN");
    cr_expect_str_eq(signal_text(SIGRTMAX, text), "RTMIN+30");
    cr_expect_str_eq(signal_text(33, text), "33");
    cr_expect_str_eq(signal_text(0, text), "0");
}

Test(signame, sentences_name_the_kind_of_thing)
{
    char text[SIGNAL_WORDS_MAX];

    cr_expect_str_eq(signal_in_words(SIGTERM, text), "SIGTERM");
    cr_expect_str_eq(signal_in_words(SIGRTMIN + 3, text), "SIGRTMIN+3");
    cr_expect_str_eq(signal_in_words(33, text), "signal 33");
}

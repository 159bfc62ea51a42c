/* The allow-list of the agent's sd_notify: what is taken, what is dropped. */
#include "notify/agent_message.h"

#include <criterion/criterion.h>
#include <string.h>

static struct agent_message read_text(const char *text)
{
    struct agent_message m;

    agent_message_read(slice_of(text), &m);
    return m;
}

Test(agent_message, ready_is_one_and_nothing_else)
{
    cr_expect(read_text("READY=1").is_ready);
    cr_expect(read_text("STATUS=x\nREADY=1\n").is_ready);
    cr_expect_not(read_text("READY=0").is_ready);
    cr_expect_not(read_text("READY=11").is_ready);
    cr_expect_not(read_text("XREADY=1").is_ready);
    cr_expect_not(read_text("READY").is_ready);
    cr_expect_eq(read_text("READY=0").dropped, 1);
}

Test(agent_message, what_would_speak_for_us_is_dropped)
{
    static const char *const lines[] = {
        "MAINPID=1",        "MAINPIDFDID=1", "FDSTORE=1",      "FDSTOREREMOVE=1",
        "FDNAME=x",         "FDPOLL=0",      "WATCHDOG=1",     "WATCHDOG_USEC=1",
        "NOTIFYACCESS=all", "BUSERROR=a.b",  "EXIT_STATUS=3",  "MONOTONIC_USEC=1",
        "BARRIER=1",        "X_MINE=1",      "no equals sign", "=1",
        "ERRNO=0",          "ERRNO=4096",    "ERRNO=x",        "EXTEND_TIMEOUT_USEC=-1",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct agent_message m = read_text(lines[i]), empty = {.dropped = 1};

        cr_expect_eq(memcmp(&m, &empty, sizeof(m)), 0, "%s", lines[i]);
    }
}

Test(agent_message, status_is_one_printable_line_and_cut)
{
    char text[1024] = "STATUS=";
    struct agent_message m = read_text("STATUS=loading \x1b[31mmodel\x07");

    cr_expect(m.has_status);
    cr_expect_str_eq(m.status, "loading \\x1B[31mmodel\\x07");
    memset(text + 7, 'x', sizeof(text) - 8);
    m = read_text(text);
    cr_expect_eq(strlen(m.status), AGENT_STATUS_MAX_BYTES - 1);
    cr_expect(strstr(m.status, "xxx..."));
    m = read_text("STATUS=");
    cr_expect(m.has_status && m.status[0] == '\0', "it takes the last one back");
    cr_expect_str_eq(read_text("STATUS=a=b").status, "a=b");
}

Test(agent_message, numbers_are_read_strictly_and_bounded)
{
    cr_expect_eq(read_text("ERRNO=2").errnum, 2);
    cr_expect_eq(read_text("EXTEND_TIMEOUT_USEC=1500000").extend_ms, 1500);
    cr_expect_eq(read_text("EXTEND_TIMEOUT_USEC=9223372036854775807").extend_ms,
                 AGENT_EXTEND_MAX_MS);
    cr_expect_eq(read_text("EXTEND_TIMEOUT_USEC=15 ").extend_ms, 0);
    cr_expect(read_text("WATCHDOG=trigger").is_broken);
    cr_expect(read_text("STOPPING=1").is_stopping);
    cr_expect(read_text("RELOADING=1").is_reloading);
}

/* Every cut of a message, and bytes that are no text: nothing but what is whole is taken. */
Test(agent_message, any_bytes_are_read_without_harm)
{
    static const char bytes[] =
        "READY=1\nSTATUS=\xff\xfe\0x\nERRNO=3\n\n\n=\nEXTEND_TIMEOUT_USEC=5000";
    struct agent_message m;

    for (size_t n = 0; n < sizeof(bytes); n++) {
        char copy[sizeof(bytes)];

        memcpy(copy, bytes, n);
        agent_message_read((struct slice){copy, n}, &m);
        cr_expect_eq(m.is_ready, n >= 7, "%zu", n);
    }
    cr_expect_eq(m.errnum, 3);
}

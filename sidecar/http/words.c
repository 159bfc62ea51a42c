/*
 * The words that go into every answer: reason phrases and dates.
 */
#include "http/http.h"
#include "http/write.h"

#include <time.h>

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {100, "Continue"},
        {102, "Processing"},
        {103, "Early Hints"},
        {203, "Non-Authoritative Information"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].status == status)
            return table[i].text;
    }
    return "";
}

static void put_two(char *p, int n)
{
    p[0] = (char)('0' + n / 10 % 10);
    p[1] = (char)('0' + n % 10);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110 section 5.6.7. Per thread, because there is more than
 * one; a constant for a second at a time. */
struct slice http_date(int64_t wall_ms)
{
    static _Thread_local char text[] = "Thu, 01 Jan 1970 00:00:00 GMT";
    static _Thread_local int64_t text_s = 0;
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now_s = wall_ms / 1000;

    if (now_s != text_s) {
        time_t t = (time_t)now_s;
        struct tm tm;

        if (gmtime_r(&t, &tm)) {
            memcpy(text, days + 3 * tm.tm_wday, 3);
            put_two(text + 5, tm.tm_mday);
            memcpy(text + 8, months + 3 * tm.tm_mon, 3);
            put_two(text + 12, (tm.tm_year + 1900) / 100);
            put_two(text + 14, tm.tm_year + 1900);
            put_two(text + 17, tm.tm_hour);
            put_two(text + 20, tm.tm_min);
            put_two(text + 23, tm.tm_sec);
            text_s = now_s;
        }
    }
    return (struct slice){text, sizeof(text) - 1};
}

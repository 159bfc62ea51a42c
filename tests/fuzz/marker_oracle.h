/*
 * A second opinion on trust markers: not how they are found, but whether a reader would see one.
 * The text is made plain (escapes undone, look-alikes replaced, what nobody sees dropped), and then
 * searched. Header only.
 */
#ifndef FUZZ_MARKER_ORACLE_H
#define FUZZ_MARKER_ORACLE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline char *oracle_replace(char *text, const char *from, const char *to)
{
    size_t n = strlen(from), m = strlen(to); /* to is never longer */
    char *at = text;

    while ((at = strstr(at, from)) != NULL) {
        memcpy(at, to, m);
        memmove(at + m, at + n, strlen(at + n) + 1);
    }
    return text;
}

/* "&#91;" and "&#x5b;" of printable ASCII. */
static inline void oracle_numbers(char *text)
{
    for (char *at = text; (at = strstr(at, "&#")) != NULL; at++) {
        bool is_hex = at[2] == 'x' || at[2] == 'X';
        char *first = at + (is_hex ? 3 : 2);
        const char *digits = is_hex ? "0123456789abcdefABCDEF" : "0123456789";
        size_t n = strspn(first, digits);
        unsigned long c = n > 0 && n <= 20 ? strtoul(first, NULL, is_hex ? 16 : 10) : 0;
        char *end = first + n;

        if (c < '!' || c > '~')
            continue;
        end += *end == ';';
        *at = (char)c;
        memmove(at + 1, end, strlen(end) + 1);
    }
}

/* true: somebody would read a marker in text (NUL-terminated, which is changed). */
static inline bool oracle_sees(char *text)
{
    static const char *const names[] = {"A2A_RESULT_FROM_PEER]", "A2A_RESULT_TO_PEER]",
                                        "A2A_ERROR]", "A2A_QUEUED]"};
    static const char *const seen[][2] = {
        {"[/ A2A_RESULT_FROM_PEER]", "x"},
        {"[/ /A2A_RESULT_FROM_PEER]", "x"},
        {"[/ A2A_RESULT_TO_PEER]", "x"},
        {"[/ /A2A_RESULT_TO_PEER]", "x"},
        {"[/ A2A_ERROR]", "x"},
        {"[/ /A2A_ERROR]", "x"},
        {"[/ A2A_QUEUED]", "x"},
        {"[/ /A2A_QUEUED]", "x"},
        {"&lsqb;", "["},
        {"&rsqb;", "]"},
        {"&lbrack;", "["},
        {"&rbrack;", "]"},
        {"&sol;", "/"},
        {"&lowbar;", "_"},
        {"\xef\xbc\xbb", "["},
        {"\xef\xbc\xbd", "]"},
        {"\xef\xbc\x8f", "/"},
        {"\xef\xbc\xbf", "_"},
        {"\xe2\x80\x8b", ""},
        {"\xe2\x80\x8c", ""},
        {"\xe2\x80\x8d", ""},
        {"\xe2\x81\xa0", ""},
        {"\xef\xbb\xbf", ""},
        {"\xc2\xad", ""},
        {"\xcd\x8f", ""},
        {"\xd8\x9c", ""},
        {"\xe2\x80\x8e", ""},
        {"\xe2\x80\xae", ""},
        {"\xe3\x85\xa4", ""},
        {"\xef\xb8\x8f", ""},
        {"\xef\xbe\xa0", ""},
        {"\xf0\x9b\xb2\xa0", ""},
        {"\xf0\x9d\x85\xb3", ""},
        {"\xf3\xa0\x81\x81", ""},
    };
    char *to = text;

    for (size_t i = 0; i < 8; i++)
        oracle_replace(text, seen[i][0], seen[i][1]);
    for (size_t n = strlen(text) + 1; n != strlen(text);) { /* references of references */
        n = strlen(text);
        while (strstr(text, "&amp;"))
            oracle_replace(text, "&amp;", "&");
        oracle_numbers(text);
        for (size_t i = 8; i < sizeof(seen) / sizeof(seen[0]); i++)
            oracle_replace(text, seen[i][0], seen[i][1]);
    }
    for (const char *from = text; *from; from++) { /* blanks and controls; capitals */
        if ((unsigned char)*from > 0x20 && *from != 0x7f)
            *to++ = (char)(*from >= 'a' && *from <= 'z' ? *from - 'a' + 'A' : *from);
    }
    *to = '\0';
    for (const char *at = text; (at = strchr(at, '[')) != NULL; at++) {
        const char *name = at + 1 + strspn(at + 1, "/");

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strncmp(name, names[i], strlen(names[i])) == 0)
                return true;
    }
    return false;
}

#endif

#include "base/json_read.h"

#include <criterion/criterion.h>
#include <string.h>

/* As `inbox show` gets it: a message to the feed's limit, inside an answer. */
Test(json_read, what_the_feed_takes_can_be_shown)
{
    enum { FEED = 66, TOO_DEEP = JSON_READ_DEPTH_MAX + 1 };
    char text[2 * TOO_DEEP];
    struct json_object *o;

    memset(text, '[', FEED);
    memset(text + FEED, ']', FEED);
    o = json_read((struct slice){text, (size_t)2 * FEED});
    cr_assert_not_null(o);
    json_object_put(o);
    memset(text, '[', TOO_DEEP);
    memset(text + TOO_DEEP, ']', TOO_DEEP);
    cr_assert_null(json_read((struct slice){text, sizeof(text)}));
}

Test(json_read, only_what_is_whole)
{
    struct json_object *o = json_read(SLICE("7"));

    cr_assert_eq(json_object_get_int(o), 7);
    json_object_put(o);
    cr_assert_null(json_read(SLICE("{\"a\":")));
    cr_assert_null(json_read(SLICE("")));
    cr_assert_null(json_read((struct slice){NULL, 0}));
}

/*
 * The name table: every id is found by its name in any case, and nothing else is.
 */
#include "http/field.h"

#include <criterion/criterion.h>
#include <ctype.h>

static const struct {
    const char *name;
    enum http_field_id id;
} all[] = {
    {"Host", FIELD_HOST},
    {"Connection", FIELD_CONNECTION},
    {"Content-Length", FIELD_CONTENT_LENGTH},
    {"Transfer-Encoding", FIELD_TRANSFER_ENCODING},
    {"Content-Type", FIELD_CONTENT_TYPE},
    {"Content-Encoding", FIELD_CONTENT_ENCODING},
    {"Authorization", FIELD_AUTHORIZATION},
    {"Expect", FIELD_EXPECT},
    {"Upgrade", FIELD_UPGRADE},
    {"TE", FIELD_TE},
    {"Trailer", FIELD_TRAILER},
    {"Keep-Alive", FIELD_KEEP_ALIVE},
    {"Proxy-Connection", FIELD_PROXY_CONNECTION},
    {"Proxy-Authenticate", FIELD_PROXY_AUTHENTICATE},
    {"Proxy-Authorization", FIELD_PROXY_AUTHORIZATION},
    {"HTTP2-Settings", FIELD_HTTP2_SETTINGS},
    {"Via", FIELD_VIA},
    {"Date", FIELD_DATE},
    {"Server", FIELD_SERVER},
    {"Cache-Control", FIELD_CACHE_CONTROL},
    {"ETag", FIELD_ETAG},
    {"Last-Modified", FIELD_LAST_MODIFIED},
    {"Accept-Encoding", FIELD_ACCEPT_ENCODING},
    {"If-None-Match", FIELD_IF_NONE_MATCH},
    {"If-Modified-Since", FIELD_IF_MODIFIED_SINCE},
    {"Range", FIELD_RANGE},
    {"Retry-After", FIELD_RETRY_AFTER},
    {"Vary", FIELD_VARY},
    {"Forwarded", FIELD_FORWARDED},
    {"X-Forwarded-For", FIELD_X_FORWARDED_FOR},
    {"X-Forwarded-Proto", FIELD_X_FORWARDED_PROTO},
    {"X-Forwarded-Host", FIELD_X_FORWARDED_HOST},
    {"X-Forwarded-Prefix", FIELD_X_FORWARDED_PREFIX},
    {"traceparent", FIELD_TRACEPARENT},
    {"X-Request-Id", FIELD_X_REQUEST_ID},
    {"Cookie", FIELD_COOKIE},
    {"X-Accel-Buffering", FIELD_X_ACCEL_BUFFERING},
};
enum { ALL_COUNT = sizeof(all) / sizeof(all[0]) };

Test(http_field, finds_every_name_in_any_case)
{
    cr_assert_eq((int)ALL_COUNT, FIELD_ID_COUNT - 1);
    for (size_t i = 0; i < ALL_COUNT; i++) {
        char upper[32], lower[32];
        size_t n = strlen(all[i].name);

        for (size_t k = 0; k <= n; k++) {
            upper[k] = (char)toupper((unsigned char)all[i].name[k]);
            lower[k] = (char)tolower((unsigned char)all[i].name[k]);
        }
        cr_expect_eq(field_id(slice_of(all[i].name)), all[i].id, "%s", all[i].name);
        cr_expect_eq(field_id(slice_of(upper)), all[i].id, "%s", upper);
        cr_expect_eq(field_id(slice_of(lower)), all[i].id, "%s", lower);
        upper[0] = '~';
        cr_expect_eq(field_id(slice_of(upper)), FIELD_OTHER, "%s", upper);
    }
    cr_expect_eq(field_id(SLICE("")), FIELD_OTHER);
    cr_expect_eq(field_id(SLICE("a-name-that-is-longer-than-all-of-them")), FIELD_OTHER);
}

Test(http_field, knows_underscore_twins)
{
    cr_expect(field_is_underscore_twin(SLICE("Content_Length")));
    cr_expect(field_is_underscore_twin(SLICE("TRANSFER_ENCODING")));
    cr_expect(field_is_underscore_twin(SLICE("X-Forwarded_For")));
    cr_expect(field_is_underscore_twin(SLICE("A2A_Extensions")));
    cr_expect(field_is_underscore_twin(SLICE("X_Forwarded_User")));
    cr_expect(field_is_underscore_twin(SLICE("X_Molecule_A_Name_That_Is_Longer_Than_All_Others")));
    cr_expect(!field_is_underscore_twin(SLICE("my_name_that_is_longer_than_all_the_others")));
    cr_expect(!field_is_underscore_twin(SLICE("my_header")));
    cr_expect(!field_is_underscore_twin(SLICE("Content-Length")));
    cr_expect(!field_is_underscore_twin(SLICE("_")));
}

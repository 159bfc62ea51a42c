/*
 * Any bytes as an answer of the feed: it is cut into rows, and whatever parses is read. Nothing
 * that is called a message lacks a sender, a time or a request, and no outcome of a delegation
 * could be answered; the order of rows is total.
 */
#include "inbox/page.h"
#include "inbox/row.h"

#include "base/json_scan.h"
#include "base/parse.h"

#include <stdint.h>
#include <stdlib.h>

#define OWN "11111111-2222-4333-8444-555555555555"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_row(struct json_object *o)
{
    struct row_about about;
    struct row r;
    bool is_named = row_read(o, OWN, &r);

    check(is_named ? is_uuid(slice_of(r.id)) : r.kind == ROW_UNREADABLE);
    check(row_kind_name(r.kind)[0] != '\0');
    if (r.kind == ROW_MESSAGE) {
        check(is_named && r.request != NULL);
        check(r.source_id[0] == '\0' || is_uuid(slice_of(r.source_id)));
        check(strcmp(r.source_id, OWN) != 0);
        check(strlen(r.message_id) <= ROW_ID_TEXT_MAX && strlen(r.context_id) <= ROW_ID_TEXT_MAX);
        row_about(r.request, &about);
        check(about.hops >= 0);
        check(row_parts(r.request) || row_lone_text(r.request) || row_message(r.request));
    }
    if (r.kind == ROW_DELEGATION || r.kind == ROW_DELEGATION_OPEN) {
        check(is_named && r.request != NULL && strcmp(r.peer_id, OWN) != 0);
        check(r.peer_id[0] == '\0' || is_uuid(slice_of(r.peer_id)));
        check(strlen(r.message_id) <= ROW_ID_TEXT_MAX && strlen(r.context_id) <= ROW_ID_TEXT_MAX);
        row_about(r.request, &about);
        check(about.is_from_agent && about.is_reply); /* nothing ever answers it */
    }
    row_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = {(const char *)data, size}, rows, row;
    struct json_tokener *t = json_tokener_new_ex(JSON_SCAN_DEPTH_MAX + 2);

    check(t != NULL);
    if (page_begin(body, &rows) == 0) {
        while (page_next(&rows, &row) == 1) {
            struct slice value, text;
            struct json_object *o = NULL;

            check(row.n > 0 && row.p >= body.p && row.p + row.n <= body.p + body.n);
            if (page_member(row, "id", &value))
                check(value.n > 0 && value.p > row.p && value.p + value.n <= row.p + row.n);
            if (page_member(row, "created_at", &value) && page_plain_text(value, &text)) {
                int64_t us;

                (void)row_time_us(text, &us);
            }
            json_tokener_reset(t);
            if (json_validate(row) != JSON_BAD)
                o = json_tokener_parse_ex(t, row.p, (int)row.n);
            if (o)
                check_row(o);
            json_object_put(o);
        }
    }
    json_tokener_free(t);
    return 0;
}

/*
 * Field names: which one is it, and may it be forwarded. Private to http/.
 *
 * Source: RFC 9110 section 7.6.1 (hop-by-hop), A section 10.1 (underscore twins), A section 10.3
 * (what Connection may not name).
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include "http/http.h"

enum http_field_id field_id(struct slice name); /* FIELD_OTHER when not in the table */

/* Hop-by-hop whatever Connection says. */
bool field_is_hop(enum http_field_id id);

/* `Content_Length`, `A2A_Version`: equal to a known name when _ becomes -. Programs with CGI-style
 * variables cannot tell the two apart. */
bool field_is_underscore_twin(struct slice name);

/* End-to-end fields that a Connection header must not be able to remove. */
bool field_is_essential(enum http_field_id id, struct slice name);

/* Mark what the Connection lines among fields[] name, and report the two options that mean
 * something to us. */
void field_mark_connection(struct http_field *fields, size_t count, bool *ret_close,
                           bool *ret_keep_alive);

#endif

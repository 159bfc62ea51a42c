/*
 * The route table: every path this platform knows, in one place.
 */
#ifndef DEVPLATFORM_ROUTES_H
#define DEVPLATFORM_ROUTES_H

#include "devplatform/call.h"

struct route {
    enum http_method method;
    const char *pattern; /* segments between '/'; ":id" matches one non-empty segment */
    void (*handle)(struct call *c);
    bool is_untraced; /* neither in /dev/log nor in the story */
};

/* The route of a request, with its variable segments in `params`; NULL: no such path, or not with
 * this method (the same 404). */
const struct route *routes_find(const struct http_request *rq,
                                struct slice params[CALL_PARAMS_MAX]);

#endif

/*
 * Which addresses may be registered, and which may be dispatched to (P sections 7.1 and 17.2, the
 * rules of development mode).
 */
#ifndef DEVPLATFORM_URLCHECK_H
#define DEVPLATFORM_URLCHECK_H

#include "base/err.h"

enum url_check {
    URL_CHECK_REGISTER =
        0, /* literals of loopback and private networks are refused, `localhost` passes */
    URL_CHECK_DISPATCH, /* development mode: loopback and private addresses pass */
};

/* 0, or -EINVAL with the sentence that the platform answers with. Names are not resolved, unlike on
 * the platform. */
int url_check(const char *url, enum url_check how, struct err *err);

#endif

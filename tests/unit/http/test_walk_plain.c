/*
 * test_walk.c once more, over the walk of machines without the vectors that head.c knows.
 */
#define HTTP_PLAIN_WALK
#include "../../../sidecar/http/head.c" /* in place of the library's */

#include "test_walk.c"

/* What test_handover.c tests, for a child that is in our memory until exec. */
#define MAY_WAIT true
#include "test_handover.c"

/*
 * Arguments to a subcommand to an exit status. Nothing else happens here.
 */
#include "cmd/cmd.h"

#include <stdio.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define LOOKS_FOR_LEAKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOOKS_FOR_LEAKS 1
#endif
#endif

int main(int argc, char **argv)
{
    int status = cmd_main(argc, argv);

#ifndef LOOKS_FOR_LEAKS
    /*
     * Everything of ours is closed by now. What exit(3) would do besides is the destructors of
     * libcurl's thirty libraries, milliseconds during which a container is still not ended and a
     * service manager still waits.
     */
    (void)fflush(NULL);
    _exit(status);
#endif
    return status;
}

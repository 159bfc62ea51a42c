/*
 * Functions that have hurt others do not compile here. Include last in a .c file, or rely on the
 * layer test, which greps too.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atof gmtime localtime ctime     \
    asctime gets

#endif

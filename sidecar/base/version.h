/*
 * What this binary was built from and how: for --version and the build_info metric. Constant
 * strings, never NULL; `revision` is "unknown" when built outside a git checkout, `features` is ""
 * or words separated by a blank. Facts about libraries found at run time (libcurl, OpenSSL) belong
 * to whoever prints them.
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

struct build_facts {
    const char *version;  /* "0.1.0" */
    const char *revision; /* commit, 12 digits */
    const char *compiler; /* "GNU 12.2.0" */
    const char *type;     /* "RelWithDebInfo", "Debug" */
    const char *features; /* "systemd sanitizers" */
};

extern const struct build_facts build_facts;

#endif

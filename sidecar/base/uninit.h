/*
 * UNINITIALIZED: for a large local of a hot path that is written before it is read. Release builds
 * fill all locals with zeros (-ftrivial-auto-var-init), which for a buffer of 4 KiB costs more than
 * what is done with it.
 */
#ifndef BASE_UNINIT_H
#define BASE_UNINIT_H

#ifdef __has_attribute
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif

#endif

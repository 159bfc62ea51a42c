/*
 * One system call instead of a hundred page faults at the start. A position-independent program
 * moves the addresses in its tables to where it was loaded before anything else, and OpenSSL's
 * tables fill a hundred pages of the writable segment, nearly all that the file has of it, each of
 * which would be fetched by a fault of its own. On machines
 * where a fault is dear (virtual ones) that is a third of the time until the agent starts.
 *
 * libc's start calls this instead of its own function (--wrap, cmake/static.cmake), before
 * anything works: no address has been moved yet, there is no thread pointer, so no errno and no
 * stack protector. Hence the system call by hand, for the machines that we know; the others take
 * the faults, and so do kernels that do not know the advice (before Linux 5.14).
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Of all machines: 4 KiB, and 16 or 64 KiB on arm64. How large they are here is not known so early;
 * the kernel refuses (EINVAL) an address that is not the first of a page. */
enum { PREFAULT_PAGE_MIN = 4 << 10, PREFAULT_PAGE_MAX = 64 << 10 };

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* the linker's */

void __real__dl_relocate_static_pie(void);
void __wrap__dl_relocate_static_pie(void);

/* 0, or the negative errno. */
static long advise(uintptr_t from, uintptr_t bytes)
{
#if defined(__x86_64__)
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_madvise), "D"(from), "S"(bytes), "d"(MADV_POPULATE_WRITE)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register uintptr_t x0 __asm__("x0") = from;
    register uintptr_t x1 __asm__("x1") = bytes;
    register uintptr_t x2 __asm__("x2") = MADV_POPULATE_WRITE;
    register uintptr_t x8 __asm__("x8") = SYS_madvise;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
    return (long)x0;
#else
    (void)from;
    (void)bytes;
    return 0;
#endif
}

/* From the page that `from` is in; the kernel rounds the end itself. */
static void prefault(uintptr_t from, uintptr_t end)
{
    for (uintptr_t page = PREFAULT_PAGE_MIN; page <= PREFAULT_PAGE_MAX; page *= 4) {
        uintptr_t first = from - from % page;

        if (advise(first, end - first) != -EINVAL)
            return;
    }
}

__attribute__((optimize("no-stack-protector"))) void __wrap__dl_relocate_static_pie(void)
{
    uintptr_t base = (uintptr_t)&__ehdr_start;
    const ElfW(Phdr) *header = (const void *)(base + __ehdr_start.e_phoff);

    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
        uintptr_t from = base + header[i].p_vaddr;
        uintptr_t end = from + header[i].p_filesz; /* what is zeroed behind it is hardly used */

        if (header[i].p_type != PT_LOAD || !(header[i].p_flags & PF_W))
            continue;
        prefault(from, end);
    }
    __real__dl_relocate_static_pie();
}

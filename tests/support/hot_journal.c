#include "support/hot_journal.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { PAGE = 4096, SECTOR = 512, NONCE = 7, STRIDE = 200, PENDING_BYTE = 0x40000000 };

static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

struct image {
    uint8_t p[SECTOR + 2 * PAGE];
    size_t n;
};

static void put(struct image *j, const void *p, size_t n)
{
    MUST(j->n + n <= sizeof(j->p));
    memcpy(j->p + j->n, p, n);
    j->n += n;
}

static void put_32(struct image *j, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    put(j, b, sizeof(b));
}

static void put_page(struct image *j, const uint8_t page[PAGE])
{
    uint32_t sum = NONCE;

    for (int i = PAGE - STRIDE; i > 0; i -= STRIDE)
        sum += page[i];
    put_32(j, 1);
    put(j, page, PAGE);
    put_32(j, sum);
}

static void put_super(struct image *j, const char *name)
{
    uint32_t sum = 0;

    for (const char *p = name; *p; p++)
        sum += (uint32_t)(int)*p; /* plain chars, as SQLite's, signed or not as on this machine */
    put_32(j, PENDING_BYTE / PAGE + 1);
    put(j, name, strlen(name));
    put_32(j, (uint32_t)strlen(name));
    put_32(j, sum);
    put(j, magic, sizeof(magic));
}

void hot_journal_make(const char *path, const char *victim)
{
    static struct image j;
    uint8_t page[PAGE];
    char name[700];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

    MUST(end >= PAGE && pread(fd, page, PAGE, 0) == PAGE);
    (void)close(fd);
    memset(&j, 0, sizeof(j));
    put(&j, magic, sizeof(magic));
    put_32(&j, 1); /* pages in it */
    put_32(&j, NONCE);
    put_32(&j, (uint32_t)(end / PAGE)); /* of the database before */
    put_32(&j, SECTOR);
    put_32(&j, PAGE);
    j.n = SECTOR;
    put_page(&j, page);
    put_super(&j, victim);
    (void)snprintf(name, sizeof(name), "%s-journal", path);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, j.p, j.n) == (ssize_t)j.n);
    (void)close(fd);
}

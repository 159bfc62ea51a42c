/*
 * The multipart reader tells the same however the body is cut. The first byte is the size of the
 * pieces; the boundary is fixed, so that the fuzzer meets it.
 */
#include "proxy/multipart.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 1024 * 1024 };

struct told {
    char p[TOLD_MAX];
    size_t n;
    long code;
};

static void tell(struct told *t, const char *p, size_t n)
{
    if (n > TOLD_MAX - t->n)
        n = TOLD_MAX - t->n;
    if (n > 0)
        memcpy(t->p + t->n, p, n);
    t->n += n;
}

/* Content as it is; everything else as a word that no content can fake past the fixed size. */
static void tell_event(struct told *t, const struct multipart_event *e)
{
    switch (e->kind) {
    case MULTIPART_PART:
        tell(t, "\nPART ", 6);
        tell(t, e->name.p, e->name.n);
        tell(t, "|", 1);
        tell(t, e->filename.p, e->filename.n);
        tell(t, "|", 1);
        tell(t, e->type.p, e->type.n);
        tell(t, "\n", 1);
        break;
    case MULTIPART_DATA:
        if (e->data.n == 0)
            abort();
        tell(t, e->data.p, e->data.n);
        break;
    case MULTIPART_PART_END:
        tell(t, "\nEND OF PART\n", 13);
        break;
    case MULTIPART_END:
        tell(t, "\nEND\n", 5);
        break;
    case MULTIPART_MORE:
        break;
    }
}

static void run(struct told *t, struct slice in, size_t step)
{
    static struct multipart m;
    const char *why = NULL;

    t->n = 0;
    t->code = multipart_begin(&m, SLICE("multipart/form-data; boundary=b0"));
    while (in.n > 0 && t->code >= 0) {
        struct slice piece = {in.p, in.n < step ? in.n : step};

        in.p += piece.n;
        in.n -= piece.n;
        for (;;) {
            struct multipart_event e;

            t->code = multipart_feed(&m, piece, &e, &why);
            if (t->code < 0)
                break;
            tell_event(t, &e);
            piece.p += t->code;
            piece.n -= (size_t)t->code;
            if (e.kind == MULTIPART_MORE)
                break;
        }
        if (t->code >= 0 && piece.n > 0)
            abort(); /* MORE means that all was taken */
    }
    if (t->code < 0 && !why)
        abort();
    t->code = t->code < 0 ? -1 : multipart_is_complete(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct told one, pieces;
    struct slice in = {(const char *)data + 1, size - 1};

    if (size == 0)
        return 0;
    run(&one, in, in.n + 1);
    run(&pieces, in, data[0] % 13U + 1);
    if (one.code != pieces.code || one.n != pieces.n || memcmp(one.p, pieces.p, one.n) != 0)
        abort();
    return 0;
}

/*
 * Feeds every file of the folders (or files) named as arguments to the fuzz target it is linked
 * with, so that the corpus and every input that once crashed run as an ordinary test, with any
 * compiler.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    struct stat st;
    uint8_t *data;
    size_t n;

    if (!f || fstat(fileno(f), &st) < 0) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        if (f)
            (void)fclose(f);
        return -1;
    }
    data = malloc(st.st_size > 0 ? (size_t)st.st_size
                                 : 1); /* exact size: a read past the end is seen by ASan */
    if (!data)
        abort();
    n = fread(data, 1, (size_t)st.st_size, f);
    (void)fclose(f);
    (void)LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long passed = 0, failed = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;
        struct dirent **entries = NULL;
        int n;

        if (stat(argv[i], &st) < 0) {
            fprintf(stderr, "cannot read %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
        if (!S_ISDIR(st.st_mode)) {
            if (replay_file(argv[i]) == 0)
                passed++;
            else
                failed++;
            continue;
        }
        n = scandir(argv[i], &entries, NULL, alphasort);
        for (int j = 0; j < n; j++) {
            char path[4096];

            if (entries[j]->d_name[0] != '.') {
                (void)snprintf(path, sizeof(path), "%s/%s", argv[i], entries[j]->d_name);
                if (replay_file(path) == 0)
                    passed++;
                else
                    failed++;
            }
            free(entries[j]);
        }
        free(entries);
    }
    printf("replayed: %lu passed, %lu failed\n", passed, failed);
    return failed || !passed ? 1 : 0;
}

/*
 * Whatever an agent answers, it means something: a text that can be stored and sent, ids that fit,
 * a sentence for each failure. The first byte chooses the status and whether a task was named.
 */
#include "inbox/agent_answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 204, 400, 404, 413, 500, 503, 302};
    struct agent_answer a;
    size_t n;

    if (size == 0)
        return 0;
    MUST(agent_answer_read(statuses[data[0] & 7], (struct slice){(const char *)data + 1, size - 1},
                           data[0] & 8, &a) == 0);
    for (struct slice rest = str_slice(&a.text); rest.n > 0;
         rest = (struct slice){rest.p + n, rest.n - n}) {
        n = slice_utf8_next(rest);
        MUST(n > 0 && rest.p[0] != '\0');
    }
    MUST(memchr(a.task_id, '\0', sizeof(a.task_id)) &&
         memchr(a.context_id, '\0', sizeof(a.context_id)));
    MUST(a.said < AGENT_FORGOT || a.why[0]);
    MUST(a.said != AGENT_WORKING || a.task_id[0]);
    MUST(a.said != AGENT_ASKS || a.text.len > 0);
    MUST(a.said != AGENT_FORGOT || (data[0] & 8));
    agent_answer_release(&a);
    return 0;
}

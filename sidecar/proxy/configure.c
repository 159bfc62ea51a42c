/*
 * What of the configuration the proxy keeps a copy of, and taking it anew after a reload. All else
 * is read from the struct when it is used.
 */
#include "proxy/proxy.h"

#include "base/err.h"
#include "proxy/state.h"

#include <assert.h>

#include "base/banned.h"

static int load_sources(struct sources *to, const char *key, const struct string_list *list,
                        struct err *err)
{
    int code = 0;

    to->n = 0;
    for (size_t i = 0; i < list->n && code == 0; i++)
        code = sources_add(to, key, slice_of(list->v[i]), err);
    return code;
}

int proxy_load_sources(const struct config *cfg, struct sources *trusted, struct sources *allowed,
                       struct err *err)
{
    int code = load_sources(trusted, "listen.trusted_proxies", &cfg->listen.trusted_proxies, err);

    return code ? code
                : load_sources(allowed, "listen.allow_sources", &cfg->listen.allow_sources, err);
}

int proxy_check(const struct config *next, struct err *err)
{
    struct sources trusted, allowed;

    return proxy_load_sources(next, &trusted, &allowed, err);
}

void proxy_configure(struct proxy *p)
{
    const struct config_forward *f = &p->cfg->forward;
    int code = proxy_load_sources(p->cfg, &p->trusted, &p->allowed, NULL);

    assert(code == 0); /* proxy_check() has seen them */
    deadline_class_set(&p->hold_class, f->hold_timeout);
    deadline_class_set(&p->response_class, f->response_timeout);
    deadline_class_set(&p->comment_class, f->keepalive_interval);
    if (p->gate == PROXY_OPEN)
        hold_open(p); /* there may be more places now */
}

/*
 * Who a peer is (P sections 14.1, 14.2): name and role from the list of peers, else the name from
 * discover; the card's address is derived. Nobody waits for it: what is not known yet is empty, and
 * asked for. Names are the peers' own words: cleaned before they are kept.
 */
#include "inbox/parts.h"

#include "base/cleanup.h"
#include "base/json_read.h"
#include "base/parse.h"
#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

enum {
    PEERS_MAX = 1024,                   /* the longest unused goes first */
    PEERS_TTL_MS = 300 * 1000,          /* P section 14.2 */
    PEERS_AGAIN_MS = 30 * 1000,         /* after a failure */
    PEERS_LIST_BYTES = 4 * 1024 * 1024, /* cards are in it */
};

struct peer {
    struct list node; /* the last used is first */
    char id[37];
    struct peer_facts facts;
    int64_t asked_ms; /* when this one was last asked for or told; 0 = never */
    bool is_wanted;   /* discover is to be asked */
};

struct peers {
    struct inbox *i;
    struct list known;
    size_t n;
    struct call list_call, discover_call;
    char discovering[37];
    int64_t list_ms; /* when the list may be asked for again; 0 = now */
    bool has_list;
};

int peers_new(struct inbox *i)
{
    struct peers *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->i = i;
    list_init(&p->known);
    i->peers = p;
    return 0;
}

void peers_free(struct inbox *i)
{
    struct peers *p = i->peers;
    struct list *node;

    if (!p)
        return;
    call_cancel(&p->list_call);
    call_cancel(&p->discover_call);
    while ((node = list_pop(&p->known)))
        free(container_of(node, struct peer, node));
    free(p);
    i->peers = NULL;
}

/* ---- the cache ---------------------------------------------------------------------------------
 */

static struct peer *find(struct peers *p, const char *id)
{
    LIST_FOREACH(node, &p->known)
    {
        struct peer *peer = container_of(node, struct peer, node);

        if (strcmp(peer->id, id) == 0)
            return peer;
    }
    return NULL;
}

static struct peer *find_or_make(struct peers *p, const char *id)
{
    struct peer *peer = find(p, id);

    if (!peer && p->n == PEERS_MAX) { /* the longest unused becomes this one */
        peer = container_of(p->known.prev, struct peer, node);
        list_remove(&peer->node);
        *peer = (struct peer){0};
    } else if (peer) {
        list_remove(&peer->node);
    } else {
        peer = calloc(1, sizeof(*peer));
        if (!peer)
            return NULL;
        p->n++;
    }
    (void)snprintf(peer->id, sizeof(peer->id), "%s", id);
    list_prepend(&p->known, &peer->node);
    return peer;
}

static bool is_allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.-/+:@()", c));
}

/* P section 14.2: a set of characters, single blanks, 64 of them. */
static void clean_name(const char *text, char *ret, size_t cap)
{
    size_t n = 0;

    for (; *text && n + 1 < cap; text++) {
        if (is_allowed(*text))
            ret[n++] = *text;
        else if (strchr(" \t\r\n", *text) && n > 0 && ret[n - 1] != ' ')
            ret[n++] = ' ';
    }
    while (n > 0 && ret[n - 1] == ' ')
        n--;
    ret[n] = '\0';
}

static void set_facts(struct peers *p, const char *id, const char *name, const char *role)
{
    struct peer *peer = find_or_make(p, id);

    if (!peer)
        return;
    peer->asked_ms = loop_now_ms(p->i->loop);
    peer->is_wanted = false;
    clean_name(name, peer->facts.name, sizeof(peer->facts.name));
    clean_name(role, peer->facts.role, sizeof(peer->facts.role));
}

void peers_learn(struct inbox *i, const struct row *r)
{
    if (r->peer_name[0] || r->peer_role[0])
        set_facts(i->peers, r->source_id, r->peer_name, r->peer_role);
}

/* ---- the platform ------------------------------------------------------------------------------
 */

static const char *text_of(struct json_object *o, const char *name)
{
    struct json_object *v = json_read_member(o, name);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static void discover_next(struct peers *p);

static void on_list(void *arg, const struct reply *r)
{
    struct peers *p = arg;
    struct json_object *o = r->class == REPLY_OK ? json_read(r->json) : NULL;
    size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
    int64_t now = loop_now_ms(p->i->loop);

    if (n > PEERS_MAX / 2)
        n = PEERS_MAX / 2; /* those that do write to us keep their places */
    for (size_t k = 0; k < n; k++) {
        struct json_object *peer = json_object_array_get_idx(o, k);
        char id[37];

        if (!is_uuid(slice_of(text_of(peer, "id"))))
            continue;
        memcpy(id, text_of(peer, "id"), sizeof(id));
        uuid_lower(id);
        set_facts(p, id, text_of(peer, "name"), text_of(peer, "role"));
    }
    p->has_list = json_object_is_type(o, json_type_array);
    p->list_ms = now + (p->has_list ? PEERS_TTL_MS : PEERS_AGAIN_MS);
    if (!p->has_list)
        log_debug("inbox", "the list of peers: %s", r->error);
    json_object_put(o);
    discover_next(p);
}

static void on_discovered(void *arg, const struct reply *r)
{
    struct peers *p = arg;
    struct peer *peer = find(p, p->discovering);

    if (r->class == REPLY_OK) {
        struct json_object *o = json_read(r->json);

        set_facts(p, p->discovering, text_of(o, "name"), "");
        json_object_put(o);
    } else if (peer) { /* kept as it is; "not to be found" for as long as a name */
        bool is_final = r->status == 403 || r->status == 404;

        peer->is_wanted = false;
        peer->asked_ms = loop_now_ms(p->i->loop) - (is_final ? 0 : PEERS_TTL_MS - PEERS_AGAIN_MS);
    }
    discover_next(p);
}

static void discover_next(struct peers *p)
{
    char path[96];

    if (call_is_busy(&p->discover_call) || call_is_busy(&p->list_call))
        return;
    LIST_FOREACH(node, &p->known)
    {
        struct peer *peer = container_of(node, struct peer, node);

        if (!peer->is_wanted)
            continue;
        (void)snprintf(p->discovering, sizeof(p->discovering), "%s", peer->id);
        (void)snprintf(path, sizeof(path), "/registry/discover/%s", peer->id);
        call_send(&p->discover_call, p->i->transport, path, (struct slice){0}, 0, on_discovered, p);
        return;
    }
}

static void ask(struct peers *p)
{
    char path[96];

    if (call_is_busy(&p->list_call))
        return;
    if (loop_now_ms(p->i->loop) < p->list_ms) {
        discover_next(p);
        return;
    }
    (void)snprintf(path, sizeof(path), "/registry/%.36s/peers", p->i->cfg->workspace.id);
    p->list_call.max_answer_bytes = PEERS_LIST_BYTES;
    call_send(&p->list_call, p->i->transport, path, (struct slice){0}, 0, on_list, p);
}

void peers_find(struct inbox *i, const char *peer_id, struct peer_facts *ret)
{
    struct peers *p = i->peers;
    int64_t now = loop_now_ms(i->loop);
    struct peer *peer;

    *ret = (struct peer_facts){0};
    if (!is_uuid(slice_of(peer_id)))
        return;
    peer = find_or_make(p, peer_id);
    if (peer)
        *ret = peer->facts;
    (void)snprintf(ret->card_url, sizeof(ret->card_url), "%s/registry/discover/%s",
                   i->cfg->platform.url, peer_id);
    bool is_old = peer && (peer->asked_ms == 0 || now - peer->asked_ms >= PEERS_TTL_MS);
    if (!is_old || transport_rate_is_short(i->transport) || i->is_finishing)
        return;
    peer->is_wanted = true; /* unless the list names it */
    ask(p);
}

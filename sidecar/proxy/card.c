/*
 * Cutting and replacing in a card's bytes. Where the base comes from (configuration, trusted
 * forwarded fields, Host) is local.c's business; URLs are mapped by card_url.c.
 */
#include "proxy/card.h"

#include "base/cleanup.h"
#include "base/json_scan.h"

#include <errno.h>

#include "base/banned.h"

/* Entries compared with one another, per card: a few milliseconds. 64 usual ones are half of it.
 */
enum { TWINS_MAX_BYTES = 2 * 1024 * 1024 };

/* One rewriting of one card. */
struct edit {
    const struct card_base *base;
    struct slice endpoint;     /* for the platform: what `url` becomes; "" = map it */
    bool for_platform;         /* what cannot be mapped is removed instead of kept */
    bool drop_signatures;      /* second pass: the first one changed something */
    struct slice promoted_url; /* mapped URL (decoded) that replaces a `url` nobody can reach */
    struct slice promoted_transport; /* its raw token */
    bool keeps_url;                  /* `url` cannot pass us, and nothing can take its place */
    int remarks;                     /* enum card_remark */
    struct str *out;
    size_t compared_bytes; /* of entries, looking for twins */
    int failed;            /* -EBADMSG once an interface list is too long */
};

/* What to do with a member or element. */
enum verdict { KEEP = 0, REPLACE, DROP };

static bool token_is(struct slice token, const char *text)
{
    return json_string_eq(token, text);
}

/* The decoded string, or false (not a string, too long for a URL). */
static bool decode(struct slice token, char buf[CARD_URL_MAX + 1], struct slice *ret)
{
    long n;

    if (json_type_of(token) != JSON_STRING)
        return false;
    n = json_string_decode(token, buf, CARD_URL_MAX + 1);
    if (n < 0)
        return false;
    *ret = (struct slice){buf, (size_t)n};
    return true;
}

/*
 * Is this the member of that name? For the platform also in other spellings: Go's reader of JSON,
 * which may be behind it, takes names without regard to case, and U+017F (long s) as an s.
 */
static bool key_is(const struct edit *e, struct slice key, const char *name)
{
    char buf[CARD_URL_MAX + 1];
    struct slice text;
    size_t n = 0;

    if (token_is(key, name))
        return true;
    if (!e->for_platform || !decode(key, buf, &text))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        bool is_long_s = text.n - i > 1 && memcmp(buf + i, "\xC5\xBF", 2) == 0;

        buf[n++] = is_long_s ? 's' : buf[i];
        i += is_long_s;
    }
    return slice_eq_nocase((struct slice){buf, n}, slice_of(name));
}

/* The new value of a URL token into `ret` (decoded). */
static enum verdict map_url(struct edit *e, struct slice token, struct str *ret)
{
    char buf[CARD_URL_MAX + 1];
    struct slice url;
    int mapped = -EINVAL;

    if (e->base->url.n > 0 && decode(token, buf, &url))
        mapped = card_url_map(e->base, url, ret);
    if (mapped == 1)
        return REPLACE;
    if (mapped < 0)
        e->remarks |= CARD_UNMAPPED;
    return mapped == 0 || !e->for_platform ? KEEP : DROP;
}

/* The binding's token: 1.0 calls it protocolBinding, 0.3 transport. Empty when absent. */
static struct slice entry_binding(struct slice entry)
{
    struct slice token = {0};

    if (!json_member(entry, "protocolBinding", &token, NULL))
        (void)json_member(entry, "transport", &token, NULL); /* absent: token stays empty */
    return token;
}

static bool binding_is_reachable(struct slice token)
{
    char buf[CARD_URL_MAX + 1];
    struct slice name;

    if (token.n == 0 || json_type_of(token) == JSON_NULL)
        return true;
    return decode(token, buf, &name) &&
           (slice_eq_nocase(name, SLICE("JSONRPC")) || slice_eq_nocase(name, SLICE("HTTP+JSON")));
}

/* What the entry's `url` becomes (decoded, in ret when REPLACE), or DROP the entry. */
static enum verdict judge_entry(struct edit *e, struct slice entry, struct str *ret)
{
    struct slice binding, token, url;
    char buf[CARD_URL_MAX + 1];
    enum verdict verdict;

    if (json_type_of(entry) != JSON_OBJECT)
        return e->for_platform ? DROP : KEEP;
    binding = entry_binding(entry);
    if (!binding_is_reachable(binding))
        return DROP;
    if (!json_member(entry, "url", &token, NULL))
        return e->for_platform ? DROP : KEEP;
    if (e->endpoint.n > 0) {
        if (binding.n > 0 && !token_is(binding, "JSONRPC"))
            return DROP; /* the registered URL takes JSON-RPC; where REST would be is not known */
        str_add(ret, e->endpoint);
        return REPLACE;
    }
    verdict = map_url(e, token, ret);
    if (verdict == KEEP && e->for_platform && decode(token, buf, &url)) {
        str_add(ret, url); /* and for all other members of that name */
        return REPLACE;
    }
    return verdict;
}

/* The entry with its URL replaced (every member of that name: readers differ in which they take).
 */
static void put_entry(const struct edit *e, struct slice entry, const struct str *url,
                      struct str *out)
{
    const char *from = entry.p;
    struct json_iter it;

    if (json_iter_begin(&it, entry)) {
        while (json_next(&it)) {
            if (!key_is(e, it.key, "url"))
                continue;
            str_add(out, (struct slice){from, (size_t)(it.value.p - from)});
            str_add_json(out, str_slice(url));
            from = it.value.p + it.value.n;
        }
    }
    str_add(out, (struct slice){from, (size_t)(entry.p + entry.n - from)});
}

static bool same_member(struct slice a, struct slice b, const char *name)
{
    struct slice x = {0}, y = {0};
    char xs[CARD_URL_MAX + 1], ys[CARD_URL_MAX + 1];
    bool has_x = json_member(a, name, &x, NULL);
    bool has_y = json_member(b, name, &y, NULL);

    if (!has_x || !has_y)
        return has_x == has_y;
    if (slice_eq(x, y))
        return true;
    return decode(x, xs, &x) && decode(y, ys, &y) && slice_eq(x, y);
}

/* Equal for a caller: the same address, binding, version and tenant. A list of the agent's making
 * must not keep us busy: after TWINS_MAX_BYTES twins stay in. */
static bool same_entry(struct edit *e, struct slice a, struct slice b)
{
    static const char *const names[] = {"url", "protocolBinding", "transport", "protocolVersion",
                                        "tenant"};

    e->compared_bytes += a.n + b.n;
    if (e->compared_bytes > TWINS_MAX_BYTES || json_type_of(a) != JSON_OBJECT ||
        json_type_of(b) != JSON_OBJECT)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!same_member(a, b, names[i]))
            return false;
    }
    return true;
}

/*
 * An interface list without what cannot be reached or was there already. Returns how many entries
 * were kept. With none kept, out holds nothing of use.
 */
static size_t put_list(struct edit *e, struct slice list, struct str *out)
{
    /* offsets, not pointers: `out` moves while it grows */
    size_t at[CARD_INTERFACES_MAX], len[CARD_INTERFACES_MAX];
    const char *end = list.p; /* of the entry before */
    struct json_iter it;
    size_t kept = 0, seen = 0;

    if (!json_iter_begin(&it, list))
        return 0;
    while (json_next(&it)) {
        CLEANUP(str_release) struct str url = {0};
        enum verdict verdict = judge_entry(e, it.value, &url);
        size_t mark = out->len;
        bool is_twin = false;

        if (++seen > CARD_INTERFACES_MAX) {
            e->failed = -EBADMSG;
            return 0;
        }
        if (verdict == DROP) {
            if (kept == 0 && seen == 1) /* what stands before the first entry is the bracket */
                str_add(out, (struct slice){end, (size_t)(it.value.p - end)});
            end = it.value.p + it.value.n;
            continue;
        }
        if (kept > 0 || seen == 1)
            str_add(out, (struct slice){end, (size_t)(it.value.p - end)});
        end = it.value.p + it.value.n;
        at[kept] = out->len;
        if (verdict == REPLACE)
            put_entry(e, it.value, &url, out);
        else
            str_add(out, it.value);
        len[kept] = out->len - at[kept];
        if (!str_ok(out))
            return 0;
        for (size_t i = 0; i < kept && !is_twin; i++)
            is_twin = same_entry(e, (struct slice){out->p + at[i], len[i]},
                                 (struct slice){out->p + at[kept], len[kept]});
        if (is_twin)
            str_truncate(out, mark);
        else
            kept++;
    }
    str_add(out, (struct slice){end, (size_t)(list.p + list.n - end)});
    return kept;
}

/* The new value of one member of the card into `value` when REPLACE. */
static enum verdict judge_list(struct edit *e, struct slice list, struct str *value)
{
    struct json_iter it;

    if (json_type_of(list) == JSON_ARRAY && put_list(e, list, value) > 0)
        return REPLACE;
    /* Empty before, or nothing in it can pass us: then the agent's own word is all there is. */
    if (json_iter_begin(&it, list) && !it.is_object && json_next(&it))
        e->remarks |= CARD_UNREACHABLE;
    return e->for_platform ? DROP : KEEP;
}

static enum verdict judge_url(struct edit *e, struct slice token, struct str *value)
{
    CLEANUP(str_release) struct str url = {0};
    enum verdict verdict;

    if (e->endpoint.n > 0) {
        str_add_json(value, e->endpoint);
        return REPLACE;
    }
    if (e->promoted_url.n > 0) {
        str_add_json(value, e->promoted_url);
        return REPLACE;
    }
    if (e->keeps_url)
        return KEEP;
    verdict = map_url(e, token, &url);
    if (verdict == REPLACE)
        str_add_json(value, str_slice(&url));
    return verdict;
}

static enum verdict judge_member(struct edit *e, struct slice key, struct slice value,
                                 struct str *ret)
{
    if (key_is(e, key, "url"))
        return judge_url(e, value, ret);
    if (key_is(e, key, "additionalInterfaces") || key_is(e, key, "supportedInterfaces"))
        return judge_list(e, value, ret);
    if (e->promoted_transport.n > 0 && token_is(key, "preferredTransport")) {
        str_add(ret, e->promoted_transport);
        return REPLACE;
    }
    if (e->drop_signatures && token_is(key, "signatures"))
        return DROP;
    return KEEP;
}

/* The whole card. What stands between two members goes with the second of them. */
static int put_card(struct edit *e, struct slice card)
{
    const char *end = card.p;
    struct json_iter it;
    bool has_url = false, any = false, first = true;

    if (!json_iter_begin(&it, card) || !it.is_object)
        return -EBADMSG;
    while (json_next(&it)) {
        CLEANUP(str_release) struct str value = {0};
        enum verdict verdict = judge_member(e, it.key, it.value, &value);
        struct slice before = {end, (size_t)(it.key.p - end)};

        if (!str_ok(&value))
            return -ENOMEM;
        if (first || (verdict != DROP && any))
            str_add(e->out, before);
        first = false;
        end = it.value.p + it.value.n;
        if (verdict == DROP)
            continue;
        any = true;
        has_url |= token_is(it.key, "url");
        str_add(e->out, (struct slice){it.key.p, (size_t)(it.value.p - it.key.p)});
        str_add(e->out, verdict == REPLACE ? str_slice(&value) : it.value);
    }
    if (first) { /* no member at all: what follows goes behind the bracket */
        end = (const char *)memchr(card.p, '{', card.n) + 1;
        str_add(e->out, (struct slice){card.p, (size_t)(end - card.p)});
    }
    if (e->endpoint.n > 0 && !has_url) {
        str_addz(e->out, any ? ",\"url\":" : "\"url\":");
        str_add_json(e->out, e->endpoint);
    }
    str_add(e->out, (struct slice){end, (size_t)(card.p + card.n - end)});
    if (e->failed)
        return e->failed;
    return str_ok(e->out) ? 0 : -ENOMEM;
}

/*
 * A `url` whose preferredTransport cannot pass us: the first entry of additionalInterfaces that can
 * takes its place (A section 3.6, step 6). buf holds the decoded URL.
 */
static void find_promoted(struct edit *e, struct slice card, struct str *buf)
{
    struct slice transport, list, url;
    struct json_iter it;

    if (!json_member(card, "url", &url, NULL) ||
        !json_member(card, "preferredTransport", &transport, NULL) ||
        binding_is_reachable(transport))
        return;
    e->keeps_url = !e->for_platform; /* unless something is found */
    if (!json_member(card, "additionalInterfaces", &list, NULL) || !json_iter_begin(&it, list))
        return;
    while (json_next(&it)) {
        enum verdict verdict;
        struct slice binding, token;
        char raw[CARD_URL_MAX + 1];

        if (it.type != JSON_OBJECT)
            continue;
        str_truncate(buf, 0);
        verdict = judge_entry(e, it.value, buf);
        binding = entry_binding(it.value);
        if (verdict == DROP || json_type_of(binding) != JSON_STRING)
            continue;
        if (verdict == KEEP && json_member(it.value, "url", &token, NULL) &&
            decode(token, raw, &url))
            str_add(buf, url);
        if (buf->len == 0 || !str_ok(buf))
            continue;
        e->promoted_url = str_slice(buf);
        e->promoted_transport = binding;
        return;
    }
}

/* An empty list says that there are none, which stays true whatever we change. */
static bool is_signed(struct slice card)
{
    struct slice signatures;
    struct json_iter it;
    size_t count;

    if (!json_member(card, "signatures", &signatures, &count))
        return false;
    return count > 1 || json_type_of(signatures) != JSON_ARRAY ||
           !json_iter_begin(&it, signatures) || json_next(&it);
}

static int rewrite(struct slice card, struct edit *e, struct err *err)
{
    CLEANUP(str_release) struct str promoted = {0};
    int code;

    if (json_validate(card) != JSON_OBJECT)
        return err_set(err, -EBADMSG, "the agent's card is not a JSON object");
    find_promoted(e, card, &promoted);
    code = put_card(e, card);
    if (code == 0 && !slice_eq(str_slice(e->out), card) && is_signed(card)) {
        str_truncate(e->out, 0);
        e->drop_signatures = true;
        code = put_card(e, card);
    }
    if (e->keeps_url && e->promoted_url.n == 0)
        e->remarks |= CARD_UNREACHABLE;
    if (code == -EBADMSG)
        return err_set(err, code, "the agent's card lists more than %d interfaces",
                       CARD_INTERFACES_MAX);
    return code ? err_set(err, code, "no memory for the agent's card") : 0;
}

int card_rewrite(struct slice card, const struct card_base *base, enum card_signatures signatures,
                 struct str *out, struct err *err)
{
    struct edit e = {.base = base, .out = out};
    int code;

    if (signatures == CARD_SIGNATURES_PASS || base->url.n == 0) {
        if (json_validate(card) != JSON_OBJECT)
            return err_set(err, -EBADMSG, "the agent's card is not a JSON object");
        str_add(out, card);
        return str_ok(out) ? 0 : err_set(err, -ENOMEM, "no memory for the agent's card");
    }
    code = rewrite(card, &e, err);
    return code ? code : e.remarks;
}

int card_rewrite_for_platform(struct slice card, const struct card_base *base,
                              struct slice endpoint, struct str *out, struct err *err)
{
    struct edit e = {.base = base, .endpoint = endpoint, .for_platform = true, .out = out};

    return rewrite(card, &e, err);
}

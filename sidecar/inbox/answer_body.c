/*
 * Writes the bodies of /notify and /a2a, reads the envelope that is answered.
 */
#include "inbox/answer_body.h"

#include "base/json_write.h"
#include "inbox/row.h"

#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum { SHA1_BYTES = 20, UUID_BYTES = 16 };

void asked_read(const char *request, struct asked *ret)
{
    struct json_object *o = NULL;
    struct row_about about;

    *ret = (struct asked){0};
    if (!request || row_request_parse(request, &o) < 0) {
        ret->is_unreadable = true;
        return;
    }
    row_about(o, &about);
    ret->is_from_agent = about.is_from_agent;
    ret->is_reply = about.is_reply;
    ret->hops = about.hops;
    (void)snprintf(ret->context_id, sizeof(ret->context_id), "%s", about.context_id);
    json_object_put(o);
}

const char *asked_forbids(const struct asked *a)
{
    if (a->is_unreadable)
        return "not sent: the message cannot be read again, so it may be a reply itself";
    if (a->is_from_agent || a->is_reply)
        return "not sent: the message is a reply itself, and replies to replies never end";
    if (a->hops >= ANSWER_HOPS_MAX)
        return "not sent: the message has come through too many automatic replies already";
    return NULL;
}

static bool uuid_bytes(const char *uuid, unsigned char ret[UUID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;

    memset(ret, 0, UUID_BYTES);
    for (; *uuid; uuid++) {
        char c = (char)(*uuid >= 'A' && *uuid <= 'F' ? *uuid + ('a' - 'A') : *uuid);
        const char *d = strchr(digits, c);

        if (c == '-')
            continue;
        if (!d || n == (size_t)2 * UUID_BYTES)
            return false;
        ret[n / 2] = (unsigned char)((unsigned)ret[n / 2] << 4 | (unsigned)(d - digits));
        n++;
    }
    return n == (size_t)2 * UUID_BYTES;
}

bool answer_message_id(const char *workspace_id, const char *row_id, unsigned part,
                       char ret[ANSWER_UUID_MAX])
{
    unsigned char space[UUID_BYTES];
    unsigned char h[SHA1_BYTES] = {0};
    char name[128];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int n = snprintf(name, sizeof(name), "reply/%.64s/%u", row_id, part);

    (void)uuid_bytes(workspace_id, space); /* zeros are a name space, too */
    /* SHA-1 is what a version 5 is made of; nothing here rests on its strength */
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, space, sizeof(space)) == 1 &&
              EVP_DigestUpdate(ctx, name, (size_t)n) == 1 && EVP_DigestFinal_ex(ctx, h, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    (void)snprintf(ret, ANSWER_UUID_MAX,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", h[0],
                   h[1], h[2], h[3], h[4], h[5], (h[6] & 0x0f) | 0x50, h[7], (h[8] & 0x3f) | 0x80,
                   h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
    return ok;
}

void answer_person_body(struct slice words, struct str *ret)
{
    str_addz(ret, "{\"message\":");
    str_add_json(ret, words);
    str_addz(ret, "}");
}

void answer_peer_body(const struct journal_message *m, const struct asked *a,
                      const char *message_id, unsigned part, unsigned parts, const char *words,
                      struct str *ret)
{
    struct json_writer w = {.out = ret};

    json_open(&w, NULL, '{');
    json_add_text(&w, "jsonrpc", "2.0");
    json_add_text(&w, "id", message_id);
    json_add_text(&w, "method", "message/send");
    json_open(&w, "params", '{');
    json_open(&w, "message", '{');
    json_add_text(&w, "role", "agent");
    json_add_text(&w, "kind", "message");
    json_add_text(&w, "messageId", message_id);
    if (a->context_id[0])
        json_add_text(&w, "contextId", a->context_id);
    json_open(&w, "parts", '[');
    json_open(&w, NULL, '{');
    json_add_text(&w, "kind", "text");
    json_add_text(&w, "text", words);
    json_close(&w, '}');
    json_close(&w, ']');
    json_open(&w, "metadata", '{');
    if (m->message_id && m->message_id[0])
        json_add_text(&w, "in_reply_to", m->message_id);
    json_add_bool(&w, "reply", true);
    json_add_int(&w, ROW_HOPS_KEY, a->hops + 1);
    if (parts > 1) {
        json_add_int(&w, "part", part + 1);
        json_add_int(&w, "parts", parts);
    }
    json_close(&w, '}');
    json_close(&w, '}');
    json_close(&w, '}');
    json_close(&w, '}');
}

/*
 * Faults on request: what POST /dev/faults asks for, and which calls it hits. A call takes the
 * first fault that matches it.
 */
#ifndef DEVPLATFORM_FAULTS_H
#define DEVPLATFORM_FAULTS_H

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAULTS_MAX = 64, FAULT_LATENCY_MAX_MS = 3600 * 1000 };

struct fault {
    struct list node;
    int64_t id;
    char method[16]; /* "" = any */
    char path[256];  /* prefix, or a pattern with '*': "/workspaces/" + "*" + "/state"; "" = all */
    int64_t latency_ms; /* waits before anything else happens */
    int status;         /* answered instead of the truth; 0 = none */
    char *body;         /* malloc'ed or NULL: {"error":"injected fault"} */
    char content_type[64];
    int64_t retry_after_s; /* header Retry-After; -1 = none */
    bool drop;             /* the connection ends without an answer */
    bool hang;             /* no answer, the connection stays */
    bool after; /* drop, hang or status only after the call took effect: its answer is lost */
    int64_t slow_body_ms; /* half of the answer's body at once, the rest so much later */
    bool cut_body;        /* half of the answer's body, then the connection ends */
    int64_t percent;      /* of the calls that match; the others pass by */
    int64_t left;         /* calls it still hits; -1 = no limit */
    uint64_t hits;
};

struct faults {
    struct list list;
    size_t count;
    int64_t next_id;
    uint64_t dice; /* the state of faults_chance */
};

/* What a call has to suffer: a copy, so that the fault may go meanwhile. */
struct fault_effect {
    int64_t latency_ms;
    int status;
    char *body; /* owned by whoever holds the effect */
    char content_type[64];
    int64_t retry_after_s;
    bool drop, hang, after;
    int64_t slow_body_ms;
    bool cut_body;
};

void faults_init(struct faults *f);
/* Chance from here on is a function of the seed. */
void faults_seed(struct faults *f, uint64_t seed);
bool faults_chance(struct faults *f, int64_t percent); /* true that often */
void faults_release(struct faults *f);
void faults_clear(struct faults *f);

/* One fault out of a JSON object; 0 or -EINVAL with a sentence naming the key. *ret_id may be NULL.
 */
int faults_add(struct faults *f, struct json_object *spec, int64_t *ret_id, struct err *err);
struct json_object *faults_list(const struct faults *f);

/* True when a fault hits this call: *ret is filled (release its body) and the fault's count goes
 * down. */
bool faults_take(struct faults *f, struct slice method, struct slice path,
                 struct fault_effect *ret);

#endif

/*
 * A message in steady state costs no allocation (design section 8). The linker sends our own calls
 * through the functions here, and libuv is told to use them, too; what libc does inside itself is
 * not seen. Only the proxy's thread counts: the test is client and agent in another one.
 */
#include "support/proxy_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define OFF "--platform-enabled", "false"

enum { WARM_UP = 100, MESSAGES = 1000 };

static _Atomic(pthread_t) watched;
static atomic_bool is_counting;
static atomic_long allocations;

static void note(void)
{
    if (atomic_load(&is_counting) && pthread_equal(pthread_self(), atomic_load(&watched)))
        atomic_fetch_add(&allocations, 1);
}

/* The linker's names. */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    note();
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    note();
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    note();
    return __real_realloc(p, n);
}

static void start(struct px *f)
{
    cr_assert_eq(uv_replace_allocator(__wrap_malloc, __wrap_realloc, __wrap_calloc, free), 0);
    px_start(f, OFF, NULL);
    atomic_store(&watched, f->thread);
}

static long stop_counting(void)
{
    atomic_store(&is_counting, false);
    return atomic_exchange(&allocations, 0);
}

struct exchange_bytes {
    const char *asks, *agent_waits_for, *says, *client_waits_for;
};

/* One message on connections that are kept; the first one opens the agent's. */
static void send_one(struct px *f, struct raw *client, struct raw *agent,
                     const struct exchange_bytes *e)
{
    raw_drop(client);
    raw_sendz(client, e->asks);
    if (!agent->p)
        px_accept(f, agent);
    cr_assert(raw_until(agent, e->agent_waits_for), "%s", agent->p);
    raw_drop(agent);
    raw_sendz(agent, e->says);
    cr_assert(raw_until(client, e->client_waits_for), "%s", client->p);
}

static void expect_none(const struct exchange_bytes *e)
{
    struct px f;
    struct raw client, agent = {.fd = -1};

    start(&f);
    atomic_store(&is_counting, true);
    px_client(&f, &client);
    send_one(&f, &client, &agent, e);
    cr_assert_gt(stop_counting(), 0, "a connection and its buffers were made");
    for (int i = 0; i < WARM_UP; i++)
        send_one(&f, &client, &agent, e);
    atomic_store(&is_counting, true);
    for (int i = 0; i < MESSAGES; i++)
        send_one(&f, &client, &agent, e);
    cr_expect_eq(stop_counting(), 0);
    cr_expect_eq(px_stats(&f)->upstream_connects_total, 1);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

Test(proxy_allocations, a_message_costs_none)
{
    static const struct exchange_bytes e = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        "Content-Length: 19\r\n\r\n{\"id\":7,\"params\":1}",
        "\"params\":1}",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
        "{\"result\":1}",
        "{\"result\":1}"};

    expect_none(&e);
}

Test(proxy_allocations, nor_does_a_chunked_one)
{
    static const struct exchange_bytes e = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"id\":7}\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n"};

    expect_none(&e);
}

Test(proxy_allocations, nor_does_an_event)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    static const char event[] = "data: {\"result\":{\"status\":{\"state\":\"working\"}}}\n\n";
    struct px f;
    struct raw client, agent;

    start(&f);
    px_client(&f, &client);
    raw_sendz(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    px_accept(&f, &agent);
    cr_assert(raw_until(&agent, "\r\n\r\n"));
    raw_sendz(&agent, head);
    for (int i = 0; i < WARM_UP + MESSAGES; i++) {
        atomic_store(&is_counting, i >= WARM_UP);
        raw_sendz(&agent, event);
        cr_assert(raw_until(&client, "\n\n"), "%s", client.p);
        raw_drop(&client);
    }
    cr_expect_eq(stop_counting(), 0);
    raw_close(&client);
    raw_close(&agent);
    px_stop(&f);
}

/*
 * The A2A port's listening socket when a service manager is there: handed over by a .socket unit,
 * or kept in the manager's store while we restart, so that clients that connect meanwhile wait in
 * its backlog instead of being refused.
 *
 * Only TCP sockets are kept: the file of a Unix socket is ours to remove. The admin port is not
 * kept: who probes it shall see that nobody is there.
 */
#include "app/parts.h"

#include "base/fd.h"
#include "log/log.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Is the socket bound where the configuration says? The kernel's choice of a port (0) is as good as
 * any; so is, for an address that nobody chose, the other family. */
static bool is_bound_as(int fd, const struct config_listen *l)
{
    const struct endpoint *want = &l->address;
    struct sockaddr_storage have = {0};
    socklen_t n = sizeof(have);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&have;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&have;
    const void *want_v4 = &((const struct sockaddr_in *)&want->sa)->sin_addr;
    const void *want_v6 = &((const struct sockaddr_in6 *)&want->sa)->sin6_addr;
    in_port_t port;

    if (want->kind != ENDPOINT_TCP || getsockname(fd, (struct sockaddr *)&have, &n) < 0 ||
        (have.ss_family != AF_INET && have.ss_family != AF_INET6)) {
        return false;
    }
    port = ntohs(have.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
    if (want->port != 0 && want->port != port) {
        return false;
    }
    if (have.ss_family != want->sa.ss_family) {
        return l->address_is_default && want->is_any &&
               (have.ss_family == AF_INET
                    ? v4->sin_addr.s_addr == htonl(INADDR_ANY)
                    : memcmp(&v6->sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0);
    }
    return have.ss_family == AF_INET
               ? memcmp(&v4->sin_addr, want_v4, sizeof(struct in_addr)) == 0
               : memcmp(&v6->sin6_addr, want_v6, sizeof(struct in6_addr)) == 0;
}

static void drop(struct app *a, int kept)
{
    log_info("app", "the listening socket that the service manager kept is not the one we are to "
                    "use; dropped");
    notify_remove_fd(a->notify, NOTIFY_KEPT_NAME);
    fd_close(&kept);
}

int sockets_take_a2a(struct app *a)
{
    int handed = notify_listen_fd(NOTIFY_FD_A2A);
    int kept = notify_listen_fd(NOTIFY_FD_KEPT);

    a->is_activated = handed >= 0;
    if (kept < 0) {
        return handed;
    }
    if (handed < 0 && is_bound_as(kept, &a->cfg->listen)) {
        log_info("app", "goes on with the listening socket that the service manager kept");
        return kept;
    }
    drop(a, kept);
    return handed;
}

void sockets_drop_kept(struct app *a)
{
    int kept = notify_listen_fd(NOTIFY_FD_KEPT);

    if (kept >= 0) {
        drop(a, kept);
    }
}

void sockets_keep_a2a(struct app *a)
{
    if (a->a2a && !a->is_activated && server_address(a->a2a)->kind == ENDPOINT_TCP) {
        /* once more after it was taken back: the manager knows equal descriptors */
        notify_store_fd(a->notify, NOTIFY_KEPT_NAME, server_listen_fd(a->a2a));
    }
}

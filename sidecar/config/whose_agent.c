/*
 * What the configuration as a whole says of the agent: whether we see it, whether a stop is its
 * end.
 */
#include "config/config.h"

#include "base/banned.h"

bool config_sees_agent(const struct config *c)
{
    enum ready_kind kind = c->agent.ready_by.kind;

    return c->agent.protocol == AGENT_HTTP || kind == READY_HTTP || kind == READY_CONNECT;
}

bool config_stops_agent(const struct config *c)
{
    return c->command || (config_sees_agent(c) && c->stop.peer != STOP_PEER_OFF);
}

int64_t config_stop_waits_ms(const struct config *c)
{
    return config_stops_agent(c) ? stop_sequence_waits_ms(&c->stop.signal) : 0;
}

/*
 * The handlers, one per route, grouped by the file they live in. Each authenticates, then answers
 * exactly once (call.h).
 */
#ifndef DEVPLATFORM_HANDLERS_H
#define DEVPLATFORM_HANDLERS_H

#include "devplatform/call.h"

/* registry.c: P section 7 */
void handle_register(struct call *c);
void handle_heartbeat(struct call *c);
void handle_update_card(struct call *c);

/* peers.c: P sections 7.4 and 14 */
void handle_check_access(struct call *c);
void handle_peers(struct call *c);
void handle_discover(struct call *c);

/* workspaces.c: P sections 6 and 8 */
void handle_create(struct call *c);
void handle_get(struct call *c);
void handle_delete(struct call *c);
void handle_state(struct call *c);
void handle_pause(struct call *c);
void handle_resume(struct call *c);
void handle_restart(struct call *c);
void handle_budget(struct call *c);

/* secrets.c: P sections 6.3 and 9, tokens and secrets */
void handle_secret_names(struct call *c);
void handle_secret_save(struct call *c);
void handle_secret_values(struct call *c);
void handle_token_list(struct call *c);
void handle_token_mint(struct call *c);
void handle_token_revoke(struct call *c);
void handle_rotate(struct call *c);
void handle_connection(struct call *c);

/* activity.c: P sections 10, 12 and 15 */
void handle_activity(struct call *c);
void handle_activity_report(struct call *c);
void handle_activity_ack(struct call *c);
void handle_notify(struct call *c);

/* a2a.c: P sections 13.1 and 13.4; dispatch.c pushes */
void handle_a2a(struct call *c);
void handle_queue_status(struct call *c);

/* delegations.c: P sections 13.5 and 13.6 */
void handle_delegate(struct call *c);
void handle_delegations(struct call *c);
void handle_delegation_record(struct call *c);
void handle_delegation_update(struct call *c);

/* events.c: P section 11 */
void handle_events(struct call *c);

/* uploads.c: P sections 12 and 17.5 */
void handle_upload(struct call *c);

/* pending.c: P section 16. Keeps the files of an upload for a workspace that polls */
void handle_pending_upload(struct call *c, struct workspace *ws);
void handle_pending_content(struct call *c);
void handle_pending_ack(struct call *c);

/* devtools.c: ours */
void handle_health(struct call *c);
void handle_buildinfo(struct call *c);
void handle_dev_log(struct call *c);
void handle_dev_state(struct call *c);
void handle_dev_rows(struct call *c);    /* devrows.c */
void handle_dev_answers(struct call *c); /* answers.c */
void handle_dev_faults_list(struct call *c);
void handle_dev_faults_add(struct call *c);
void handle_dev_faults_clear(struct call *c);

/* Shared by secrets.c and workspaces.c: the `connection` object of P section 6.1. A new reference.
 */
struct json_object *connection_to_json(const struct devplatform *dp, const struct workspace *ws,
                                       const char *token);

#endif

"""The development platform answers as the specification says the real one does, quirks included."""
import contextlib
import http.server
import json
import socket
import subprocess
import threading
import time
import unittest
import uuid

import harness
from harness import a2a, eventually, get, post

CARD = {"name": "n", "description": "d", "version": "1", "skills": []}


class Wire(harness.Case):
    """What every answer has, and what stands before the routes."""

    def test_health_and_unknown_paths(self):
        p = self.platform()
        self.assertEqual(get(p.port, "/health").json, {"status": "ok"})
        self.assertIn("git_sha", get(p.port, "/buildinfo").json)
        for method, path in (("GET", "/nowhere"), ("PUT", "/registry/register"), ("GET", "/registry/heartbeat"),
                             ("GET", f"/workspaces/{p.id}/state/"), ("POST", f"/workspaces/{p.id}")):
            a = p.call(method, path)
            self.assertEqual((a.status, a.headers["Content-Type"], a.text), (404, "text/plain", "404 page not found"), path)

    def test_check_asks_the_one_that_runs(self):
        p = self.platform("--rate-limit", "1")
        p.call("POST", "/dev/faults", {"status": 500})
        for _ in range(3):
            done = self.check("--listen", f"127.0.0.1:{p.port}")
            self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"status": "ok"}), done.stderr)
        self.assertEqual(self.check("--listen", f"0.0.0.0:{p.port}").returncode, 0, "any address is asked on the loopback one")
        self.assertEqual(p.log(), [], "a check leaves no trace")
        p.terminate()
        done = self.check("--listen", f"127.0.0.1:{p.port}")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no platform answers", done.stderr)

    def test_check_of_something_else(self):
        """A server that is none of ours, and no port at all."""
        class Other(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
            threading.Thread(target=other.serve_forever, daemon=True).start()
            done = self.check("--listen", f"127.0.0.1:{other.server_address[1]}")
            other.shutdown()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("it answers 404", done.stderr)
        done = self.check("--listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 2, "a port must be said")
        self.assertIn("--check", done.stderr)

    def check(self, *flags):
        """Asked again while whoever is asked does not come to answering within the 4 s that it is given."""
        while True:
            done = subprocess.run([harness.DEVPLATFORM, "--check", *flags], capture_output=True, text=True, timeout=60)
            if "within 4000 ms" not in done.stderr:
                return done

    def test_rate_limit_is_per_bearer_and_says_so(self):
        p = self.platform("--rate-limit", "3")
        seen = [p.call("GET", f"/workspaces/{p.id}/state", token=p.token) for _ in range(4)]
        self.assertEqual([a.status for a in seen], [200, 200, 200, 429])
        self.assertEqual([a.headers["X-RateLimit-Remaining"] for a in seen], ["2", "1", "0", "0"])
        self.assertEqual(seen[0].headers["X-RateLimit-Limit"], "3")
        self.assertEqual(seen[3].json["error"], "rate limit exceeded")
        self.assertEqual(int(seen[3].headers["Retry-After"]), seen[3].json["retry_after"])
        self.assertLessEqual(seen[3].json["retry_after"], 60)
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}").status, 200, "another caller has a window of its own")
        org = [p.call("GET", f"/workspaces/{p.id}", token=str(n), X_Molecule_Org_Id="o").status for n in range(4)]
        self.assertEqual(org, [200, 200, 200, 429], "one bucket for all of an organisation")

    def test_unlimited(self):
        p = self.platform("--rate-limit", "0")
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}").headers["X-RateLimit-Limit"], "unlimited")

    def test_origin_must_be_the_host(self):
        p = self.platform()
        path = f"/workspaces/{p.id}"
        for origin in (p.url, p.url.replace("http:", "https:"), "http://localhost:3000", "http://localhost:3001"):
            self.assertEqual(p.call("GET", path, Origin=origin).status, 200, origin)
        for origin in (p.url + "/", "http://127.0.0.1", "HTTP" + p.url[4:], "my-agent/1.0", "http://localhost:3002"):
            a = p.call("GET", path, Origin=origin)
            self.assertEqual((a.status, a.body), (403, b""), origin)
        a = p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token, Origin="my-agent/1.0")
        self.assertEqual((a.status, a.body), (403, b""))

    def test_tenant_guard(self):
        p = self.platform("--org", "org-1")
        beat = {"workspace_id": p.id}
        self.assertEqual(p.call("POST", "/registry/heartbeat", beat, token=p.token).status, 200, "passes the guard")
        for path in (f"/workspaces/{p.id}", f"/workspaces/{p.id}/state", "/nowhere"):
            a = p.call("GET", path, token=p.token)
            self.assertEqual((a.status, a.body), (404, b""), path)
        a = p.call("POST", "/registry/update-card", {"workspace_id": p.id, "agent_card": CARD}, token=p.token)
        self.assertEqual((a.status, a.body), (404, b""))
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=p.token, X_Molecule_Org_Id="org-1").status, 200)

    def test_only_the_first_json_value_is_read(self):
        p = self.platform()
        a = p.call("POST", "/registry/heartbeat", json.dumps({"workspace_id": p.id}) + "garbage", token=p.token)
        self.assertEqual(a.status, 200)


class Registry(harness.Case):
    def register(self, p, token=None, **body):
        return p.call("POST", "/registry/register", {"id": p.id, "agent_card": CARD, "delivery_mode": "poll", **body}, token=token)

    def beat(self, p, token=None, **body):
        return p.call("POST", "/registry/heartbeat", {"workspace_id": p.id, **body}, token=token)

    def test_token_is_minted_once(self):
        p = self.platform(token="")
        first = self.register(p).json
        self.assertEqual(first["status"], "registered")
        self.assertEqual(len(first["auth_token"]), 43)
        self.assertEqual(self.register(p).status, 401)
        again = self.register(p, token=first["auth_token"])
        self.assertEqual(again.status, 200)
        self.assertNotIn("auth_token", again.json)
        self.assertEqual(again.json["platform_inbound_secret"], first["platform_inbound_secret"])
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=first["auth_token"]).json,
                         {"workspace_id": p.id, "status": "online", "paused": False, "deleted": False})

    def test_bearer_is_case_sensitive(self):
        p = self.platform()
        a = p.call("GET", f"/workspaces/{p.id}/secrets/values", Authorization=f"bearer {p.token}")
        self.assertEqual((a.status, a.json["error"]), (401, "missing workspace auth token"))
        a = p.call("GET", f"/workspaces/{p.id}/state", token="wrong")
        self.assertEqual((a.status, a.json["error"]), (401, "invalid workspace auth token"))

    def test_push_urls(self):
        p = self.platform()
        for url, status in (("http://localhost:9/x", 200), ("https://agent.example/a2a", 200), ("remote://no-inbound", 400),
                            ("http://127.0.0.1:9", 400), ("http://[::1]:9", 400), ("http://10.1.2.3", 400),
                            ("http://[::ffff:192.168.0.1]/", 400), ("http://8.8.8.8/", 200), ("", 400)):
            a = self.register(p, token=p.token, delivery_mode="push", url=url)
            self.assertEqual(a.status, status, (url, a))
        a = self.register(p, token=p.token, delivery_mode="", url="http://localhost:9/")
        self.assertEqual(a.json["delivery_mode"], "push", "left out: the stored one")
        self.assertEqual(self.register(p, token=p.token, delivery_mode="smoke").json["error"], "delivery_mode must be 'push' or 'poll'")

    def test_register_lifts_a_pause_and_poll_blanks_the_url(self):
        p = self.platform()
        self.register(p, token=p.token, delivery_mode="push", url="http://localhost:9/")
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/pause", token=p.token).json, {"status": "paused", "paused_count": 1})
        self.assertEqual(p.state()["url"], "")
        self.assertEqual(self.beat(p, token=p.token).status, 200)
        self.assertEqual(p.status(), "paused", "a heartbeat does not lift it")
        self.register(p, token=p.token, url="")
        self.assertEqual(p.status(), "online")
        self.assertEqual(p.state()["url"], "")

    def test_heartbeat_is_strictly_typed(self):
        p = self.platform()
        for body in ({"active_tasks": 1.0}, {"active_tasks": "1"}, {"active_tasks": True}, {"uptime_seconds": 1e3},
                     {"current_task": 5}, {"error_rate": "0"}, {"runtime_metadata": []}, {"workspace_id": ""}, {"workspace_id": 7}):
            self.assertEqual(self.beat(p, token=p.token, **body).status, 400, body)
        for body in ({"uptime_seconds": 2147483648}, {"current_task": "a\0b"}, {"sample_error": "\0"}):
            a = self.beat(p, token=p.token, **body)
            self.assertEqual((a.status, a.json["error"]), (500, "failed to update"), body)
        self.assertEqual(self.beat(p, token=p.token, uptime_seconds=2147483647, active_tasks=None).status, 200)
        self.assertEqual(self.register(p, token=p.token, agent_card={"name": "a\0b"}).status, 500)

    def test_heartbeat_overwrites_all_columns(self):
        p = self.platform()
        self.beat(p, token=p.token, active_tasks=3, current_task="busy")
        self.beat(p, token=p.token)
        row = p.call("GET", f"/workspaces/{p.id}").json
        self.assertEqual(row["active_tasks"], 0)
        self.assertEqual(p.beat(), {"workspace_id": p.id})

    def test_degraded(self):
        p = self.platform()
        for rate, state, status in ((0.0, "", "online"), (0.5, "", "degraded"), (0.3, "", "degraded"), (0.09, "wedged", "degraded"),
                                    (0.09, "", "online"), (0.3, "", "online"), (0.0, "wedged", "degraded")):
            self.beat(p, token=p.token, error_rate=rate, runtime_state=state)
            self.assertEqual(p.status(), status, (rate, state))

    def test_staleness(self):
        p = self.platform("--stale-after", "1s")

        def is_fresh():  # when we were quick enough to look
            self.assertEqual(self.beat(p, token=p.token).status, 200)
            return p.status() == "online"

        eventually(is_fresh, "a beat makes it online")
        p.wait_status("awaiting_agent")
        eventually(is_fresh, "a beat makes it online again")

    def test_update_card(self):
        p = self.platform()
        a = p.call("POST", "/registry/update-card", {"workspace_id": p.id, "agent_card": {"name": "new"}}, token=p.token)
        self.assertEqual(a.json, {"status": "updated"})
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}").json["agent_card"], {"name": "new"})
        self.assertEqual(p.call("POST", "/registry/update-card", {"workspace_id": p.id, "agent_card": {}}).status, 401)
        unknown = {"workspace_id": str(uuid.uuid4()), "agent_card": {}}
        self.assertEqual(p.call("POST", "/registry/update-card", unknown).status, 200)

    def test_unknown_ids(self):
        p = self.platform()
        stranger = str(uuid.uuid4())
        a = p.call("POST", "/registry/heartbeat", {"workspace_id": stranger})
        self.assertEqual(a.status, 200)
        self.assertIn("platform_inbound_secret", a.json)
        self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": "ws-123"}).status, 500)
        self.assertEqual(p.call("POST", "/registry/register", {"id": "ws-123", "agent_card": CARD, "delivery_mode": "poll"}).json,
                         {"error": "registration failed"})
        a = p.call("POST", "/registry/register", {"id": stranger, "agent_card": CARD, "delivery_mode": "poll"})
        self.assertIn("auth_token", a.json, "register made a workspace of it")
        self.assertNotEqual(p.call("GET", f"/workspaces/{stranger}").json["runtime"], "external")

    def test_bodies_that_cannot_be_read(self):
        p = self.platform()
        for path in ("/registry/register", "/registry/heartbeat", "/registry/update-card"):
            for body in ("", "{", "[]", "null", "7"):
                a = p.call("POST", path, body, token=p.token)
                self.assertEqual((a.status, a.json["error"]), (400, "invalid request body"), (path, body))


class Lifecycle(harness.Case):
    def test_removed(self):
        p = self.platform()
        self.assertEqual(p.call("DELETE", f"/workspaces/{p.id}").json, {"status": "removed", "cascade_deleted": 0})
        a = p.call("GET", f"/workspaces/{p.id}/state", token=p.token)
        self.assertEqual((a.status, a.json["error"]), (401, "invalid workspace auth token"))
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state").json,
                         {"workspace_id": p.id, "deleted": True, "status": "removed"}, "only development mode sees this")
        self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token).status, 200)
        a = p.call("GET", f"/workspaces/{p.id}")
        self.assertEqual((a.status, a.json["error"], a.json["id"]), (410, "workspace removed", p.id))
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}?include_removed=true").json["status"], "removed")
        dead = p.call("POST", "/registry/register", {"id": p.id, "agent_card": CARD, "delivery_mode": "poll"}).json["auth_token"]
        for token in (p.token, dead):
            self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=token).status, 401)
            self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=token).status, 401)
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}").status, 410)

    def test_purged(self):
        p = self.platform()
        self.assertEqual(p.call("DELETE", f"/workspaces/{p.id}?confirm=true&purge=true").json["status"], "purged")
        a = p.call("GET", f"/workspaces/{p.id}")
        self.assertEqual((a.status, a.json), (404, {"error": "workspace not found"}))
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=p.token).status, 401)
        self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token).status, 200)

    def test_pause_cascades_and_resume_leaves_it_failed(self):
        p = self.platform()
        child = p.call("POST", "/workspaces", {"name": "child", "runtime": "external", "parent_id": p.id}).json
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/pause").json["paused_count"], 2)
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/pause").status, 404)
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=p.token).json["paused"], True)
        self.assertEqual(p.call("POST", f"/workspaces/{child['id']}/resume").status, 409)
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/resume").json, {"status": "provisioning", "resumed_count": 2})
        self.assertEqual(p.status(), "failed")
        p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token)
        self.assertEqual(p.status(), "failed", "only a register lifts it")
        p.faults(resume="unavailable")
        p.call("POST", f"/workspaces/{p.id}/pause")
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/resume").status, 503)

    def test_delete_asks_about_children(self):
        p = self.platform()
        child = p.call("POST", "/workspaces", {"name": "child", "runtime": "external", "parent_id": p.id}).json
        grandchild = p.call("POST", "/workspaces", {"name": "gc", "runtime": "external", "parent_id": child["id"]}).json
        a = p.call("DELETE", f"/workspaces/{p.id}")
        self.assertEqual((a.status, a.json["status"], len(a.json["children"])), (409, "confirmation_required", 1))
        a = p.call("DELETE", f"/workspaces/{p.id}?confirm=true&purge=true")
        self.assertEqual(a.json, {"status": "purged", "cascade_deleted": 2})
        self.assertEqual(p.call("GET", f"/workspaces/{grandchild['id']}").status, 404)

    def test_create(self):
        p = self.platform("--admin-token", "boss", workspaces=[])
        self.assertEqual(p.call("POST", "/workspaces", {"name": "a"}).json["error"], "admin auth required")
        self.assertEqual(p.call("POST", "/workspaces", {"name": "a"}, token="no").json["error"], "invalid admin auth token")
        a = p.call("POST", "/workspaces", {"name": "a", "runtime": "external"}, token="boss")
        self.assertEqual((a.status, a.json["status"], a.json["connection"]["workspace_id"]), (201, "awaiting_agent", a.json["id"]))
        self.assertEqual(p.call("GET", f"/workspaces/{a.json['id']}/state", token=a.json["connection"]["auth_token"]).status, 200)
        b = p.call("POST", "/workspaces", {"name": "a", "runtime": "external", "url": "http://localhost:9"}, token="boss").json
        self.assertEqual((b["status"], "connection" in b), ("online", False))
        self.assertEqual(p.call("GET", f"/workspaces/{b['id']}").json["name"], "a (2)")
        for bad in ({}, {"name": "a\nb"}, {"name": 5}, {"name": "x", "delivery_mode": "q"}, {"name": "x", "url": "http://10.0.0.1"}):
            self.assertEqual(p.call("POST", "/workspaces", bad, token="boss").status, 400, bad)

    def test_tokens(self):
        p = self.platform()
        path = f"/workspaces/{p.id}/tokens"
        new = p.call("POST", path, token=p.token)
        self.assertEqual(new.status, 201)
        listed = p.call("GET", path, token=p.token).json
        self.assertEqual(listed["count"], 2)
        old_id = listed["tokens"][0]["id"]
        self.assertEqual(p.call("DELETE", f"{path}/{old_id}", token=new.json["auth_token"]).json, {"status": "revoked"})
        self.assertEqual(p.call("DELETE", f"{path}/{old_id}", token=new.json["auth_token"]).status, 404)
        self.assertEqual(p.call("GET", path, token=p.token).status, 401)
        self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token).status, 401)
        rotated = p.call("POST", f"/workspaces/{p.id}/external/rotate", token=new.json["auth_token"]).json
        self.assertEqual(p.call("GET", path, token=rotated["connection"]["auth_token"]).json["count"], 1)

    def test_all_tokens_lost(self):
        p = self.platform()
        p.faults(lose_tokens=p.id)
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=p.token).status, 401)
        self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token).status, 200, "grandfathered")
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}").status, 200)

    def test_secrets(self):
        p = self.platform("--admin-token", "boss")
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/secrets/values", token=p.token).json, {})
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/secrets", {"key": "K", "value": "v é\n"}, token=p.token).json,
                         {"status": "saved", "key": "K"})
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/secrets/values", token=p.token).json, {"K": "v é\n"})
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/secrets/values", token="boss").status, 401, "own token only")
        self.assertEqual(p.call("GET", f"/workspaces/{p.id.upper()}/secrets/values", token="boss").json["error"], "invalid workspace ID")

    def test_admin_token_is_no_workspace_token(self):
        p = self.platform("--admin-token", "boss")
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/activity", token="boss").status, 200)
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token="boss").status, 401)
        self.assertEqual(p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token="boss").status, 401)


class Feed(harness.Case):
    def setUp(self):
        super().setUp()
        self.p = self.platform()
        self.p.call("POST", "/registry/register", {"id": self.p.id, "agent_card": CARD, "delivery_mode": "poll"}, token=self.p.token)

    def rows(self, query=""):
        return self.p.call("GET", f"/workspaces/{self.p.id}/activity{query}", token=self.p.token)

    def test_a_canvas_message_waits(self):
        a = self.p.send("hello canvas")
        self.assertEqual(a.json, {"status": "queued", "delivery_mode": "poll", "method": "message/send"})
        row = self.rows("?type=a2a_receive").json[0]
        self.assertEqual((row["source_id"], row["target_id"], row["duration_ms"], row["status"]), (None, self.p.id, None, "ok"))
        self.assertTrue(row["summary"].startswith("message/send → ") and row["summary"].endswith("(queued for poll)"))
        self.assertEqual(row["request_body"]["params"]["message"]["parts"][0]["text"], "hello canvas")
        self.assertNotIn("response_body", row)

    def test_order_and_cursor(self):
        for n in range(5):
            self.p.send(str(n))
        texts = lambda rows: [r["request_body"]["params"]["message"]["parts"][0]["text"] for r in rows]
        newest_first = self.rows().json
        self.assertEqual(texts(newest_first), ["4", "3", "2", "1", "0"])
        cursor = newest_first[3]["id"]
        self.assertEqual(texts(self.rows(f"?since_id={cursor}").json), ["2", "3", "4"], "oldest first with a cursor")
        self.assertEqual(texts(self.rows(f"?since_id={cursor}&limit=2").json), ["2", "3"])
        self.assertEqual(len(self.rows("?limit=0").json), 5, "a bad limit is 100")
        self.assertEqual(texts(self.rows(f"?before_ts={newest_first[2]['created_at']}").json), ["1", "0"])
        self.assertEqual(len(self.rows("?since_secs=3600&since_id=").json), 5)

    def test_cursor_errors(self):
        self.assertEqual(self.rows("?since_id=00000000-0000-0000-0000-000000000000&limit=1").status, 410)
        self.assertEqual(self.rows("?since_id=not-a-uuid").status, 500)
        for bad in ("?source=x", "?peer_id=x", "?since_secs=0", "?since_secs=x", "?before_ts=yesterday"):
            self.assertEqual(self.rows(bad).status, 400, bad)

    def test_notify_leaves_an_echo(self):
        a = self.p.call("POST", f"/workspaces/{self.p.id}/notify", {"message": "hi human"}, token=self.p.token)
        self.assertEqual(a.json, {"status": "sent"})
        row = self.rows().json[0]
        self.assertEqual((row["activity_type"], row["method"], row["source_id"], row["response_body"]["result"]),
                         ("a2a_receive", "notify", None, "hi human"))
        for bad in ({}, {"message": ""}, "nonsense"):
            a = self.p.call("POST", f"/workspaces/{self.p.id}/notify", bad, token=self.p.token)
            self.assertEqual((a.status, a.json["error"]), (400, "message is required"))
        a = self.p.call("POST", f"/workspaces/{self.p.id}/notify", {"message": "x", "attachments": [{"uri": "u"}]}, token=self.p.token)
        self.assertEqual(a.json["error"], "attachment[0]: uri and name are required")

    def test_nul_is_answered_and_lost(self):
        self.assertEqual(self.p.send("a\0b").status, 200)
        self.assertEqual(self.rows().json, [])

    def test_peer_messages_and_hierarchy(self):
        other = self.p.call("POST", "/workspaces", {"name": "other", "runtime": "external"}).json
        token = other["connection"]["auth_token"]
        a = self.p.call("POST", f"/workspaces/{self.p.id}/a2a", a2a("from a peer"), token=token, X_Workspace_ID=other["id"])
        self.assertEqual(a.json["status"], "queued")
        row = self.rows("?source=agent").json[0]
        self.assertEqual(row["source_id"], other["id"])
        self.assertEqual(self.rows("?source=canvas").json, [])
        a = self.p.call("POST", f"/workspaces/{self.p.id}/a2a", a2a("x"), token="wrong", X_Workspace_ID=other["id"])
        self.assertEqual((a.status, a.json["error"]), (401, "invalid caller auth token"))
        self.assertEqual(self.p.send("x", X_Workspace_ID="system:x").json["error"], "invalid caller ID")
        below = self.p.call("POST", "/workspaces", {"name": "below", "runtime": "external", "parent_id": self.p.id}).json
        a = self.p.call("POST", f"/workspaces/{below['id']}/a2a", a2a("x"), token=token, X_Workspace_ID=other["id"])
        self.assertEqual(a.status, 403)
        self.assertTrue(a.json["error"].startswith("access denied"))
        self.assertEqual(self.p.send("x", workspace=str(uuid.uuid4())).json, {"error": "workspace not found"})
        peers = self.p.call("GET", f"/registry/{other['id']}/peers", token=token).json
        self.assertEqual([x["id"] for x in peers], [self.p.id])
        found = self.p.call("GET", f"/registry/discover/{self.p.id}", token=token, X_Workspace_ID=other["id"]).json
        self.assertEqual(found["url"], f"http://ws-{self.p.id[:12]}:8000")
        ask = {"caller_id": other["id"], "target_id": below["id"]}
        self.assertEqual(self.p.call("POST", "/registry/check-access", ask).json, {"allowed": False})

    def test_reports(self):
        a = self.p.call("POST", f"/workspaces/{self.p.id}/activity", {"activity_type": "agent_log", "summary": "s"}, token=self.p.token)
        self.assertEqual(a.json, {"status": "logged"})
        self.assertEqual(self.rows("?type=agent_log").json[0]["source_id"], self.p.id)
        for bad, status in (({"activity_type": "x"}, 400), ({"activity_type": "error", "source_id": str(uuid.uuid4())}, 403)):
            self.assertEqual(self.p.call("POST", f"/workspaces/{self.p.id}/activity", bad, token=self.p.token).status, status)


class Push(harness.Case):
    def push_target(self, *flags, agent="agent.py"):
        p = self.platform(*flags)
        port = harness.free_port()
        self.process("agent", harness.example_agent(agent, str(port)), env={"PORT": port})
        eventually(lambda: get(port, "/.well-known/agent-card.json").status == 200, "the agent answers")
        p.call("POST", "/registry/register", {"id": p.id, "agent_card": CARD, "delivery_mode": "push",
                                              "url": f"http://localhost:{port}/"}, token=p.token)
        return p

    def listener(self, timeout="60s"):
        """A platform whose workspace is registered at a socket that the test plays. It waits so long for an answer."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", harness.free_port()))  # nobody else's, also when it is closed
        s.listen(8)
        s.settimeout(harness.PATIENCE)
        self.addCleanup(s.close)
        p = self.platform("--dispatch-timeout", timeout)
        p.call("POST", "/registry/register", {"id": p.id, "agent_card": CARD, "delivery_mode": "push",
                                              "url": f"http://localhost:{s.getsockname()[1]}/deep/path"}, token=p.token)
        return p, s

    def answer_one(self, listener, answer):
        """(head, body) of the next request, which is read to its end: what is unread at the close would be a reset."""
        c, _ = listener.accept()
        with c:
            c.settimeout(harness.PATIENCE)
            data, length = b"", None
            while length is None or len(data.partition(b"\r\n\r\n")[2]) < length:
                more = c.recv(65536)
                if not more:
                    raise ConnectionError(f"a request was cut: {data!r}")
                data += more
                if b"\r\n\r\n" in data:
                    length = int(next(l for l in data.split(b"\r\n") if l.lower().startswith(b"content-length:")).split(b":")[1])
            c.sendall(answer)
        head, _, body = data.partition(b"\r\n\r\n")
        return head, body

    def rows(self, p):
        return p.call("GET", f"/workspaces/{p.id}/activity", token=p.token).json

    def test_a_pushed_message_is_answered(self):
        p = self.push_target()
        a = p.send("hello")
        self.assertEqual(harness.answer_text(a.json), "you said: hello")
        row = self.rows(p)[0]
        self.assertIsInstance(row["duration_ms"], int)
        self.assertEqual(row["response_body"]["result"]["role"], "agent")

    def test_bodies(self):
        p = self.push_target()
        path = f"/workspaces/{p.id}/a2a"
        self.assertEqual(p.call("POST", path, "{").json, {"error": "invalid JSON"})
        self.assertEqual(p.call("POST", path, {"method": "message/send", "params": {"message": {"role": "user"}}}).status, 400)
        wrapped = p.call("POST", path, {"method": "message/send", "params": {"message": {"role": "user", "content": "old style"}}})
        self.assertEqual(harness.answer_text(wrapped.json), "you said: old style")
        big = p.call("POST", path, a2a("x" * 1100000))
        self.assertEqual((big.status, big.json["error"]), (400, "invalid JSON"), "cut at 1 MiB without a word")

    def test_request_that_the_agent_sees(self):
        p, s = self.listener()
        sending = self.thread(p.send, "hi")
        head, body = self.answer_one(s, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        lines = head.decode().lower().split("\r\n")
        self.assertEqual(lines[0], "post /deep/path http/1.1")
        names = {l.partition(":")[0] for l in lines[1:]}
        self.assertLessEqual(names, {"host", "user-agent", "content-length", "content-type", "accept-encoding"})
        self.assertIn("user-agent: go-http-client/1.1", lines)
        self.assertEqual(json.loads(body)["params"]["message"]["parts"][0]["text"], "hi")
        self.assertEqual(sending.result().json, {})

    def test_no_answer_is_queued_and_sent_again(self):
        p, s = self.listener("1500ms")
        p.call("POST", "/registry/heartbeat", {"workspace_id": p.id, "active_tasks": 1}, token=p.token)
        a = p.send("slow one")
        self.assertEqual((a.status, a.json["queued"], a.json["queue_depth"]), (202, True, 1))
        s.accept()[0].close()
        self.assertEqual(p.state()["queue_depth"], 1)
        p.call("POST", "/registry/heartbeat", {"workspace_id": p.id, "active_tasks": 1}, token=p.token)
        self.assertEqual(p.state()["queue_depth"], 1, "still busy")
        where = f"/workspaces/{p.id}/a2a/queue/{a.json['queue_id']}"
        self.thread(self.answer_all, s)

        def is_delivered():  # each beat is another try, should the answer come too late for one
            p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token)
            return p.call("GET", where, token=p.token, X_Workspace_ID=p.id).json["status"] == "completed"

        eventually(is_delivered, "delivered", every=0.2)

    def answer_all(self, listener):
        while True:
            with contextlib.suppress(ConnectionError):  # it did not wait for us
                self.answer_one(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def test_agent_errors(self):
        p, s = self.listener()
        answers = ((b"HTTP/1.1 500 X\r\nContent-Length: 15\r\n\r\n{\"error\":\"bad\"}", 500, {"error": "bad"}),
                   (b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", 404, {"error": "Not Found"}),
                   (b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n", 200, {"error": "agent returned empty response body"}),
                   (b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{\"a\"", 502,
                    {"error": "failed to read agent response", "delivery_confirmed": True}))
        for answer, status, body in answers:
            sending = self.thread(p.send, "hi")
            self.answer_one(s, answer)
            a = sending.result()
            self.assertEqual((a.status, a.json), (status, body))
        s.close()
        a = p.send("nobody listens")
        self.assertEqual((a.status, a.json), (502, {"error": "failed to reach workspace agent"}))
        self.assertEqual(self.rows(p)[0]["status"], "error")

    def test_without_a_url(self):
        p = self.push_target()
        p.call("POST", f"/workspaces/{p.id}/pause")
        a = p.send("anybody?")
        self.assertEqual((a.status, a.json), (503, {"error": "workspace has no URL", "status": "paused"}))


class Faults(harness.Case):
    def test_status_latency_and_count(self):
        p = self.platform()
        path = f"/workspaces/{p.id}/state"
        p.faults({"path": "/workspaces/*/state", "status": 503, "body": {"error": "x"}, "count": 2, "retry_after": 7})
        got = [p.call("GET", path, token=p.token) for _ in range(3)]
        self.assertEqual([a.status for a in got], [503, 503, 200])
        self.assertEqual(got[0].headers["Retry-After"], "7")
        p.faults({"path": "/workspaces/", "method": "GET", "latency_ms": 150})
        begin = time.monotonic()
        self.assertEqual(p.call("GET", path, token=p.token).status, 200)
        self.assertGreaterEqual(time.monotonic() - begin, 0.14)
        p.clear_faults()

    def test_drop_before_and_after(self):
        p = self.platform()
        beat = {"workspace_id": p.id}
        for fault, beats in (({"drop": True}, 0), ({"drop": True, "after": True}, 1)):
            p.faults({"path": "/registry/heartbeat", "count": 1, **fault})
            with self.assertRaises((ConnectionError, harness.http.client.HTTPException)):
                p.call("POST", "/registry/heartbeat", beat, token=p.token)
            self.assertEqual(p.state()["heartbeats"], beats, fault)

    def test_hang(self):
        p = self.platform()
        p.faults({"path": "/health", "hang": True})
        with self.assertRaises(TimeoutError):
            get(p.port, "/health", timeout=0.3)
        self.assertEqual(get(p.port, "/buildinfo").status, 200)

    def test_database_down(self):
        p = self.platform()
        p.faults(database_down=True)
        base = f"/workspaces/{p.id}"
        expected = ((p.call("GET", base), 500, "query failed"),
                    (p.call("GET", f"{base}/state", token=p.token), 401, "invalid workspace auth token"),
                    (p.call("GET", f"{base}/activity", token=p.token), 401, "invalid workspace auth token"),
                    (p.call("POST", f"{base}/notify", {"message": "x"}, token=p.token), 401, "invalid workspace auth token"),
                    (p.call("POST", "/registry/heartbeat", {"workspace_id": p.id}, token=p.token), 500, "failed to update"),
                    (p.send("x"), 500, "lookup failed"))
        for a, status, text in expected:
            self.assertEqual((a.status, a.json["error"]), (status, text))
        self.assertEqual(get(p.port, "/health").status, 200)
        p.clear_faults()
        self.assertEqual(p.call("GET", f"{base}/state", token=p.token).status, 200)

    def test_bad_faults_are_told(self):
        p = self.platform()
        for bad, word in (({"path": "/x"}, "needs one of"), ({"statsu": 5}, "unknown key"), ({"status": 99}, "200 to 599"),
                          ({"database_down": 1}, "true or false"), ({"faults": {}}, "array")):
            a = post(p.port, "/dev/faults", bad)
            self.assertEqual(a.status, 400)
            self.assertIn(word, a.json["error"])

    def test_nothing_secret_in_log_and_story(self):
        p = self.platform(token="")
        token = p.call("POST", "/registry/register", {"id": p.id, "agent_card": CARD, "delivery_mode": "poll"}).json["auth_token"]
        p.call("POST", f"/workspaces/{p.id}/secrets", {"key": "K", "value": "my-secret-value"}, token=token)
        p.call("GET", f"/workspaces/{p.id}/secrets/values", token=token)
        entry = p.log(path=f"/workspaces/{p.id}/secrets/values")[0]
        self.assertEqual(entry["token"], token[:4] + "…")
        p.wait_line("secrets/values")
        for text in (json.dumps(p.log()), p.text(), get(p.port, "/dev/state").text):
            self.assertNotIn(token, text)
            self.assertNotIn("my-secret-value", text)


class CommandLine(harness.Case):
    def run_with(self, *args):
        p = self.process("platform", [harness.DEVPLATFORM, *args])
        return p.wait_exit(), "\n".join(p.err), "\n".join(p.out)

    def test_bad_flags_are_sentences(self):
        uid = str(uuid.uuid4())
        for args, words in ((["--workspace", "ws-123"], "must be a UUID"), (["--workspace"], "needs a value"),
                            (["--lisen", "x"], "did you mean --listen"), (["--listen", "0.0.0.0:0"], "--allow-remote"),
                            (["--rate-limit", "many"], "0 (unlimited) to 1000000"), (["--stale-after", "90"], "such as 90s"),
                            (["--workspace", uid, "--workspace", uid], "given twice"), (["--quiet=1"], "takes no value"),
                            (["--workspace", f"{uid}:"], "after ':'")):
            status, err, _ = self.run_with(*args)
            self.assertEqual(status, 2, args)
            self.assertIn(words, err, args)

    def test_help_and_version(self):
        self.assertIn("--stale-after", self.run_with("--help")[2])
        self.assertRegex(self.run_with("--version")[2], r"molecule-devplatform \d")

    def test_taken_port(self):
        p = self.platform()
        status, err, _ = self.run_with("--listen", f"127.0.0.1:{p.port}")
        self.assertEqual(status, 2)
        self.assertIn(str(p.port), err)

    def test_ends_on_term(self):
        p = self.platform()
        self.assertEqual(p.terminate(), 0)


if __name__ == "__main__":
    unittest.main()

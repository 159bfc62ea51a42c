"""What agents that poll find at the development platform: the feed, its cursors and their holes, the event stream, files, answers."""
import contextlib
import http.client
import json
import socket
import time
import uuid

import harness
from harness import a2a, eventually

FILES = "chat/uploads"


class Feed(harness.Case):
    def setUp(self):
        super().setUp()
        self.p = self.platform("--rate-limit", "0")
        self.call_ok("POST", "/registry/register", {"id": self.p.id, "agent_card": {"name": "n"}, "delivery_mode": "poll"})

    def call_ok(self, method, path, body=None, **kw):
        a = self.p.call(method, path, body, token=self.p.token, **kw)
        self.assertEqual(a.status, 200, (path, a))
        return a.json

    def feed(self, query="", **kw):
        return self.p.call("GET", f"/workspaces/{self.p.id}/activity{query}", token=self.p.token, **kw)

    def texts(self, query=""):
        return [text_of(r) for r in self.feed(query).json]

    def rows(self, *texts, **batch):
        return self.p.rows([{"text": t} if isinstance(t, str) else t for t in texts], **batch)


def text_of(row):
    return row["request_body"]["params"]["message"]["parts"][0]["text"] if "request_body" in row else row["method"]


class Cursors(Feed):
    def test_orders_and_filters(self):
        peer = str(uuid.uuid4())
        self.rows("one", {"text": "two", "source_id": peer}, {"text": "three", "type": "agent_log"}, apart_us=1000, age_ms=1800000)
        new = self.rows("four")[0]
        first = self.feed("?limit=1&before_ts=" + self.feed().json[-2]["created_at"]).json[0]
        self.assertEqual(text_of(first), "one", "strictly older")
        self.assertEqual(self.texts(), ["four", "three", "two", "one"], "newest first")
        self.assertEqual(self.texts(f"?since_id={first['id']}"), ["two", "three", "four"], "oldest first, strictly newer")
        self.assertEqual(self.texts(f"?since_id={first['id'].upper()}&limit=1"), ["two"])
        self.assertEqual(self.texts(f"?since_id={new}"), [])
        for query, expected in (("type=a2a_receive", ["four", "two", "one"]), ("source=agent", ["two"]), (f"peer_id={peer}", ["two"]),
                                ("source=canvas&type=agent_log", ["three"]), ("since_secs=900", ["four"]), ("limit=0", 4), ("limit=x", 4),
                                ("limit=2", ["four", "three"]), ("since_id=", 4), ("since_secs=99999999999", 4)):
            found = self.texts("?" + query)
            self.assertEqual(len(found) if isinstance(expected, int) else found, expected, query)
        recent = self.feed("?since_secs=3600&before_ts=" + first["created_at"].replace("Z", "%2B00:00")).json
        self.assertEqual(recent, [], "filters combine")
        both = f"?since_id={first['id']}&since_secs=3600&before_ts=" + self.feed().json[0]["created_at"]
        self.assertEqual(self.texts(both), ["two", "three"])

    def test_refusals(self):
        row = self.rows("one")[0]
        other = self.p.call("POST", "/workspaces", {"name": "other", "runtime": "external"}).json["id"]
        foreign = self.p.rows([{"text": "x"}], workspace=other)[0]
        for query, status in (("source=user", 400), ("peer_id=7", 400), ("since_secs=0", 400), ("since_secs=x", 400),
                              ("before_ts=yesterday", 400), ("before_ts=2026-01-01T00:00:00+01:00", 400), ("since_id=7", 500),
                              (f"since_id={uuid.UUID(int=0)}&limit=1", 410), (f"since_id={foreign}", 410), (f"since_id={row}", 200)):
            a = self.feed("?" + query)
            self.assertEqual(a.status, status, (query, a))
            self.assertEqual("error" in a.json, status != 200)
        self.assertEqual(self.feed("?since_id=7").json, {"error": "cursor lookup failed"})
        self.assertIn("since_id", self.feed(f"?since_id={uuid.UUID(int=0)}").json["error"])

    def test_rows_of_one_time_are_lost_to_a_cursor(self):
        a, b, c = self.rows("a", "b", "c")
        self.assertEqual(self.texts(f"?since_id={a}"), [], "the cursor is its time")
        self.assertEqual(sorted(self.texts("?since_secs=3600")), ["a", "b", "c"], "a sweep finds them")
        self.p.faults(feed="later")
        rows = self.feed(f"?since_id={a}&include=peer_info").json
        self.assertEqual([text_of(r) for r in rows], ["b", "c"], "later platforms: by time and seq")
        self.assertLess(rows[0]["seq"], rows[1]["seq"])
        self.assertEqual([r["id"] for r in rows], [b, c])

    def test_a_late_row_is_older_than_the_cursor(self):
        cursor = self.rows("first")[0]
        self.rows("late", age_ms=600000)
        self.assertEqual(self.texts(f"?since_id={cursor}"), [])
        self.assertEqual(self.texts("?since_secs=3600"), ["first", "late"])

    def test_rows_come_late_or_at_one_time_by_chance(self):
        self.p.faults(rows={"late_percent": 100, "late_ms": 200})
        self.p.send("late")
        self.p.faults(rows={})
        self.p.send("prompt")
        prompt = eventually(lambda: self.feed().json, "the prompt one")[0]
        self.assertEqual(text_of(prompt), "prompt")
        eventually(lambda: len(self.feed().json) == 2, "the late one")
        self.assertEqual(self.texts(), ["prompt", "late"], "older, and seen after")
        self.p.faults(rows={"detached_percent": 100, "late_ms": 200})
        self.p.send("detached")
        eventually(lambda: self.texts(f"?since_id={prompt['id']}") == ["detached"], "its time is that of its making")
        self.p.faults(rows={"equal_percent": 100})
        for n in range(3):
            self.p.send(f"equal {n}")
        times = {r["created_at"] for r in self.feed("?limit=3").json}
        self.assertEqual(len(times), 1)
        bad = harness.post(self.p.port, "/dev/faults", {"rows": {"late_percent": 101}})
        self.assertEqual(bad.status, 400)

    def test_cursors_are_lost_rows_vanish_and_old_servers_know_none(self):
        old = self.rows("old", age_ms=600000)[0]
        self.p.faults(lose_cursors=True)
        self.assertEqual(self.feed(f"?since_id={old}").status, 410)
        new = self.rows("new")[0]
        self.assertEqual(self.feed(f"?since_id={new}").status, 200, "those of later rows are good")
        self.assertEqual(self.texts(), ["new", "old"], "the row is there")
        self.p.faults(forget_rows=300000)
        self.assertEqual(self.texts(), ["new"])
        self.p.faults(feed="old")
        a = self.feed(f"?since_id={uuid.UUID(int=0)}&limit=1")
        self.assertEqual((a.status, [text_of(r) for r in a.json]), (200, ["new"]), "passed over")
        self.assertEqual(self.feed("?since_id=7").status, 200)

    def test_the_oldest_rows_go(self):
        p = self.platform("--rows", "3")
        p.rows([{"text": str(n)} for n in range(5)])
        self.assertEqual([text_of(r) for r in p.call("GET", f"/workspaces/{p.id}/activity", token=p.token).json], ["4", "3", "2"])

    def test_rows_vanish_with_age(self):
        p = self.platform("--retention", "300ms", "--stale-after", "200ms")
        row = p.rows([{"text": "old"}])[0]
        path = f"/workspaces/{p.id}/activity?since_id={row}"
        eventually(lambda: p.call("GET", path, token=p.token).status == 410, "it is gone")

    def test_acknowledging_is_of_later_platforms(self):
        path = f"/workspaces/{self.p.id}/activity/ack"
        a = self.p.call("POST", path, {"acked_seq": 7}, token=self.p.token)
        self.assertEqual((a.status, a.text), (404, "404 page not found"))
        self.p.faults(feed="later")
        for seq, last in ((7, 7), (3, 7), (9, 9)):
            self.assertEqual(self.call_ok("POST", path, {"acked_seq": seq}), {"last_acked_seq": last})
        self.assertEqual(self.p.call("POST", path, {"acked_seq": "9"}, token=self.p.token).status, 400)
        self.assertEqual(self.p.state()["acked_seq"], 9)

    def test_peer_info(self):
        peer = self.p.call("POST", "/workspaces", {"name": "peer", "role": "helper", "runtime": "external"}).json["id"]
        file = {"name": "f", "uri": "platform-pending:a/b"}
        body = {"params": {"message": {"parts": [{"kind": "file", "file": file}]}}}
        self.p.rows([{"source_id": peer, "request_body": body}])
        self.assertNotIn("peer_name", self.feed("?include=peer_info").json[0], "ignored by the target")
        self.p.faults(feed="later")
        self.assertNotIn("peer_name", self.feed().json[0])
        row = self.feed("?include=peer_info").json[0]
        self.assertEqual([row[k] for k in ("peer_name", "peer_role", "agent_card_url", "attachments")],
                         ["peer", "helper", f"{self.p.url}/registry/discover/{peer}", [file]])

    def test_ten_thousand_messages_are_paged_in_order(self):
        for n in range(10):
            self.rows(*(f"{n * 1000 + i}" for i in range(1000)), apart_us=1, age_ms=60000 - n * 1000)
        sweep = self.feed("?limit=500").json
        self.assertEqual(len(sweep), 500)
        cursor, seen = self.feed(f"?limit=1&before_ts=" + sweep[-1]["created_at"]).json[0]["id"], 0
        while page := self.feed(f"?since_id={cursor}&limit=500&type=a2a_receive").json:
            cursor, seen = page[-1]["id"], seen + len(page)
            self.assertEqual([int(text_of(r)) for r in page], list(range(10000 - 500, 10000))[seen - len(page):seen])
        self.assertEqual(seen, 500)


class Listener:
    """An open event stream: line by line."""

    def __init__(self, p, token=None, room=None):
        """room: bytes of its receive buffer; who does not read is full soon."""
        self.c = harness.connection(p.port)
        if room:
            self.c.sock = socket.socket()
            self.c.sock.settimeout(harness.PATIENCE)
            self.c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            self.c.sock.connect(("127.0.0.1", p.port))
            self.sock = self.c.sock
        self.c.request("GET", f"/workspaces/{p.id}/events/stream", headers={"Authorization": f"Bearer {token or p.token}"})
        self.r = self.c.getresponse()

    def line(self):
        return self.r.readline().decode().rstrip("\n")

    def event(self, wanted=None):
        """The next event (of that type)."""
        while True:
            line = self.line()
            if line.startswith("data: "):
                e = json.loads(line[6:])
                if wanted in (None, e["type"]):
                    return e
            elif not self.r.isclosed() and not line.strip(": ping"):
                continue
            else:
                raise AssertionError(f"no event: {line!r}")


class Events(Feed):
    def listen(self, **kw):
        l = Listener(self.p, **kw)
        self.addCleanup(l.c.close)
        return l

    def test_frames(self):
        l = self.listen()
        self.assertEqual((l.r.status, l.r.headers["Content-Type"]), (200, "text/event-stream"))
        self.assertEqual((l.line(), l.line()), (": ping", ""))
        self.p.send("hello")
        e = l.event()
        self.assertEqual(sorted(e), ["data", "timestamp", "type"])
        self.assertLess(abs(e["timestamp"] - time.time() * 1000), 60000)
        self.assertEqual((e["type"], e["data"]["activity_type"], e["data"]["method"], e["data"]["source_id"]),
                         ("ACTIVITY_LOGGED", "a2a_receive", "message/send", None))
        self.assertNotIn("id", e["data"])
        self.assertEqual(text_of(e["data"]), "hello")
        self.call_ok("POST", "/registry/heartbeat", {"workspace_id": self.p.id, "current_task": "t"})
        self.assertEqual([l.event()["type"] for _ in range(2)], ["TASK_UPDATED", "WORKSPACE_HEARTBEAT"])
        self.call_ok("POST", f"/workspaces/{self.p.id}/notify", {"message": "m"})
        self.assertEqual(l.event()["data"], {"workspace_id": self.p.id, "message": "m"})
        self.call_ok("POST", "/registry/update-card", {"workspace_id": self.p.id, "agent_card": {}})
        self.assertEqual(l.event()["type"], "AGENT_CARD_UPDATED")
        self.call_ok("POST", "/registry/heartbeat", {"workspace_id": self.p.id, "error_rate": 1})
        l.event("WORKSPACE_DEGRADED")

    def test_the_token_is_looked_at_once(self):
        l = self.listen()
        self.call_ok("POST", f"/workspaces/{self.p.id}/pause")
        l.event("WORKSPACE_PAUSED")
        self.call_ok("POST", f"/workspaces/{self.p.id}/external/rotate")
        l.event("EXTERNAL_CREDENTIALS_ROTATED")
        self.assertEqual(self.listen().r.status, 401)
        self.p.call("DELETE", f"/workspaces/{self.p.id}")
        l.event("WORKSPACE_REMOVED")
        self.p.send("nobody reads this")
        l.event("ACTIVITY_LOGGED")
        admin = self.p.call("GET", f"/workspaces/{uuid.uuid4()}/events/stream")
        self.assertEqual((admin.status, admin.json), (404, {"error": "workspace not found"}))

    def test_who_does_not_read_loses_events(self):
        l = self.listen(room=4096)
        for _ in range(10):
            self.rows(*["x" * 40000] * 24)
        l.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        state = harness.get(self.p.port, "/dev/state").json
        self.assertGreater(state["events_dropped"], 0)
        got = [l.event()["type"] for _ in range(state["events_sent"])]
        self.assertEqual(set(got), {"ACTIVITY_LOGGED"})
        self.p.send("after")
        self.assertEqual(text_of(l.event()["data"]), "after", "it goes on")

    def test_streams_end_fall_silent_or_never_begin(self):
        for how, problem in (("end", None), ("reset", (http.client.IncompleteRead, ConnectionError))):
            l = self.listen()
            l.line()
            self.p.faults(events=how)
            with contextlib.ExitStack() as stack:
                if problem:
                    stack.enter_context(self.assertRaises(problem))
                self.assertEqual(l.r.read().strip(), b"")
        eventually(lambda: self.p.state()["listeners"] == 0, "nobody listens")
        self.p.faults(events="silent")
        l = self.listen()
        self.assertEqual(l.line(), ": ping")
        self.p.send("unheard")
        self.p.faults(events="on")
        self.p.send("heard")
        self.assertEqual(text_of(l.event("ACTIVITY_LOGGED")["data"]) if not l.line() else None, "heard")
        self.p.faults(events="mute")
        l = self.listen()
        self.p.faults(events="on")
        self.p.send("first")
        self.assertEqual(text_of(l.event()["data"]), "first", "no ping came")
        self.p.faults({"path": "/workspaces/*/events/stream", "status": 503, "count": 1},
                      {"path": "/workspaces/*/events/stream", "drop": True, "count": 1})
        self.assertEqual(self.listen().r.status, 503)
        with self.assertRaises(OSError):
            self.listen()
        self.assertEqual(harness.post(self.p.port, "/dev/faults", {"events": "loud"}).status, 400)


class Files(Feed):
    def upload(self, *files, name="files"):
        """(name, type, bytes) each."""
        edge = "----edge"
        body = b"".join(f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{n}"\r\nContent-Type: {t}\r\n\r\n'.encode()
                        + b + b"\r\n" for n, t, b in files) + f"--{edge}--\r\n".encode()
        return self.p.call("POST", f"/workspaces/{self.p.id}/{FILES}", body, token=self.p.token,
                           Content_Type=f"multipart/form-data; boundary={edge}")

    def content(self, file_id):
        return self.p.call("GET", f"/workspaces/{self.p.id}/pending-uploads/{file_id}/content", token=self.p.token)

    def ack(self, file_id):
        return self.p.call("POST", f"/workspaces/{self.p.id}/pending-uploads/{file_id}/ack", token=self.p.token)

    def test_one_transaction_for_all_files(self):
        raw = bytes(range(256)) * 10 + b"\r\n------edg\r\n"
        a = self.upload(("a; b.txt", "text/plain", b"hello"), ("../c.bin", "application/x", raw), ("empty", "text/plain", b""))
        self.assertEqual(a.status, 200, a)
        self.assertEqual([(f["name"], f["mimeType"], f["size"]) for f in a.json["files"]],
                         [("a; b.txt", "text/plain", 5), ("c.bin", "application/x", len(raw)), ("empty", "text/plain", 0)])
        rows = self.feed().json
        self.assertEqual({r["created_at"] for r in rows}, {rows[0]["created_at"]}, "one time")
        self.assertEqual({(r["method"], r["activity_type"], r["source_id"], r["duration_ms"]) for r in rows},
                         {("chat_upload_receive", "a2a_receive", None, None)})
        bodies = [r["request_body"] for r in reversed(rows)]
        self.assertEqual([{k: b[k] for k in b if k != "file_id"} for b in bodies], a.json["files"])
        self.assertEqual(bodies[0]["uri"], f"platform-pending:{self.p.id}/{bodies[0]['file_id']}")
        for body, (kind, data) in zip(bodies, (("text/plain", b"hello"), ("application/x", raw), ("text/plain", b""))):
            got = self.content(body["file_id"])
            self.assertEqual((got.status, got.headers["Content-Type"], got.body), (200, kind, data))
            self.assertEqual(got.headers["Content-Disposition"], f'attachment; filename="{body["name"]}"')
            self.assertEqual(self.ack(body["file_id"]).json, {"acked": True})
            self.assertEqual((self.content(body["file_id"]).status, self.ack(body["file_id"]).status), (404, 404), "acknowledged")

    def test_refusals(self):
        self.assertEqual(self.upload().status, 400)
        self.assertEqual(self.upload(("a", "text/plain", b"x"), name="other").status, 400)
        self.assertEqual(self.upload(*[("a", "text/plain", b"x")] * 65).status, 400)
        self.assertEqual(self.upload(("a", "text/plain", b"x" * (25 * 1024 * 1024 + 1))).status, 413)
        self.assertEqual(self.content("7").status, 400)
        self.assertEqual(self.content(uuid.uuid4()).status, 404)
        self.assertEqual(self.feed().json, [])

    def test_of_another_workspace_and_too_old(self):
        file_id = self.upload(("a", "text/plain", b"x")).json["files"][0]["uri"].rpartition("/")[2]
        other = self.p.call("POST", "/workspaces", {"name": "other", "runtime": "external"}).json
        path = f"/workspaces/{other['id']}/pending-uploads/{file_id}/content"
        self.assertEqual(self.p.call("GET", path, token=other["connection"]["auth_token"]).status, 404)
        self.assertEqual(self.p.call("GET", f"/workspaces/{self.p.id}/pending-uploads/{file_id}/content", token="x").status, 401)
        self.p.faults(expire_uploads=True)
        self.assertEqual((self.content(file_id).status, self.ack(file_id).status), (404, 404))


class Answers(Feed):
    def test_each_answer_is_listed_once(self):
        peer = self.p.call("POST", "/workspaces", {"name": "peer", "runtime": "external", "delivery_mode": "poll"}).json["id"]
        self.call_ok("POST", f"/workspaces/{self.p.id}/notify", {"message": "to a person"})
        reply = a2a("to a peer", metadata={"in_reply_to": "m1", "reply": True})
        self.call_ok("POST", f"/workspaces/{peer}/a2a", reply, X_Workspace_ID=self.p.id)
        self.call_ok("POST", f"/workspaces/{peer}/a2a", a2a("no reply"), X_Workspace_ID=self.p.id)
        self.p.faults({"path": "/workspaces/*/notify", "drop": True, "count": 1},
                      {"path": "/workspaces/*/notify", "drop": True, "count": 1, "after": True})
        for text in ("dropped before", "dropped after"):
            with self.assertRaises(OSError):
                self.call_ok("POST", f"/workspaces/{self.p.id}/notify", {"message": text})
        answers = self.p.answers()
        self.assertEqual([(a["n"], a["kind"], a["from"], a["to"], a["text"], a["in_reply_to"]) for a in answers],
                         [(1, "notify", self.p.id, None, "to a person", None), (2, "reply", self.p.id, peer, "to a peer", "m1"),
                          (3, "notify", self.p.id, None, "dropped after", None)])
        self.assertEqual(answers[1]["message_id"], reply["params"]["message"]["messageId"])
        self.assertEqual([a["n"] for a in self.p.answers(since=2)], [3])


class Delegations(Feed):
    def setUp(self):
        super().setUp()
        self.base = f"/workspaces/{self.p.id}"
        self.peer = self.p.peer()

    def delegate(self, **body):
        return self.p.call("POST", f"{self.base}/delegate", {"target_id": self.peer[0], "task": "t", **body}, token=self.p.token)

    def test_the_target_never_sees_it(self):
        a = self.delegate(idempotency_key="k")
        self.assertEqual((a.status, a.json["status"], a.json["target_id"]), (202, "delegated", self.peer[0]))
        again = self.delegate(idempotency_key="k")
        self.assertEqual((again.status, again.json), (200, {**a.json, "status": "dispatched", "idempotent_hit": True}))
        self.assertEqual(self.p.state(self.peer[0])["activity_rows"], 0)
        shown = self.call_ok("GET", f"{self.base}/delegations")
        self.assertEqual([(d["status"], d["delegation_id"]) for d in shown], [("dispatched", a.json["delegation_id"])])
        for body, error in (({"task": ""}, "invalid delegation request"), ({"target_id": "7"}, "target_id must be a valid UUID"),
                            ({"target_id": self.p.id}, "self-delegation not permitted")):
            refused = self.delegate(**body)
            self.assertEqual((refused.status, refused.json["error"]), (400, error))

    def test_a_failed_one_frees_its_key(self):
        first = self.delegate(idempotency_key="k").json["delegation_id"]
        self.call_ok("POST", f"{self.base}/delegations/{first}/update", {"status": "failed", "error": "e"})
        self.assertEqual(self.delegate(idempotency_key="k").status, 202)
        failed = self.call_ok("GET", f"{self.base}/delegations")[1]
        self.assertEqual((failed["status"], failed["error"], "delegation_id" in failed), ("failed", "e", False))

    def test_results(self):
        for flags, inbox in (((), []), (("--delegation-results",), ["delegate_result"])):
            p = self.platform("--rate-limit", "0", *flags)
            base, peer, mine = f"/workspaces/{p.id}", p.peer(), str(uuid.uuid4())
            a = p.call("POST", f"{base}/delegations/record", {"target_id": peer[0], "task": "t", "delegation_id": mine}, token=p.token)
            self.assertEqual((a.status, a.json), (202, {"delegation_id": mine, "status": "recorded"}))
            done = {"status": "completed", "response_preview": "x" * 400}
            self.assertEqual(p.call("POST", f"{base}/delegations/{mine}/update", done, token=p.token).status, 200)
            row = p.call("GET", f"{base}/activity?type=delegation&limit=1", token=p.token).json[0]
            self.assertEqual((row["method"], row["response_body"]), ("delegate_result", {"delegation_id": mine, "text": "x" * 400}))
            shown = p.call("GET", f"{base}/delegations", token=p.token).json
            self.assertEqual([d.get("response_preview") for d in shown], ["x" * 300, None])
            rows = p.call("GET", f"{base}/activity?type=a2a_receive", token=p.token).json
            self.assertEqual([r["method"] for r in rows], inbox)
            self.assertEqual([(r["source_id"], r["target_id"], r["status"], r["response_body"]["delegation_id"]) for r in rows],
                             [(p.id, None, "ok", mine)] * len(inbox))


class Bodies(Feed):
    """Answers that do not arrive whole."""

    def test_slow_and_cut(self):
        path = f"/workspaces/{self.p.id}/state"
        self.p.faults({"path": path, "slow_body_ms": 300, "count": 1}, {"path": path, "cut_body": True, "count": 1})
        begin = time.monotonic()
        self.assertEqual(self.call_ok("GET", path)["status"], "online")
        self.assertGreaterEqual(time.monotonic() - begin, 0.25)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            self.call_ok("GET", path)
        self.p.faults({"path": path, "status": 200, "body": "<html></html>", "content_type": "text/html", "cut_body": False, "count": 1},
                      {"path": path, "status": 500, "body": "", "content_type": "text/plain", "count": 1})
        a = self.p.call("GET", path, token=self.p.token)
        self.assertEqual((a.status, a.headers["Content-Type"], a.text), (200, "text/html", "<html></html>"))
        self.assertEqual((self.p.call("GET", path, token=self.p.token).status), 500)

    def test_some_of_the_calls_and_the_same_ones_for_a_seed(self):
        path = f"/workspaces/{self.p.id}/state"
        seen = []
        for _ in range(2):
            self.p.faults({"path": path, "status": 503, "percent": 50}, seed=7)
            seen.append([self.p.call("GET", path, token=self.p.token).status for _ in range(40)])
            self.p.clear_faults()
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(set(seen[0]), {200, 503})

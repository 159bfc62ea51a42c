"""What the development platform has answered with --data is there after a SIGKILL."""
import resource
import signal
import sqlite3
import subprocess
import uuid

import harness
from harness import a2a, eventually

CARD = {"name": "n"}


class Data(harness.Case):
    def setUp(self):
        super().setUp()
        self.file = self.dir / "platform.db"
        self.id = str(uuid.uuid4())
        self.p = self.open()

    def open(self, *flags):
        return self.platform("--rate-limit", "0", "--stale-after", "1h", "--data", str(self.file), *flags, workspaces=[f"{self.id}:{harness.TOKEN}"])

    def kill(self, *flags):
        """SIGKILL, and another one; with other flags also on another port."""
        if flags:
            self.p.signal(signal.SIGKILL)
            self.p.wait_exit()
        self.p = self.open(*flags) if flags else self.reopen(self.p)

    def call(self, method, path, body=None, token=harness.TOKEN, **kw):
        return self.p.call(method, path, body, token=token, **kw)

    def register(self, **body):
        return self.call("POST", "/registry/register", {"id": self.id, "agent_card": CARD, "delivery_mode": "poll", **body})

    def agent_that_hangs_up(self):
        """Its URL. It reads one byte of each request."""
        port = harness.free_port()
        agent = self.process("agent", harness.python(
            "import socket, sys\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); print('here', flush=True)\n"
            "while True:\n c, _ = s.accept(); c.recv(1); c.close()", str(port)))
        agent.wait_line("here")
        return f"http://localhost:{port}/"

    def test_everything_survives_a_kill(self):
        self.register()
        peer = self.call("POST", "/workspaces", {"name": "peer", "role": "helper", "runtime": "external", "parent_id": self.id,
                                                 "delivery_mode": "poll", "secrets": {"K": "v"}, "max_concurrent_tasks": 3}, token=None).json
        self.call("POST", f"/workspaces/{self.id}/secrets", {"key": "S", "value": "s"})
        minted = self.call("POST", f"/workspaces/{self.id}/tokens").json["auth_token"]
        tokens = self.call("GET", f"/workspaces/{self.id}/tokens").json["tokens"]
        self.assertEqual(self.call("DELETE", f"/workspaces/{self.id}/tokens/{tokens[0]['id']}").status, 200)
        self.p.send("hello", X_Workspace_ID=peer["id"], Authorization=f"Bearer {peer['connection']['auth_token']}")
        self.call("POST", f"/workspaces/{self.id}/notify", {"message": "ä \"quoted\""}, token=minted)
        self.call("POST", f"/workspaces/{peer['id']}/a2a", a2a("re", metadata={"in_reply_to": "m"}), token=minted, X_Workspace_ID=self.id)
        self.p.rows([{"source_id": peer["id"], "response_body": None, "duration_ms": 5, "status": "error", "error_detail": "e"}])
        gone = self.call("POST", "/workspaces", {"name": "gone", "runtime": "external"}, token=None).json["id"]
        self.p.rows([{"text": "x"}], workspace=gone)
        self.call("DELETE", f"/workspaces/{gone}?purge=true", token=None)
        self.call("POST", f"/workspaces/{peer['id']}/pause", token=None)

        def seen():
            path = f"/workspaces/{self.id}"
            state = self.p.state()
            return {"feed": self.call("GET", f"{path}/activity", token=minted).json, "row": self.call("GET", path).json,
                    "secrets": self.call("GET", f"{path}/secrets/values", token=minted).json, "answers": self.p.answers(),
                    "peer": self.call("GET", f"/workspaces/{peer['id']}").json, "old": self.call("GET", f"{path}/state").status,
                    "state": {k: state[k] for k in ("status", "agent_card", "registrations", "live_tokens", "activity_rows")},
                    "peers": self.call("GET", f"/registry/{self.id}/peers", token=minted).json,
                    "gone": self.call("GET", f"/workspaces/{gone}").status}

        before = seen()
        self.assertEqual((len(before["feed"]), before["old"], before["gone"], len(before["answers"])), (3, 401, 404, 2))
        self.kill()
        self.assertEqual(seen(), before)
        self.kill()
        self.assertEqual(seen(), before, "what was read is what was written")
        cursor = before["feed"][-1]["id"]
        self.assertEqual(len(self.call("GET", f"/workspaces/{self.id}/activity?since_id={cursor}", token=minted).json), 2)

    def test_files_survive_until_they_are_acknowledged(self):
        self.register()
        body = b'--e\r\nContent-Disposition: form-data; name="files"; filename="f"\r\n\r\n\x00\xff\r\n--e--\r\n'
        url = f"/workspaces/{self.id}/pending-uploads/"
        ids = []
        for _ in range(2):
            a = self.call("POST", f"/workspaces/{self.id}/chat/uploads", body, Content_Type="multipart/form-data; boundary=e")
            ids.append(a.json["files"][0]["uri"].rpartition("/")[2])
        self.assertEqual(self.call("POST", f"{url}{ids[1]}/ack").status, 200)
        self.kill()
        self.assertEqual(self.call("GET", f"{url}{ids[0]}/content").body, b"\x00\xff")
        self.assertEqual(self.call("GET", f"{url}{ids[1]}/content").status, 404)
        self.assertEqual(len(self.call("GET", f"/workspaces/{self.id}/activity").json), 2)

    def test_the_busy_queue_survives(self):
        self.register(delivery_mode="push", url=self.agent_that_hangs_up())
        body = a2a("later", messageId="m-1")
        queued = self.p.call("POST", f"/workspaces/{self.id}/a2a", {**body, "params": {**body["params"], "expires_in_seconds": 3600}})
        self.assertEqual(queued.status, 202, queued)
        status = f"/workspaces/{self.id}/a2a/queue/{queued.json['queue_id']}"
        before = self.call("GET", status).json
        self.assertIn("expires_at", before)
        self.kill()
        self.assertEqual(self.call("GET", status).json, before)
        self.call("POST", "/registry/heartbeat", {"workspace_id": self.id})
        eventually(lambda: self.call("GET", status).json["attempts"] == 1, "it is tried again")

    def test_an_expired_message_is_dropped(self):
        self.register(delivery_mode="push", url="http://localhost:1/")
        self.register(delivery_mode="push", url=self.agent_that_hangs_up())
        body = a2a("soon old")
        body["params"]["expires_in_seconds"] = 0.001
        item = self.p.call("POST", f"/workspaces/{self.id}/a2a", body).json["queue_id"]

        def is_dropped():  # a beat may be quicker than a millisecond
            self.call("POST", "/registry/heartbeat", {"workspace_id": self.id})
            return self.call("GET", f"/workspaces/{self.id}/a2a/queue/{item}").json["status"] == "dropped"

        eventually(is_dropped, "it is too old")

    def test_every_acknowledged_message_is_there(self):
        """Three senders and a SIGKILL in the middle, several times."""
        self.register()
        promised = []
        for round_number in range(4):
            def send(sender, p=self.p):
                done = []
                try:
                    for n in range(100000):
                        text = f"{round_number}/{sender}/{n}"
                        if p.send(text).status == 200:
                            done.append(text)
                except OSError:
                    return done
                except harness.http.client.HTTPException:
                    return done

            threads = [self.thread(send, s) for s in range(3)]
            before = self.p.state()["activity_rows"]
            eventually(lambda: self.p.state()["activity_rows"] >= before + 20, "messages come in")
            self.p.signal(signal.SIGKILL)
            self.p.wait_exit()
            promised += [text for t in threads for text in t.result()]
            self.p = self.open()
        rows, page = [], self.call("GET", f"/workspaces/{self.id}/activity?limit=500").json
        while page:
            rows += page
            page = self.call("GET", f"/workspaces/{self.id}/activity?limit=500&before_ts={page[-1]['created_at']}").json
        texts = [r["request_body"]["params"]["message"]["parts"][0]["text"] for r in rows]
        self.assertGreaterEqual(len(promised), 60)
        self.assertEqual(set(promised) - set(texts), set(), "promised, and lost")
        self.assertEqual(len(texts), len(set(texts)))

    def test_late_rows_survive(self):
        self.register()
        self.p.faults(rows={"late_percent": 100, "late_ms": 600000})
        self.p.send("late")
        self.assertEqual(self.call("GET", f"/workspaces/{self.id}/activity").json, [])
        self.kill()
        self.assertEqual(len(self.call("GET", f"/workspaces/{self.id}/activity").json), 1)

    def test_forgotten_rows_stay_forgotten_and_seq_goes_on(self):
        self.register()
        self.p.rows([{"text": "a"}, {"text": "b"}])
        self.p.faults(forget_rows=0)
        self.kill("--feed", "later")
        self.assertEqual(self.call("GET", f"/workspaces/{self.id}/activity").json, [])
        self.p.rows([{"text": "c"}])
        self.assertEqual([r["seq"] for r in self.call("GET", f"/workspaces/{self.id}/activity").json], [3])

    def test_what_cannot_be_kept_is_not_promised(self):
        self.register()
        resource.prlimit(self.p.pid, resource.RLIMIT_FSIZE, (4096, 4096))  # no file grows any more: as on a full disk
        with self.assertRaises((OSError, harness.http.client.HTTPException)):
            self.p.send("x" * 100000)
        self.assertEqual(self.p.wait_exit(), 70)
        self.assertRegex(self.p.err[-1], "--data cannot be written")
        self.p = self.open()
        self.assertEqual(self.call("GET", f"/workspaces/{self.id}/activity").json, [])

    def test_files_that_are_not_ours(self):
        def refused(path):
            r = subprocess.run([harness.DEVPLATFORM, "--listen", "127.0.0.1:0", "--data", str(path)], capture_output=True, text=True,
                               timeout=harness.PATIENCE)
            return r.returncode, r.stderr

        with self.subTest("another database"):
            other = self.dir / "other.db"
            with sqlite3.connect(other) as db:
                db.execute("CREATE TABLE t (x)")
            db.close()
            self.assertRegex(str(refused(other)), r"^\(2, .*not ours")
        with self.subTest("no database"):
            text = self.dir / "text.db"
            text.write_text("hello " * 1000)
            self.assertRegex(str(refused(text)), r"^\(2, .*--data .*not a database")
        with self.subTest("in use"):
            self.assertRegex(str(refused(self.file)), r"^\(2, .*locked")
        with self.subTest("no directory"):
            self.assertRegex(str(refused(self.dir / "no" / "x.db")), r"^\(2, .*unable to open")

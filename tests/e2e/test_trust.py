"""Who may call, and what a repeated message costs: the real binary, real agents."""
import json
import os
import socket
import struct
import subprocess
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get, post


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Tokens(harness.Case):
    def tokens(self, text, mode=0o600):
        path, fresh = self.dir / "tokens", self.dir / "tokens.new"
        fresh.write_text(text)
        fresh.chmod(mode)
        os.rename(fresh, path)
        return str(path)

    def test_callers_need_one_of_the_file_and_it_may_change(self):
        path = self.tokens("# the canvas\ntoken-one-1\n")
        side = self.sidecar(None, "--listen-bearer-tokens-file", path, command=harness.test_agent("mirror.py")).wait_ready()

        def status(token):
            return post(side.port, "/", a2a("hello"), headers=bearer(token) if token else {}).status

        self.assertEqual([status(t) for t in (None, "token-two-2", "token-one-1")], [401, 401, 200])
        seen = post(side.port, "/", a2a("hello"), headers=bearer("token-one-1")).json
        self.assertNotIn("authorization", [name.lower() for name, _ in seen["headers"]])
        self.assertNotEqual(get(side.port, "/.well-known/agent-card.json").status, 401)
        self.assertNotEqual(get(side.port, "/tenant/.well-known/agent-card.json").status, 200)
        self.tokens("token-two-2\n")
        eventually(lambda: status("token-two-2") == 200, "the new token is good")
        self.assertEqual(status("token-one-1"), 401)
        self.tokens("bad\n")
        eventually(lambda: status("token-two-2") == 200 and "going on with the tokens known before" in side.text(), "the warning")
        side.wait_line("tokens:1: a token has 3 bytes")
        self.assertNotRegex(side.text(), "token-(one|two)-")

    def test_a_bad_file_is_no_start_and_said_with_its_line(self):
        for text, mode, status, sentence in (("good-token-1\nshort\n", 0o600, 2, ":2: a token has 5 bytes, must have 8 to 4096"),
                                             ("", 0o600, 2, "no token in the file"),
                                             ("good-token-1\n", 0o644, 0, "has mode 0644, so others may read the tokens")):
            r = subprocess.run([harness.SIDECAR, "check-config", "--platform-enabled", "false",
                                "--listen-bearer-tokens-file", self.tokens(text, mode)],
                               env=harness.clean_environment(self.dir), capture_output=True, text=True, timeout=60)
            self.assertEqual(r.returncode, status, r)
            self.assertIn(sentence, r.stderr)
            self.assertNotIn("good-token-1", r.stderr + r.stdout)


class Secret(harness.Case):
    """listen.inbound_auth with a platform that names its secret."""

    def test_require_auto_off(self):
        for mode, stranger, sees in (("require", 401, None), ("auto", 200, None), ("off", 200, "secret")):
            with self.subTest(mode):
                platform = self.platform()
                side = self.sidecar(platform, "--listen-inbound-auth", mode, "--platform-heartbeat-interval", "200ms",
                                    "--platform-state-interval", "200ms", command=harness.test_agent("mirror.py"), push=True)
                side.wait_ready()
                path = side.state_dir / ".platform_inbound_secret"
                secret = eventually(lambda: path.exists() and path.read_text().strip(), "the platform names its secret")
                seen = eventually(lambda: (a := post(side.port, "/", a2a("x"), headers=bearer(secret))).status == 200 and a,
                                  "the secret is known").json
                values = [v for name, v in seen["headers"] if name.lower() == "authorization"]
                self.assertEqual(values, [f"Bearer {secret}"] if sees else [])
                self.assertEqual(post(side.port, "/", a2a("x"), headers=bearer("agents-own")).status, stranger)
                a = post(side.port, "/", a2a("x"), headers=bearer(harness.TOKEN))
                self.assertEqual(a.status, stranger, "the workspace's token opens nothing")
                self.assertNotIn(harness.TOKEN, a.text, "and the agent never sees it")


class Uploads(harness.Case):
    def test_a_file_of_the_platform_is_there_for_the_agent(self):
        platform = self.platform()
        place = self.dir / "up" / "loads"
        side = self.sidecar(platform, "--forward-uploads-dir", str(place), "--platform-heartbeat-interval", "200ms",
                            "--platform-state-interval", "200ms", command=example_agent(), push=True).wait_ready()
        path = side.state_dir / ".platform_inbound_secret"
        secret = eventually(lambda: path.exists() and path.read_text().strip(), "the platform names its secret")
        content = os.urandom(300000)
        body = (b'--b\r\nContent-Disposition: form-data; name="files"; filename="photo.png"\r\nContent-Type: image/png\r\n\r\n'
                + content + b"\r\n--b--\r\n")

        def upload(token):
            return post(side.port, "/internal/chat/uploads/ingest", body,
                        headers={"Content-Type": "multipart/form-data; boundary=b", **bearer(token)})

        a = eventually(lambda: (a := upload(secret)).status == 200 and a, "the secret is known")
        (file,) = a.json["files"]
        self.assertEqual((file["name"], file["mimeType"], file["size"]), ("photo.png", "image/png", len(content)))
        scheme, _, stored = file["uri"].partition(":")
        self.assertEqual((scheme, os.path.dirname(stored)), ("workspace", str(place)))
        with open(stored, "rb") as f:
            self.assertEqual(f.read(), content)
        self.assertEqual(upload("somebody").status, 401)
        self.assertEqual(len(list(place.iterdir())), 1)


class Repeats(harness.Case):
    def setUp(self):
        super().setUp()
        self.go = self.dir / "go"

    def slow(self, *flags, platform=None, push=False):
        return self.sidecar(platform, "--forward-dedupe-window", "1h", "--agent-ready-path", "/", *flags,
                            command=harness.test_agent("slow.py", str(self.go)), push=push).wait_ready()

    def asked(self, side):
        return sum(line.startswith("asked ") for line in side.lines)

    def deduped(self, side):
        return side.metrics()["molecule_sidecar_requests_deduped_total"]

    def test_a_message_sent_again_is_worked_on_once(self):
        side = self.slow()
        message = a2a("do it")
        first = self.thread(lambda: post(side.port, "/", message))
        side.wait_line("^asked 1")
        again = self.thread(lambda: post(side.port, "/", message))
        eventually(lambda: self.deduped(side) == 1, "the repeat has joined")
        self.go.touch()
        bodies = {first.result(harness.PATIENCE).body, again.result(harness.PATIENCE).body, post(side.port, "/", message).body}
        self.assertEqual(len(bodies), 1)
        self.assertEqual(post(side.port, "/", message, headers=bearer("somebody-else")).json["result"]["messageId"], "2")
        self.assertEqual(post(side.port, "/", {**message, "id": 2}).json["result"]["messageId"], "3")
        side.wait_line("^asked 3")
        self.assertEqual((self.asked(side), self.deduped(side)), (3, 2))
        side.wait_line('"outcome":"deduped"|outcome=deduped')

    def test_a_sender_that_gives_up_and_comes_again_gets_the_first_ones_answer(self):
        side = self.slow()
        body = json.dumps(a2a("do it")).encode()
        with socket.create_connection(("127.0.0.1", side.port)) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n%s" % (side.port, len(body), body))
            side.wait_line("^asked 1")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone, not only half closed
        eventually(lambda: get(side.admin, "/metrics").text.count('outcome="client_gone"} 1'), "it is gone")
        self.assertEqual(side.metrics()["molecule_sidecar_requests_in_flight"], 1)
        again = self.thread(lambda: post(side.port, "/", body, headers={"Content-Type": "application/json"}))
        eventually(lambda: self.deduped(side) == 1, "the repeat has joined")
        self.go.touch()
        self.assertEqual(answer_text(again.result(harness.PATIENCE).json), "answer 1")
        self.assertEqual(self.asked(side), 1)

    def test_a_stop_waits_for_work_without_a_client(self):
        side = self.slow("--stop-grace", "120s")
        body = json.dumps(a2a("do it")).encode()
        with socket.create_connection(("127.0.0.1", side.port)) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            side.wait_line("^asked 1")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone, not only half closed
        eventually(lambda: get(side.admin, "/metrics").text.count('outcome="client_gone"} 1'), "it is gone")
        side.signal(15)
        side.wait_line("running -> draining")
        self.assertTrue(side.is_running())
        self.go.touch()
        self.assertEqual(side.wait_exit(), 0)

    def test_off_by_default(self):
        side = self.sidecar(command=example_agent()).wait_ready()
        message = a2a("hello")
        first, second = post(side.port, "/", message), post(side.port, "/", message)
        self.assertEqual((first.status, second.status, self.deduped(side)), (200, 200, 0))
        eventually(lambda: side.metrics()['molecule_sidecar_requests_total{outcome="ok"}'] == 2, "both were the agent's")


if __name__ == "__main__":
    unittest.main()

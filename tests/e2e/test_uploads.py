"""A file that somebody attaches in the canvas, from the platform through the sidecar to a place where the agent finds it."""
import os
import pathlib
import signal
import socket
import unittest
import uuid

import harness
from harness import eventually, example_agent, post

MIB = 1024 * 1024
CARD = {"name": "n", "description": "d", "version": "1", "skills": []}
FORM = "multipart/form-data; boundary=edge"


def form(*files):
    """The body of a canvas' upload: (name, type, content) of each."""
    parts = (b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n'
             % (name.encode(), kind.encode(), content) for name, kind, content in files)
    return b"".join(parts) + b"--edge--\r\n"


class Uploads(harness.Case):
    def upload(self, platform, body, workspace=None, kind=FORM):
        return post(platform.port, f"/workspaces/{workspace or platform.id}/chat/uploads", body, headers={"Content-Type": kind})

    def pair(self, *flags):
        """A platform and a sidecar that knows its inbound secret."""
        platform = self.platform()
        side = self.sidecar(platform, *flags, "--platform-heartbeat-interval", "200ms", command=example_agent(), push=True).wait_ready()
        platform.wait_status("online")
        eventually((side.state_dir / ".platform_inbound_secret").exists, "the secret is kept")
        return platform, side

    def test_files_arrive_whole(self):
        place = self.dir / "uploads"
        platform, _ = self.pair("--forward-uploads-dir", str(place))
        files = [("photo.png", "image/png", os.urandom(3 * MIB)), ("notes.txt", "text/plain", b""), ("a b/../c.bin", "x/y", b"--edg\r\n--edg")]
        answer = eventually(lambda: (a := self.upload(platform, form(*files))).status == 200 and a, "the sidecar takes it")
        got = answer.json["files"]
        self.assertEqual([(f["mimeType"], f["size"]) for f in got], [(kind, len(content)) for _, kind, content in files])
        for file, (_, _, content) in zip(got, files, strict=True):
            scheme, _, path = file["uri"].partition(":")
            self.assertEqual((scheme, pathlib.Path(path).parent), ("workspace", place))
            self.assertEqual(pathlib.Path(path).read_bytes(), content)
        self.assertEqual(len(list(place.iterdir())), len(files))

    def test_what_is_too_large_leaves_nothing(self):
        place = self.dir / "uploads"
        platform, side = self.pair("--forward-uploads-dir", str(place))
        small = form(("a.txt", "text/plain", b"a"))
        eventually(lambda: self.upload(platform, small).status == 200, "the sidecar takes uploads")
        before = sorted(place.iterdir())
        a = self.upload(platform, form(("small.txt", "text/plain", b"a"), ("large.bin", "x/y", bytes(25 * MIB + 1))))
        self.assertEqual(a.status, 413, a)
        eventually(lambda: sorted(place.iterdir()) == before, "nothing of it stays")
        self.assertEqual(self.upload(platform, form(("huge.bin", "x/y", bytes(52 * MIB)))).status, 413, "the platform's own limit")
        self.assertEqual(self.upload(platform, small).status, 200)
        self.assertTrue(side.is_running())

    def test_a_stop_waits_for_those_under_way(self):
        body = form(("a.txt", "text/plain", b"x" * 100))
        for order in "drain-first", "signal-first":  # the files are ours to store, also when the agent has gone
            with self.subTest(order):
                place = self.dir / order
                _, side = self.pair("--forward-uploads-dir", str(place), "--stop-grace", "120s", "--stop-order", order)
                secret = (side.state_dir / ".platform_inbound_secret").read_bytes().strip()
                with socket.create_connection(("127.0.0.1", side.port), timeout=120) as s:
                    s.sendall(b"POST /internal/chat/uploads/ingest HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n"
                              b"Content-Length: %d\r\n\r\n" % (secret, FORM.encode(), len(body)) + body[:-50])
                    eventually(lambda: side.metrics()["molecule_sidecar_work"] == 1, "it has begun")
                    side.signal(signal.SIGTERM)
                    line = side.wait_line("drain: waiting for 1 request ")
                    self.assertIn("1 uploads); the longest", line)
                    self.assertRegex(line, r"for \S+: POST /internal/chat/uploads/ingest from 127.0.0.1: an upload under way")
                    if order == "signal-first":
                        eventually(lambda: not side.agent_pids(), "the agent has gone")
                    s.sendall(body[-50:])
                    answer = b""
                    while more := s.recv(65536):
                        answer += more
                self.assertIn(b"HTTP/1.1 200 OK", answer)
                self.assertEqual(side.wait_exit(120), 0)
                self.assertEqual([f.read_bytes() for f in place.iterdir()], [b"x" * 100])

    def test_what_the_platform_answers_itself(self):
        platform, _ = self.pair()
        body = form(("a.txt", "text/plain", b"a"))
        self.assertEqual(self.upload(platform, body).status, 502, "the sidecar has no directory for uploads")
        self.assertEqual(self.upload(platform, body, kind="application/json").status, 400)
        self.assertEqual(self.upload(platform, body, workspace=str(uuid.uuid4())).status, 404)
        fresh = platform.call("POST", "/workspaces", {"name": "no url", "runtime": "external"}).json["id"]
        self.assertEqual(self.upload(platform, body, workspace=fresh).status, 503)
        polls = str(uuid.uuid4())
        platform.call("POST", "/registry/register", {"id": polls, "agent_card": CARD, "delivery_mode": "poll"})
        kept = self.upload(platform, body, workspace=polls)
        self.assertEqual((kept.status, kept.json["files"][0]["uri"].startswith(f"platform-pending:{polls}/")), (200, True))


if __name__ == "__main__":
    unittest.main()

"""Clients and an agent that keep to no rule, all at once: the sidecar serves on, forgets them all, and drains."""
import contextlib
import os
import random
import resource
import select
import signal
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402

SEED = int(os.environ.get("HOSTILE_SEED", "20"))
CONNECTIONS = int(os.environ.get("HOSTILE_CONNECTIONS", "1500"))
AT_ONCE = 60

BODY = b'{"jsonrpc":"2.0","id":7,"method":"message/send","params":{}}'
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


def pick(dice):
    """The bytes of one connection."""
    small = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    return dice.choice([
        lambda: small,
        lambda: small * 20,
        lambda: small.replace(b"Host", b"Connection: close\r\nHost"),
        lambda: POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in BODY) + b"0\r\n\r\n" + small,
        lambda: POST + b"Content-Length: 100000\r\n\r\n" + b"y" * 100000,
        lambda: POST + b"Content-Length: 100000\r\n\r\n" + b"y" * dice.randrange(100000),
        lambda: POST + b"Expect: 100-continue\r\nContent-Length: 60\r\n\r\n" + BODY,
        lambda: POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        lambda: POST + b"Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
        lambda: POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n" + b"z" * 5000,
        lambda: POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        lambda: b"GET http://other.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
        lambda: b"GET / HTTP/1.0\r\n\r\n",
        lambda: b"GET http://h HTTP/1.0\r\n\r\n",
        lambda: b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" * 5,
        lambda: b"GET /agent/card HTTP/1.1\r\nHost: a\r\nContent-Length: 70\r\n\r\n" + small[:70] + small,
        lambda: b"HEAD /.well-known/agent.json HTTP/1.1\r\nHost: %s\r\n\r\n" % (b"h" * 3000),
        lambda: b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"v" * dice.randrange(70000) + b"\r\n\r\n",
        lambda: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * dice.randrange(300) + b"\r\n",
        lambda: b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        lambda: b"\x16\x03\x01\x02\x00",
        lambda: b"\r\n" * dice.randrange(8) + small,
        lambda: dice.randbytes(dice.randrange(3000)),
        lambda: bytes(b ^ (1 << dice.randrange(8)) if dice.random() < 0.02 else b for b in small * 2),
        lambda: b"",
    ])()


class Client:
    """Writes in random pieces, reads now and then, ends in one of several ways."""

    def __init__(self, dice, port):
        self.dice = dice
        self.s = socket.socket()
        if dice.random() < 0.2:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.s.connect(("127.0.0.1", port))
        self.s.setblocking(False)
        self.left = pick(dice)
        self.end = dice.choice(["read", "read", "read", "close", "reset", "shut", "cut"])
        self.until = time.monotonic() + dice.choice([0.02, 0.1, 0.5])
        if self.end == "cut":
            self.left = self.left[:dice.randrange(len(self.left) + 1)]
        self.is_shut = False

    def step(self):
        """False: it is over."""
        with contextlib.suppress(BlockingIOError):
            if self.left:
                n = self.dice.choice([1, 7, 200, 70000])
                self.left = self.left[self.s.send(self.left[:n]):]
            elif self.end == "shut" and not self.is_shut:
                self.s.shutdown(socket.SHUT_WR)
                self.is_shut = True
            elif self.end in ("close", "reset", "cut"):
                return False
        with contextlib.suppress(BlockingIOError):
            if self.dice.random() < 0.7 and not self.s.recv(self.dice.choice([1, 100, 65536])):
                return False
        return time.monotonic() < self.until

    def finish(self):
        if self.end == "reset":
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


def storm(port, seed, count):
    dice = random.Random(seed)
    clients = []
    while count or clients:
        while count and len(clients) < AT_ONCE:
            clients.append(Client(dice, port))
            count -= 1
        for c in list(clients):
            try:
                goes_on = c.step()
            except OSError:
                goes_on = False
            if not goes_on:
                c.finish()
                clients.remove(c)
        select.select([], [], [], 0.001)


class Storm(harness.Case):
    def test_it_serves_and_drains_after_a_storm(self):
        side = self.sidecar(None, "--forward-hold-timeout", "300ms", "--stop-grace", "30s",
                            command=harness.test_agent("hostile.py", str(SEED)))
        side.wait_ready()
        storm(side.port, SEED, CONNECTIONS)
        harness.eventually(lambda: side.metrics()["molecule_sidecar_connections"] == 0, "all connections are forgotten")
        for name in ("in_flight", "held"):
            harness.eventually(lambda n=name: side.metrics()[f"molecule_sidecar_requests_{n}"] == 0, f"nothing is {name}")
        self.assertEqual(side.metrics()["molecule_sidecar_streams"], 0)
        self.assertEqual(harness.get(side.port, "/agent/card").json["name"], "hostile")
        self.assertTrue(side.is_probe("livez"))
        side.signal(signal.SIGTERM)
        self.assertEqual(side.wait_exit(), 0, side.exit_sentence())
        self.assertNotRegex(side.text(), "Assertion|Sanitizer|runtime error")

    def test_a_crowd_takes_no_descriptor_that_beats_and_probes_need(self):
        p = self.platform()
        side = self.sidecar(p, "--platform-heartbeat-interval", "1s", command=harness.example_agent(),
                            preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)))
        side.wait_ready()
        self.assertIn("raise it (ulimit -n", side.wait_line("listen.max_connections is 1024"))
        with contextlib.ExitStack() as crowd:
            for _ in range(300):  # more than descriptors; half of them begin a request
                s = crowd.enter_context(socket.socket())
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", side.port))
                with contextlib.suppress(OSError):
                    s.send(POST + b"Content-Length: 9\r\n\r\n")
            since = p.last_seq()
            p.wait_call("/registry/heartbeat", since=since, count=3)
            self.assertTrue(side.is_probe("livez"))
            self.assertEqual(side.command("status")[0], 0)
            self.assertNotIn("Too many open files", side.text())
        harness.eventually(lambda: side.send("hello").status == 200, "it serves again")

    def test_probes_get_through_a_crowd_of_silent_connections(self):
        side = self.sidecar(None, command=harness.example_agent()).wait_ready()
        with contextlib.ExitStack() as crowd:
            begin = time.monotonic()
            for _ in range(200):
                crowd.enter_context(socket.create_connection(("127.0.0.1", side.admin)))
            self.assertTrue(side.is_probe("livez"))
            self.assertLess(time.monotonic() - begin, 10, "and not when the first of the crowd's heads is overdue")

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a directory away")
    def test_a_state_directory_of_somebody_else_is_said(self):
        own, theirs = self.sub_dir(), self.sub_dir()
        (theirs / "state").mkdir()
        os.chown(theirs / "state", 65534, 65534)
        for directory in (own, theirs):
            side = self.sidecar(self.platform(), command=harness.example_agent(), directory=directory).wait_ready()
            if directory == theirs:
                side.wait_line("belongs to uid 65534")
            else:
                self.assertNotIn("belongs to uid", side.text())


if __name__ == "__main__":
    unittest.main()

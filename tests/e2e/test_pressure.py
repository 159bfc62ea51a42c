"""Much data, many connections, slow and rude clients: memory stays bounded, others are served."""
# ctest: long
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import time
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get, post

MIB = 1024 * 1024
ROOM_KIB = 200_000 if harness.IS_SLOW else 12_000  # what a sidecar may grow by; the sanitizers keep freed memory for a while


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Memory(harness.Case):
    def test_a_slow_reader_holds_back_the_agent(self):
        side = self.sidecar(command=harness.test_agent("big.py")).wait_ready()
        before = resident_kib(side.pid)
        with socket.create_connection(("127.0.0.1", side.port)) as s:
            s.sendall(b"GET /big/200 HTTP/1.1\r\nHost: x\r\n\r\n")
            got = len(s.recv(65536))
            busy = lambda: side.metrics()["molecule_sidecar_requests_in_flight"]
            eventually(lambda: busy() == 1, "in flight")
            for _ in range(20):  # while nothing is read
                self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)
                self.assertEqual(get(side.admin, "/livez").status, 200)
            while more := s.recv(MIB):
                got += len(more)
                if got > 200 * MIB:
                    break
            self.assertGreater(got, 200 * MIB)
        self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)

    def test_a_slow_agent_holds_back_the_client(self):
        side = self.sidecar(command=harness.test_agent("big.py")).wait_ready()
        before = resident_kib(side.pid)
        upload = self.thread(lambda: post(side.port, "/slow", b"y" * (40 * MIB), timeout=300))
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 1, "in flight")
        for _ in range(20):  # while the agent takes it slowly, or not at all
            self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)
            self.assertEqual(get(side.admin, "/livez").status, 200)
        self.assertTrue(upload.is_alive())
        get(side.agent_socket, "/go")
        while upload.is_alive():
            self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)
        self.assertEqual(upload.result(300).text, str(40 * MIB))

    def test_many_idle_connections(self):
        side = self.sidecar(command=example_agent()).wait_ready()
        before = resident_kib(side.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(500):
                s = stack.enter_context(socket.create_connection(("127.0.0.1", side.port)))
                s.sendall(b"GET /agent/card HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b"200", s.recv(4096))
            self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)
            self.assertEqual(answer_text(side.send("x").json), "you said: x")
        eventually(lambda: side.metrics()["molecule_sidecar_connections"] <= 1, "they are gone")

    def test_the_connection_cap_pauses_accepting(self):
        agent, go = self.gate()
        side = self.sidecar(None, "--listen-max-connections", "8", command=agent).wait_ready()
        busy = [self.thread(side.send, "x") for _ in range(8)]  # idle ones would yield after a second
        side.wait_line("^asked 8:")
        waiting = self.thread(get, side.port, "/answered-at-once")
        self.assertEqual(get(side.admin, "/readyz").status, 200, "probes have a door of their own")
        self.assertTrue(waiting.is_alive(), "it waits to be accepted")
        go()
        self.assertEqual([b.result().status for b in busy], [200] * 8)
        self.assertEqual(waiting.result().status, 404)


class Clients(harness.Case):
    def test_a_head_that_never_ends(self):
        side = self.sidecar(None, "--listen-head-timeout", "300ms", command=example_agent()).wait_ready()
        self.assertIn(b" 408 ", harness.raw(side.port, b"POST / HTTP/1.1\r\nHost: x\r\n")[:20])

    def test_a_connection_that_rests_too_long(self):
        side = self.sidecar(None, "--listen-idle-timeout", "1s", command=example_agent()).wait_ready()
        begin = time.monotonic()
        got = harness.raw(side.port, b"GET /agent/card HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b" 200 ", got[:20])
        self.assertNotIn(b" 408 ", got, "just closed")
        self.assertLess(time.monotonic() - begin, 30, "the default is longer")

    def test_http_1_0(self):
        side = self.sidecar(command=example_agent()).wait_ready()
        body = json.dumps(a2a("count 2", "message/stream")).encode()
        got = harness.raw(side.port, b"POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        head, _, events = got.partition(b"\r\n\r\n")
        self.assertNotIn(b"chunked", head.lower())
        self.assertEqual(events.count(b"data: "), 4)
        self.assertTrue(events.startswith(b"data: "), "no chunk sizes")

    def test_expect_100_continue(self):
        side = self.sidecar(command=example_agent()).wait_ready()
        body = json.dumps(a2a("x")).encode()
        with socket.create_connection(("127.0.0.1", side.port), timeout=harness.PATIENCE) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 100"))
            s.sendall(body)
            s.shutdown(socket.SHUT_WR)
            self.assertIn(b"you said: x", b"".join(iter(lambda: s.recv(4096), b"")))

    def test_a_client_that_dies_in_its_body(self):
        """The agent must not take half a message for a whole one."""
        side = self.sidecar(command=harness.test_agent("mirror.py")).wait_ready()
        with socket.create_connection(("127.0.0.1", side.port)) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        eventually(lambda: side.metrics()['molecule_sidecar_requests_total{outcome="client_gone"}'] == 1, "it is gone")
        self.assertEqual(get(side.port, "/x").status, 200)

    def test_an_agent_that_dies_in_a_stream(self):
        side = self.sidecar(None, "--restart-backoff", "50ms", "--forward-hold-timeout", "2m", command=example_agent()).wait_ready()
        (pid,) = side.agent_pids()
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            for n, _ in enumerate(harness.stream(side.port, "/", a2a("count 600", "message/stream"))):
                if n == 3:
                    os.kill(pid, signal.SIGKILL)
        eventually(lambda: side.agent_pids() and pid not in side.agent_pids(), "a new process")
        side.wait_ready()
        self.assertEqual(answer_text(side.send("x", timeout=120).json), "you said: x")

    def test_a_client_that_takes_nothing_does_not_hold_the_end(self):
        side = self.sidecar(None, "--stop-grace", "3s", command=harness.test_agent("big.py")).wait_ready()
        with socket.create_connection(("127.0.0.1", side.port)) as s:
            s.sendall(b"GET /big/100 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 1, "in flight")
            begin = time.monotonic()
            side.signal(signal.SIGTERM)
            side.wait_exit()
            self.assertLess(time.monotonic() - begin, 3 + 25)


if __name__ == "__main__":
    unittest.main()

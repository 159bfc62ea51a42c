"""A drain waits for work and for nothing else (design section 7); what is not taken is refused as forward.shed says."""
import contextlib
import http.client
import json
import signal
import socket
import time
import unittest

import harness
from harness import eventually

GRACE = 120  # seconds; nothing here may take them


class Stream:
    """A POST whose event stream is read up to its first `events` events."""

    def __init__(self, side, path, events):
        self.connection = harness.connection(side.port, timeout=GRACE)
        self.connection.request("POST", path, "{}", {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        self.text = b""
        while self.text.count(b"\n\n") < events:
            self.text += self.response.readline()

    def rest(self):
        """What comes until its end; raises IncompleteRead or ConnectionResetError when that is not a clean one."""
        with contextlib.closing(self.connection):
            return self.response.read()


def idle_connection(side):
    """A kept connection, after an answer."""
    s = socket.create_connection(("127.0.0.1", side.port), timeout=GRACE)
    s.sendall(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += s.recv(65536)
    return s


class DrainWork(harness.Case):
    def agent(self, *flags):
        return self.sidecar(None, "--stop-grace", f"{GRACE}s", "--forward-keepalive-interval", "0", *flags, command=harness.test_agent("keeps.py")).wait_ready()

    def test_subscriptions_to_finished_tasks_and_idle_connections_are_not_waited_for(self):
        side = self.agent()
        streams = [Stream(side, "/done", 2) for _ in range(3)]
        idle = idle_connection(side)
        eventually(lambda: side.metrics()["molecule_sidecar_streams_finished"] == 3, "three have nothing to say any more")
        eventually(lambda: side.metrics()["molecule_sidecar_work"] == 0, "nobody works")
        begin = time.monotonic()
        side.signal(signal.SIGTERM)
        for s in streams:
            self.assertEqual(s.rest(), b"", "a clean end, and nothing was invented")
        self.assertEqual(idle.recv(1), b"", "an end in order")
        idle.close()
        self.assertEqual(side.wait_exit(GRACE), 0)
        self.assertLess(time.monotonic() - begin, GRACE / 4)
        self.assertNotIn("drain: waiting", side.text())
        self.assertEqual(len([line for line in side.lines if "task_finished" in line]), 3)

    def test_work_is_waited_for_and_named(self):
        side = self.agent()
        done = Stream(side, "/done", 2)
        work = Stream(side, "/work", 1)
        idle = idle_connection(side)
        stays = Stream(side, "/stays", 1)
        side.signal(signal.SIGTERM)
        self.assertEqual(done.rest(), b"")
        self.assertEqual(idle.recv(1), b"")
        idle.close()
        line = side.wait_line("drain: waiting for 2 requests")
        self.assertIn("POST /work from 127.0.0.1: event stream, task working", line)
        shown = json.loads(side.command("status", "--json", "--platform-enabled", "false")[1])["forward"]
        self.assertEqual(shown["waited_for"], 2)
        self.assertIn("POST /work", shown["longest"])
        self.assertGreater(shown["longest_ms"], 0)
        words = side.command("status", "--platform-enabled", "false")[1]
        self.assertRegex(words, r"2 waited for, the longest for \S+: POST /work from 127.0.0.1: event stream, task working")
        self.assertTrue(side.is_running())
        harness.post(side.agent_socket, "/finish")
        self.assertIn(b'"completed"', work.rest())
        self.assertIn(b'"completed"', stays.rest(), "the agent keeps it open, we do not")
        self.assertEqual(side.wait_exit(GRACE), 0)

    def test_a_request_that_still_arrives_is_waited_for(self):
        body = json.dumps(harness.a2a("hello")).encode()
        for flags in (), ("--forward-dedupe-window", "10s"):
            with self.subTest(flags):
                side = self.sidecar(None, "--stop-grace", f"{GRACE}s", *flags, command=harness.example_agent()).wait_ready()
                with socket.create_connection(("127.0.0.1", side.port), timeout=GRACE) as s:
                    s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
                    eventually(lambda: side.metrics()["molecule_sidecar_work"] == 1, "it has begun")
                    side.signal(signal.SIGTERM)
                    side.wait_line("drain: waiting for 1 request .*POST / from 127.0.0.1: its client still sends it")
                    s.sendall(body[9:])
                    answer = b""
                    while more := s.recv(65536):
                        answer += more
                self.assertIn(b"HTTP/1.1 200 OK", answer)
                self.assertEqual(side.wait_exit(GRACE), 0)

    def test_the_end_of_its_time_is_said_and_cuts(self):
        side = self.agent("--stop-drain-timeout", "1s")
        work = Stream(side, "/work", 1)
        side.signal(signal.SIGTERM)
        line = side.wait_line("not waiting any longer for 1 request")
        self.assertIn("POST /work", line)
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            work.rest()
        side.wait_exit(GRACE)

    def test_a_kept_connection_is_told_to_close_in_the_drain_delay(self):
        side = self.agent("--stop-drain-delay", "60s")
        with contextlib.closing(idle_connection(side)) as kept:
            side.signal(signal.SIGTERM)
            side.wait_probe("readyz", 503)
            kept.sendall(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = b""
            while more := kept.recv(65536):
                answer += more
        self.assertIn(b"404 Not Found", answer)
        self.assertIn(b"Connection: close", answer)
        side.signal(signal.SIGTERM)  # enough of the delay
        side.wait_exit(GRACE)


class Shed(harness.Case):
    def test_it_is_closed_and_the_log_says_so(self):
        side = self.sidecar(None, "--forward-shed", "close", "--forward-hold-timeout", "100ms", command=["sleep", "1000"])
        side.wait_probe("startupz")
        got = harness.raw(side.port, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(got, b"")
        line = side.wait_line("shed_agent_unavailable")
        self.assertRegex(line, r'status"?[=:]0')
        m = side.metrics()
        self.assertEqual(m["molecule_sidecar_requests_shed_total"], 1)
        self.assertEqual(m['molecule_sidecar_requests_total{outcome="agent_unavailable"}'], 1)
        self.assertEqual(m['molecule_sidecar_requests_total{outcome="client_gone"}'], 0)

    def test_the_platform_queues_it_and_sends_it_again(self):
        p = self.platform("--rate-limit", "0")
        agent, go = self.gate()
        side = self.sidecar(p, "--forward-shed", "close", "--forward-hold-timeout", "100ms", "--forward-max-in-flight", "1",
                            "--platform-heartbeat-interval", "200ms", command=agent, push=True).wait_ready()
        p.wait_status("online")
        slow = self.thread(side.send, "a long one")
        side.wait_line("^asked 1")
        eventually(lambda: p.beat().get("active_tasks") == 1, "the platform knows: it sends nothing again before that ends")
        self.assertEqual(p.send("for later").status, 202, "the agent is busy, the message is kept")
        self.assertEqual(side.metrics()["molecule_sidecar_requests_shed_total"], 1)
        go()
        self.assertEqual(slow.result().status, 200)
        eventually(lambda: side.metrics()['molecule_sidecar_requests_total{outcome="ok"}'] >= 2, "sent again and answered")


if __name__ == "__main__":
    unittest.main()

"""Requests through the sidecar to a real agent: the card, messages, streams, and what happens when the agent cannot."""
import http.client
import json
import os
import signal
import socket
import time
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get, post, python

CARDS = ("/.well-known/agent-card.json", "/.well-known/agent.json", "/agent/card")


class WithAgent(harness.Case):
    def test_card_is_rewritten_and_nothing_else(self):
        side = self.sidecar(None, "--listen-public-url", "https://agents.example/echo", command=example_agent())
        side.wait_ready()
        for path in CARDS:
            a = get(side.port, path)
            self.assertEqual(a.status, 200, path)
            card = a.json
            self.assertTrue(card["url"].startswith("https://agents.example/echo"), card["url"])
            self.assertTrue(all(i["url"].startswith("https://agents.example/echo") for i in card["supportedInterfaces"]))
            self.assertEqual((card["name"], card["skills"][0]["id"]), ("echo", "echo"))
            head = harness.call(side.port, "HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""))

    def test_messages_in_both_versions(self):
        side = self.sidecar(command=example_agent())
        side.wait_ready()
        for method in ("message/send", "SendMessage"):
            a = side.send("hello", method, headers={"A2A-Version": "1.0"} if method[0] == "S" else {})
            self.assertEqual((a.status, answer_text(a.json), a.json["id"]), (200, "you said: hello", 1))
        for method in ("message/stream", "SendStreamingMessage"):
            events = [e["result"] for _, e in harness.stream(side.port, "/", a2a("count 3", method))]
            self.assertEqual(len(events), 5)
            pieces = [e.get("artifactUpdate", e).get("artifact", {}).get("parts", [{}])[0].get("text") for e in events]
            self.assertEqual(pieces[1:4], ["1 ", "2 ", "3 "])

    def test_events_arrive_as_they_are_made(self):
        """The first one is here while the agent has not made the second."""
        side = self.sidecar(command=harness.test_agent("keeps.py")).wait_ready()
        events = harness.stream(side.port, "/work", {})
        self.assertEqual(next(events)[1]["result"]["status"]["state"], "working")
        post(side.agent_socket, "/finish")
        self.assertEqual([e["result"]["status"]["state"] for _, e in events], ["completed"])

    def test_keep_alive_and_pipelining_order(self):
        side = self.sidecar(command=example_agent())
        side.wait_ready()
        c = harness.connection(side.port)
        for n in range(20):
            c.request("POST", "/", json.dumps(a2a(str(n))), {"Content-Type": "application/json"})
            self.assertEqual(answer_text(json.loads(c.getresponse().read())), f"you said: {n}")
        c.close()
        bodies = [json.dumps(a2a(str(n))).encode() for n in range(3)]
        requests = b"".join(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
                            % (len(b), b"Connection: close\r\n" if i == 2 else b"", b) for i, b in enumerate(bodies))
        got = harness.raw(side.port, requests)
        self.assertLess(got.index(b"you said: 0"), got.index(b"you said: 1"))
        self.assertLess(got.index(b"you said: 1"), got.index(b"you said: 2"))

    def test_through_the_platform(self):
        p = self.platform()
        self.sidecar(p, command=example_agent(), push=True).wait_ready()
        p.wait_status("online")
        a = p.send("hello through the platform")
        self.assertEqual((a.status, answer_text(a.json)), (200, "you said: hello through the platform"))
        big = p.send("x" * 500_000)
        self.assertEqual(len(answer_text(big.json)), 500_010)

    def test_many_at_once(self):
        """Side by side: the agent answers none before it has them all."""
        agent, go = self.gate()
        side = self.sidecar(command=agent).wait_ready()
        threads = [self.thread(side.send, "x") for _ in range(32)]
        side.wait_line("^asked 32:")
        go()
        self.assertEqual({answer_text(t.result().json) for t in threads}, {f"answer {n}" for n in range(1, 33)})


class Bytes(harness.Case):
    def mirror(self, *flags):
        side = self.sidecar(None, *flags, command=harness.test_agent("mirror.py"))
        return side.wait_ready()

    def test_head_and_body_pass(self):
        side = self.mirror()
        body = '{"a": 1.50, "b": "\\u00e9", "n": 12345678901234567890, "a": 2}'
        a = post(side.port, "/deep/path?q=%20&x", body, headers={"Content-Type": "application/json", "A2A-Version": "1.0",
                                                                "A2A-Extensions": "urn:x", "X-Odd": "  spaced  "})
        seen = a.json
        self.assertEqual((seen["method"], seen["path"], seen["body"]), ("POST", "/deep/path?q=%20&x", body))
        headers = {k.lower(): v for k, v in seen["headers"]}
        self.assertEqual((headers["a2a-version"], headers["a2a-extensions"], headers["x-odd"]), ("1.0", "urn:x", "spaced"))
        self.assertEqual(headers["host"], f"127.0.0.1:{side.port}")
        self.assertIn("molecule", headers["via"])
        self.assertEqual(a.headers["X-Mine"], "a b")

    def test_hop_by_hop_fields_are_dropped(self):
        side = self.mirror()
        got = harness.raw(side.port, b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\n"
                                     b"TE: trailers\r\nProxy-Authorization: x\r\nX-Kept: 1\r\n\r\n")
        headers = {k.lower() for k, v in json.loads(got.partition(b"\r\n\r\n")[2])["headers"]}
        self.assertIn("x-kept", headers)
        self.assertFalse(headers & {"x-private", "keep-alive", "te", "proxy-authorization"})

    def test_big_and_chunked_bodies(self):
        side = self.mirror()
        big = "x" * 3_000_000
        self.assertEqual(len(post(side.port, "/", big).json["body"]), len(big))
        c = harness.connection(side.port)
        c.request("POST", "/", iter([b"abc"] * 1000), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        self.assertEqual(json.loads(c.getresponse().read())["body"], "abc" * 1000)
        c.close()

    def test_limits(self):
        side = self.mirror("--listen-max-body", "10KiB", "--listen-max-head", "4KiB")
        self.assertEqual(post(side.port, "/", "x" * 10240).status, 200)
        self.assertEqual(post(side.port, "/", "x" * 10241).status, 413)
        self.assertEqual(get(side.port, "/", headers={"X-Big": "y" * 5000}).status, 431)

    def test_garbage(self):
        side = self.mirror()
        for bad in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx"):
            got = harness.raw(side.port, bad)
            self.assertRegex(got[:13], rb"^HTTP/1\.1 (400|501) ?", bad)
        self.assertEqual(get(side.port, "/").status, 200)

    def test_the_platforms_own_calls(self):
        p = self.platform()
        side = self.sidecar(p, command=harness.test_agent("mirror.py")).wait_ready()
        p.wait_status("online")
        self.assertEqual(get(side.port, "/transcript").status, 401)
        a = get(side.port, "/transcript?since=0", headers={"Authorization": f"Bearer {p.token}"})
        self.assertEqual((a.status, a.json.get("supported")), (200, False))
        a = get(side.port, "/x", headers={"Authorization": f"Bearer {p.token}"})
        if a.status == 200:
            self.assertNotIn(p.token, a.text, "our own bearer never reaches the agent")
        self.assertIn("Bearer other", get(side.port, "/x", headers={"Authorization": "Bearer other"}).text)
        self.assertEqual(get(side.port, "/internal/file/read?path=/etc/passwd").status in (401, 403, 404), True)


class Failing(harness.Case):
    def test_errors_of_the_agent(self):
        patient = self.sidecar(command=harness.test_agent("raw.py")).wait_ready()
        hasty = self.sidecar(None, "--forward-response-timeout", "500ms", command=harness.test_agent("raw.py")).wait_ready()
        for side, path, status, reason in ((patient, "/close", 502, "AGENT_CONNECTION_LOST"), (patient, "/garbage", 502, "AGENT_BAD_RESPONSE"),
                                           (hasty, "/never", 504, "AGENT_TIMEOUT")):
            a = post(side.port, path, a2a("x", rpc_id="id-7"))
            self.assertEqual(a.status, status, path)
            self.assertEqual(a.json["id"], "id-7", "the caller's own id")
            self.assertIn(reason, a.text)

    def test_a_cut_answer_never_looks_complete(self):
        side = self.sidecar(command=harness.test_agent("raw.py")).wait_ready()
        for path in ("/cut", "/chunkcut"):
            with self.assertRaises((http.client.IncompleteRead, ConnectionError), msg=path):
                post(side.port, path, a2a("x"))

    def test_agent_down(self):
        side = self.sidecar(None, "--forward-hold-timeout", "500ms")
        side.wait_probe("startupz")
        begin = time.monotonic()
        a = side.send("x")
        self.assertEqual(a.status, 503)
        self.assertGreater(time.monotonic() - begin, 0.4)
        self.assertIn("AGENT_UNAVAILABLE", a.text)
        self.assertTrue(a.headers["Retry-After"])
        self.assertEqual(get(side.port, CARDS[0]).status, 503, "there never was a card")
        self.assertEqual(post(side.port, "/", "plain", headers={"Content-Type": "text/plain"}).status, 503)

    def test_a_restart_is_a_slower_answer(self):
        side = self.sidecar(None, "--restart-backoff", "300ms", "--agent-health-interval", "200ms", "--forward-hold-timeout", "2m",
                            command=example_agent()).wait_ready()
        (pid,) = side.agent_pids()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: pid not in side.agent_pids(), "it is gone")
        self.assertEqual(get(side.port, CARDS[0]).status, 200, "the last good card is never held")
        self.assertEqual(answer_text(side.send("still there?", timeout=120).json), "you said: still there?")

    def test_client_that_leaves_frees_the_stream(self):
        side = self.sidecar(command=example_agent()).wait_ready()
        with socket.create_connection(("127.0.0.1", side.port)) as s:
            body = json.dumps(a2a("count 100", "message/stream")).encode()
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            self.assertIn(b"200", s.recv(1000))
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 0, "nothing is in flight any more")


if __name__ == "__main__":
    unittest.main()

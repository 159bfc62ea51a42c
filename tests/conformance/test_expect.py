"""Expect: 100-continue. Ours is the design in which the sidecar answers it: after the head has passed all checks, without asking the agent."""
import time
import unittest

import conformance
import wire
from conformance import Forwarded, Row, chunked, get, lines, passes, post, refused
from fake_agent import Answer

POST = b"POST / HTTP/1.1"
EXPECT = b"Expect: 100-continue"
CL5 = b"Content-Length: 5"
TE = b"Transfer-Encoding: chunked"
MAX_BODY = 3 * 1024 * 1024
BODY = Forwarded(POST, body=b"hello", framing="length")

# In these rows the body comes together with the head, so nobody waits and no 100 is due.
ROWS = [
    Row("a client that does not wait gets no 100", post(EXPECT, CL5, body=b"hello"), seen=(BODY,)),
    Row("Expect is not forwarded, in any case", post(b"EXPECT: 100-Continue", CL5, body=b"hello"), seen=(BODY,)),
    Row("twice", post(EXPECT, EXPECT, CL5, body=b"hello"), seen=(BODY,)),
    passes("without a body it means nothing", post(EXPECT), POST, cut=True),
    passes("with a body of length 0 too", post(EXPECT, b"Content-Length: 0"), POST, framing="length"),
    passes("GET without a body", get(EXPECT), b"GET / HTTP/1.1"),
    *[refused("other values are 417", post(b"Expect: " + v, CL5, body=b"hello"), 417) for v in (
        b"200-ok", b"100-continue, x", b"100-continue;a=1", b"100", b"x", b"")],
    refused("other values are 417, without a body too", get(b"Expect: x"), 417, cut=True),
    refused("other values are 417, beside a good one", post(EXPECT, b"Expect: x", CL5, body=b"hello"), 417),
    Row("HTTP/1.0: ignored [M]", get(EXPECT, CL5, line=b"POST / HTTP/1.0") + b"hello", seen=(BODY,), keeps=False),
    Row("HTTP/1.0: other values too", get(b"Expect: x", CL5, line=b"POST / HTTP/1.0") + b"hello", seen=(BODY,), keeps=False),
    refused("413 gives no 100", post(EXPECT, b"Content-Length: %d" % (MAX_BODY + 1)), 413),
    refused("400 gives no 100", post(EXPECT, b"Content-Length: x"), 400),
]


class Expect(conformance.Suite):
    FLAGS = ("--listen-max-body", "3MiB")

    def test_rows(self):
        self.check(ROWS)

    def ask(self, c, *fields, line=POST):
        c.send(lines(line, b"Host: a", *fields))

    def test_a_client_that_waits_gets_a_100(self):
        for fields, data in (((CL5,), b"hello"), ((TE,), chunked(b"hello"))):
            with self.subTest(fields=fields), self.client() as c:
                self.agent.forget()
                self.ask(c, EXPECT, *fields)
                c.wait(b"\r\n\r\n")
                self.assertEqual(c.data, b"HTTP/1.1 100 Continue\r\n\r\n")
                c.send(data)
                self.assertEqual([i.status for i in c.answer().interims], [100])
                (seen,) = self.agent.wait_requests(1)
                self.assertEqual((seen.body, seen.all(b"Expect")), (b"hello", []))
                c.send(conformance.AFTER)
                self.assertEqual(c.answer().status, 200)

    def test_a_big_body_waits_for_it(self):
        body = bytes(range(256)) * 8192  # 2 MiB
        with self.client() as c:
            self.ask(c, EXPECT, b"Content-Length: %d" % len(body))
            c.wait(b"HTTP/1.1 100 Continue\r\n\r\n")
            c.send(body)
            self.assertEqual(c.answer().status, 200)
        self.assertEqual(self.agent.wait_requests(1)[0].body, body)

    def test_a_100_of_the_agents_passes_too(self):
        """It did not see the Expect, so it is an interim answer like others [M]."""
        self.agent.script([b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
        with self.client() as c:
            self.ask(c, EXPECT, CL5)
            c.wait(b"\r\n\r\n")
            c.send(b"hello")
            self.assertEqual([i.status for i in c.answer().interims], [100, 100])

    def test_http_1_0_gets_none(self):
        with self.client() as c:
            self.ask(c, EXPECT, CL5, line=b"POST / HTTP/1.0")
            self.agent.wait_partial(b"Content-Length: 5\r\n\r\n")  # the head is there, so a 100 would have been sent by now
            c.send(b"hello")
            a = c.answer()
            self.assertEqual((a.status, a.interims), (200, []))
            self.assertEqual(c.end(), "closed")

    def test_a_final_answer_before_the_body(self):
        """It says close, and what the client sends after it is neither a body nor a request."""
        self.agent.script(Answer(b"HTTP/1.1 401 x\r\nContent-Length: 2\r\n\r\nno", at="head"))
        began = time.monotonic()
        with self.client() as c:
            self.ask(c, EXPECT, b"Content-Length: %d" % len(conformance.AFTER))
            a = c.answer()
            self.assertEqual((a.status, a.body, a.all(b"Connection")), (401, b"no", [b"close"]))
            c.send(conformance.AFTER)
            self.check_end(c, began)
        with self.client() as c:
            c.send(get())
            self.assertEqual(c.answer().status, 200)
        self.agent.settle()
        self.assertEqual([r.first for r in self.agent.requests], [b"GET / HTTP/1.1"])

    def test_a_401_of_ours_gives_no_100(self):
        directory = self.dir / "strict"
        directory.mkdir()
        (directory / "agent").symlink_to(self.dir / "agent")
        side = self.start_sidecar(directory, self.agent, "--listen-inbound-auth", "require")
        try:
            with wire.Client(side.port) as c:
                self.ask(c, EXPECT, CL5)
                a = c.answer()
                self.assertEqual((a.status, a.interims, a.all(b"Connection")), (401, [], [b"close"]))
            self.agent.settle()
            self.assertEqual(self.agent.requests + self.agent.partials(), [])
        finally:
            self.assertEqual(side.terminate(), 0)
            side.end()


if __name__ == "__main__":
    unittest.main()

"""Both connections: how long they last, in which order answers come, and that no failure of one side looks like success on the other."""
import contextlib
import socket
import time
import unittest

import conformance
import fake_agent
import harness
from conformance import Forwarded, Row, get, lines, passes, post
from fake_agent import CLOSE, GO, READ, SHUT, Answer

ROOT = b"GET / HTTP/1.1"
OK = b"HTTP/1.1 200 OK"
CL2 = b"Content-Length: 2"
SSE = b"Content-Type: text/event-stream"
TE = b"Transfer-Encoding: chunked"
LINGER_BYTES = 256 * 1024


def numbered(n, **kw):
    return Row("pipelined: answers come in the order of requests [M]", b"".join(get(line=b"GET /%d HTTP/1.1" % i) for i in range(n)),
               (200,) * n, tuple(Forwarded(b"GET /%d HTTP/1.1" % i) for i in range(n)), body=b"%d" % (n - 1),
               answers=tuple(lines(OK, b"Content-Length: %d" % len(b"%d" % i)) + b"%d" % i for i in range(n)), **kw)


def closing(rule, *fields, line=ROOT, **kw):
    return Row(rule, get(*fields, line=line), seen=(Forwarded(ROOT),), keeps=False, **kw)


KEPT = [
    passes("1.1 is kept by default", get(), ROOT, reused=True, cut=True),
    passes("1.1 is kept when it says so", get(b"Connection: keep-alive"), ROOT, reused=True),
    passes("1.1: other options do not close", get(b"Connection: x, closed, keep-alive"), ROOT),
    closing("close is honoured", b"Connection: close", cut=True, reused=True),
    closing("close is honoured, in any case and place", b"Connection: x, CLOSE ,y"),
    closing("close is honoured, in a second line", b"Connection: x", b"Connection: close"),
    closing("close beats keep-alive", b"Connection: keep-alive, close"),
    closing("1.0 is not kept by default", line=b"GET / HTTP/1.0"),
    Row("1.0 is kept when it says so", get(b"Connection: Keep-Alive", line=b"GET / HTTP/1.0"), seen=(Forwarded(ROOT),),
        has=(b"Connection: keep-alive",), reused=True),
    closing("1.0: close beats keep-alive", b"Connection: keep-alive, close", line=b"GET / HTTP/1.0"),
    numbered(2, cut=True),
    numbered(50),
    Row("pipelined: nothing behind a close is served", get(b"Connection: close") + get(line=b"GET /2 HTTP/1.1"), seen=(Forwarded(ROOT),), keeps=False),
    Row("pipelined: nothing behind a refusal is served", get(b"X: \0") + get(line=b"GET /2 HTTP/1.1"), (400,), keeps=False),
    Row("pipelined: what was before a refusal is served", get() + get(b"X : 1") + get(line=b"GET /2 HTTP/1.1"), (200, 400), (Forwarded(ROOT),), False),
    Row("pipelined: HEAD among them has no body", get(line=b"HEAD /0 HTTP/1.1") + get(line=b"GET /1 HTTP/1.1"), (200, 200),
        (Forwarded(b"HEAD /0 HTTP/1.1"), Forwarded(b"GET /1 HTTP/1.1"))),
    Row("pipelined: empty lines between them", get() + b"\r\n\r\n" + get(line=b"GET /1 HTTP/1.1"), (200, 200), (Forwarded(ROOT), Forwarded(b"GET /1 HTTP/1.1"))),
]


class Connections(conformance.Suite):
    def test_rows(self):
        self.check(KEPT)

    def is_served(self):
        """Another client, afterwards."""
        with self.client() as c:
            c.send(conformance.AFTER)
            self.assertEqual(c.answer().body, b"ok")

    # ---- the order of things

    def test_the_second_of_two_waits_for_the_first(self):
        """One at a time, so the agent does not even see it."""
        self.agent.script([GO, fake_agent.OK])
        with self.client() as c:
            c.send(get(line=b"GET /1 HTTP/1.1") + get(line=b"GET /2 HTTP/1.1"))
            self.agent.wait_requests(1)
            self.is_served()
            self.assertEqual([r.first.split()[1] for r in self.agent.requests], [b"/1", b"/after"])
            self.agent.go()
            self.assertEqual([c.answer().status, c.answer().status], [200, 200])
        self.assertEqual(self.agent.wait_requests(3)[2].first.split()[1], b"/2")

    def test_reading_ahead_has_an_end(self):
        """A client that sends and sends while its first answer is awaited is not read without limit."""
        self.agent.script([GO, fake_agent.OK])
        ahead = get(line=b"GET /ahead HTTP/1.1")
        with self.client() as c:
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
            c.send(get())
            self.agent.wait_requests(1)
            c.s.setblocking(False)
            sent = 0
            with self.assertRaises(BlockingIOError):
                while sent < 64 << 20:
                    sent += c.s.send(ahead[sent % len(ahead):] + ahead * 1000)
            c.s.settimeout(harness.PATIENCE)
            self.agent.go()
            self.assertEqual([c.answer().status for _ in range(20)], [200] * 20)

    # ---- what is left of a request when the answer is out

    def test_lingering_close(self):
        """An error of ours survives what the client sends behind it (a reset would destroy it on its way)."""
        for what, head, status in (("400", post(b"Content-Length: x"), 400), ("413", post(b"Content-Length: 99999999999"), 413)):
            for after in (1, 1000, LINGER_BYTES - 4096):
                with self.subTest(what, after=after), self.client() as c:
                    began = time.monotonic()
                    c.send(head + b"x" * (after // 2))
                    c.wait(b"HTTP/1.1 %d" % status)
                    c.send(b"x" * (after - after // 2))
                    self.assertEqual(c.answer().status, status)
                    self.check_end(c, began)

    def test_an_early_answer_is_relayed_and_closes(self):
        """The agent says 413 at the head, the body is still on its way: whether it reads on, or closes at once, or both sides."""
        no = lines(b"HTTP/1.1 413 x", CL2) + b"no"
        for steps in ([no], [no, CLOSE], [no, SHUT]):
            with self.subTest(steps=steps[1:]), self.client() as c:
                self.agent.forget()
                self.agent.script(Answer(steps, at="head"))
                began = time.monotonic()
                c.send(post(b"Content-Length: 1000000") + b"x" * 1000)
                a = c.answer()
                self.assertEqual((a.status, a.body, a.all(b"Connection")), (413, b"no", [b"close"]))
                c.send(b"x" * 100000)
                self.check_end(c, began)
                self.is_served()

    def test_a_failed_write_is_no_error_before_the_answer_was_read(self):
        """The agent has answered and closed while the client was sending: the answer counts, and not the EPIPE."""
        self.agent.script(Answer([GO, lines(b"HTTP/1.1 413 x", CL2) + b"no", CLOSE], at="head"))
        with self.client() as c:
            c.send(post(b"Content-Length: 30000000"))
            self.agent.wait_partial(b"\r\n\r\n")
            sender = harness.Background(c.send, (b"x" * 30000000,))
            sender.start()
            self.agent.go()
            a = c.answer()
            self.assertEqual((a.status, a.body), (413, b"no"))
            with contextlib.suppress(OSError):  # reset already, when more was sent than a lingering close reads
                c.s.shutdown(socket.SHUT_RDWR)
            sender.result()
        self.is_served()

    # ---- clients that go

    def test_a_half_close_behind_a_request_is_legal(self):
        for send in (get(), post(b"Content-Length: 5", body=b"hello"), get() * 3):
            with self.subTest(send), self.client() as c:
                self.agent.forget()
                self.agent.script([GO, fake_agent.OK])
                c.send(send)
                c.shut()
                self.agent.wait_requests(1)
                self.is_served()  # the end was seen, and this is nevertheless
                self.agent.go()
                for _ in range(send.count(b"HTTP/1.1")):
                    self.assertEqual(c.answer().body, b"ok")
                self.assertEqual(c.end(), "closed")

    def test_a_half_close_on_a_stream_is_a_disconnect(self):
        self.agent.script([lines(OK, SSE, TE) + b"9\r\ndata: 1\n\n\r\n", GO])
        with self.client() as c:
            c.send(get())
            c.wait(b"data: 1")
            link = self.agent.wait_requests(1)[0].link
            c.shut()
            self.assertFalse(c.cut_answer().is_whole)
            self.agent.go()
            self.agent.wait_over(link)

    def test_a_client_that_goes_ends_the_agents_connection(self):
        """At whatever moment, and nothing else is sent to the agent."""
        moments = {"before the answer": [GO], "inside the answer": [lines(OK, b"Content-Length: 100") + b"part", GO, b"more"],
                   "between two events": [lines(OK, SSE) + b"data: 1\n\n", GO]}
        for moment, steps in moments.items():
            # A plain end may be a half-close, so before the answer only a reset is looked for; inside the answer the next bytes tell.
            for how in ("close", "reset") if len(steps) > 1 else ("reset",):
                with self.subTest(moment, how=how), self.client() as c:
                    self.agent.forget()
                    self.agent.script(steps)
                    c.send(post(b"Content-Length: 2", body=b"hi"))
                    (seen,) = self.agent.wait_requests(1)
                    if len(steps) > 1:
                        c.wait(b"\r\n\r\n")
                    getattr(c, how)()
                    self.agent.go()
                    self.agent.wait_over(seen.link)
                    self.agent.settle()
                    self.assertEqual(len(self.agent.requests), 1)
                    self.assertEqual(self.agent.partials(), [])

    # ---- agents that go

    def test_an_agent_that_resets(self):
        """Its answer was cut, or there is none: never a clean end (rows for its plain end are in test_responses.py)."""
        until_close = lines(OK) + b"5 of 100"
        for steps, statuses in (([CLOSE], (502,)), ([until_close, READ, CLOSE], ()), ([lines(OK, TE) + b"5\r\nhello\r\n", READ, CLOSE], ())):
            with self.subTest(steps=steps), self.client() as c:
                self.agent.forget()
                self.agent.script(Answer([GO, *steps], at="head"))
                c.send(post(b"Content-Length: 100000") + b"x")
                link = self.agent.wait_partial(b"\r\n\r\nx")
                c.send(b"y")
                self.agent.wait(lambda a: link.unread(), "the next byte")  # it will not be read, so that the agent's close is a reset
                self.agent.go()
                if statuses:
                    self.assertEqual((c.answer().status,), statuses)
                else:
                    self.assertFalse(c.cut_answer().is_whole)

    def test_the_socket_is_connected_by_path_each_time(self):
        """An agent that starts again has made another socket under the same name."""
        directory = self.dir / "again"
        directory.mkdir()
        first = fake_agent.Agent(directory / "agent")
        side = self.start_sidecar(directory, first, "--forward-hold-timeout", "60s")
        try:
            with conformance.wire.Client(side.port) as c:
                c.send(get())
                self.assertEqual(c.answer().body, b"ok")
                (directory / "agent").unlink()
                link = first.requests[0].link
                link.hang_up()
                first.wait_over(link)
                c.send(get(line=b"GET /held HTTP/1.1"))  # waits: there is no socket
                second = fake_agent.Agent(directory / "agent")
                self.assertEqual(c.answer().body, b"ok")
                self.assertEqual([r.first.split()[1] for r in second.requests], [b"/held"])
                self.assertEqual(len(first.requests), 1)
                second.stop()
        finally:
            first.stop()
            self.assertEqual(side.terminate(), 0)
            side.end()

    def test_what_a_connection_that_was_kept_too_long_refused_goes_out_once_more(self):
        """Only when the kernel says that nothing was delivered; a POST that somebody may have read is not sent twice [M]."""
        self.agent.script(fake_agent.OK, [CLOSE])
        with self.client() as c:
            c.send(post(b"Content-Length: 2", body=b"hi"))
            self.assertEqual(c.answer().status, 200)
            c.send(post(b"Content-Length: 2", body=b"hi"))  # read to its end, then closed on
            self.assertEqual(c.answer().status, 502)
            self.agent.settle()
            self.assertEqual(len(self.agent.requests), 2)


if __name__ == "__main__":
    unittest.main()

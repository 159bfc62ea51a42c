"""What the agent answers, and what the client gets of it. What is wrong with an answer is a 502; what could be the next one's is never used."""
import unittest

import conformance
from conformance import Forwarded, Row, chunked, get, lines, post
from fake_agent import CLOSE, GO, READ

OK = b"HTTP/1.1 200 OK"
CL2 = b"Content-Length: 2"
TE = b"Transfer-Encoding: chunked"
HEAD_MAX = 64 * 1024
FIELDS_MAX = 128
INTERIM_MAX = 16
LEAK = lines(OK, b"X-Leak: 1", b"Content-Length: 4") + b"leak"  # never to be seen by anybody


def row(rule, answer, status=200, method=b"GET", version=b"1.1", ask=(), then=(), **kw):
    """The agent's answer to one request. `then`: steps behind it."""
    first = method + b" / HTTP/" + version
    kw.setdefault("keeps", version == b"1.1")
    answers = ((answer if isinstance(answer, tuple) else (answer,)) + then,)
    return Row(rule, get(*ask, line=first), (status,), (Forwarded(method + b" / HTTP/1.1"),), answers=answers, **kw)


def bad(rule, answer, **kw):
    """A 502 of ours; the client's connection is not to blame and goes on."""
    return row(rule, answer, 502, framing="length", reused=False, **kw)


def ok(*fields, body=b""):
    return lines(OK, *fields) + body


STATUS_LINES = [
    *[row("status line: tolerated", lines(first, CL2) + b"ok", body=b"ok", reused=True, cut=i == 0)
      for i, first in enumerate((b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xe4 b", b"HTTP/1.1 200  two blanks", b"HTTP/1.9 200 OK"))],
    row("status line: 599 is the last one", lines(b"HTTP/1.1 599 x", CL2) + b"ok", 599, body=b"ok", reused=True),
    row("status line: 200 is the first final one", lines(b"HTTP/1.1 200 x", CL2) + b"ok", 200, body=b"ok", reused=True),
    *[bad("status line: malformed", lines(first, CL2) + b"ok", cut=i == 0) for i, first in enumerate((
        b"HTTP/1.1 099 x", b"HTTP/1.1 600 x", b"HTTP/1.1 000 x", b"HTTP/1.1 999 x", b"HTTP/1.1 20 x", b"HTTP/1.1 2000 x", b"HTTP/1.1 2x0 x",
        b"HTTP/1.1 +20 x", b"HTTP/1.1  200 x", b"HTTP/1.1\t200 x", b"HTTP/1.1 200\tx", b" HTTP/1.1 200 x", b"HTTP/2.0 200 x", b"HTTP/2 200",
        b"HTTP/0.9 200 x", b"HTTP/01.1 200 x", b"HTTP/1.10 200 x", b"http/1.1 200 OK", b"hello", b"HTTP/1.1", b"ICY 200 OK"))],
    bad("status line: an empty line in front of it", b"\r\n" + ok(CL2, body=b"ok")),
    bad("a 101 that was not asked for", lines(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: x", b"Connection: upgrade") + b"\0\1", ask=(
        b"Connection: Upgrade", b"Upgrade: x")),
]

# Ours: what a request may not have, an answer may not have either; joining and stripping would be allowed.
FIELDS = [
    *[bad("a blank in front of the colon", ok(f, CL2, body=b"ok")) for f in (b"X : 1", b"Content-Length : 2", b"X\t: 1")],
    bad("obs-fold is not joined [M]", ok(b"X: a\r\n b", CL2, body=b"ok"), cut=True),
    bad("a folded line that frames", ok(b"Content-Length:\r\n 2", body=b"ok")),
    *[bad("a name that is none", ok(f, CL2, body=b"ok")) for f in (b": 1", b"a b: 1", b"abc", b"\xc3\xa9: 1", b"a\0: 1")],
    *[bad("a control character in a value", ok(f, CL2, body=b"ok")) for f in (b"X: a\0b", b"X: a\rb", b"X: a\x01b", b"X: a\x7fb")],
    bad("bare LFs", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    row("head: the most fields", ok(*[b"X: %d" % i for i in range(FIELDS_MAX - 1)], CL2, body=b"ok"), body=b"ok", reused=True),
    bad("head: one more", ok(*[b"X: %d" % i for i in range(FIELDS_MAX)], CL2, body=b"ok")),
    row("head: the largest", ok(b"X: " + b"h" * (HEAD_MAX - len(ok(b"X: ", CL2))), CL2, body=b"ok"), body=b"ok", reused=True),
    bad("head: larger by one", ok(b"X: " + b"h" * (HEAD_MAX - len(ok(b"X: ", CL2)) + 1), CL2, body=b"ok")),
    bad("head: larger by one, in pieces", (OK + b"\r\nX: h", READ, b"h" * (HEAD_MAX - len(ok(b"X: ", CL2))) + lines(b"", CL2) + b"ok")),
    bad("head: without end", OK + b"\r\nX: " + b"h" * 2 * HEAD_MAX),
]

NO_BODY = [
    row("HEAD: the length passes, no body follows", ok(b"Content-Length: 500"), method=b"HEAD", body=b"", has=(b"Content-Length: 500",), reused=True),
    row("HEAD: without a length there is none", ok(), method=b"HEAD", body=b"", lacks=(b"Content-Length", b"Transfer-Encoding"), reused=True),
    row("HEAD: chunked says nothing", ok(TE), method=b"HEAD", body=b"", lacks=(b"Transfer-Encoding",), reused=True),
    row("HEAD: an event stream is none", ok(b"Content-Type: text/event-stream", TE), method=b"HEAD", body=b"", reused=True),
    row("HEAD: a body that comes all the same is nobody's", ok(CL2, body=LEAK), method=b"HEAD", body=b"", reused=False),
    row("304: the length passes", lines(b"HTTP/1.1 304 x", b"Content-Length: 500", b'ETag: "x"'), 304, body=b"", has=(b"Content-Length: 500",), reused=True),
    row("304: without a length there is none", lines(b"HTTP/1.1 304 x"), 304, body=b"", lacks=(b"Content-Length", b"Transfer-Encoding"), reused=True),
    row("304: a body that comes all the same is nobody's", lines(b"HTTP/1.1 304 x", b"Content-Length: 99") + LEAK, 304, body=b"", reused=False),
    row("204: nothing", lines(b"HTTP/1.1 204 x"), 204, body=b"", lacks=(b"Content-Length", b"Transfer-Encoding"), reused=True, cut=True),
    row("204: a length is dropped, the connection is not trusted", lines(b"HTTP/1.1 204 x", b"Content-Length: 5") + b"hello", 204, body=b"",
        lacks=(b"Content-Length",), reused=False, cut=True),
    row("204: before any of the five bytes has come", lines(b"HTTP/1.1 204 x", b"Content-Length: 5"), 204, body=b"", lacks=(b"Content-Length",),
        reused=False),
    row("204: and when the five bytes are late", (lines(b"HTTP/1.1 204 x", b"Content-Length: 5"), READ, b"hello"), 204, body=b"",
        lacks=(b"Content-Length",), reused=False),
    row("204: a coding is dropped", lines(b"HTTP/1.1 204 x", TE), 204, body=b"", lacks=(b"Transfer-Encoding",), reused=False),
    row("204: a coding is dropped, and what it announced", lines(b"HTTP/1.1 204 x", TE) + b"0\r\n\r\n", 204, body=b"", lacks=(b"Transfer-Encoding",), reused=False),
    row("204: a length of 0 is harmless", lines(b"HTTP/1.1 204 x", b"Content-Length: 0"), 204, body=b"", lacks=(b"Content-Length",), reused=True),
]

FRAMING = [
    row("CL: as it is", ok(CL2, body=b"ok"), body=b"ok", framing="length", has=(CL2,), reused=True, cut=True),
    row("CL: none of it", ok(b"Content-Length: 0"), body=b"", framing="length", has=(b"Content-Length: 0",), reused=True),
    row("TE: chunked, framed anew", ok(TE, body=b"005;x=y\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"), body=b"hello", framing="chunked",
        lacks=(b"X-Trailer",), reused=True, cut=True),
    row("TE: no case", ok(b"transfer-encoding: CHUNKED", body=chunked(b"hello")), body=b"hello", framing="chunked", reused=True),
    row("TE+CL: TE counts, CL is dropped, the connection is not kept", ok(TE, CL2, body=chunked(b"hello")), body=b"hello", framing="chunked",
        lacks=(b"Content-Length",), reused=False, cut=True),
    row("TE+CL: in the other order", ok(b"Content-Length: 100", TE, body=chunked(b"hello")), body=b"hello", framing="chunked",
        lacks=(b"Content-Length",), reused=False),
    *[row("TE that does not end in chunked: until close", ok(b"Transfer-Encoding: " + c, body=b"5\r\nhi"), then=(CLOSE,), body=b"5\r\nhi",
          framing="chunked", reused=False) for c in (b"gzip", b"identity", b"chunked, gzip", b"xchunked")],
    # ours: a coding that we cannot decode and did not ask for (TE is not forwarded) is an error, not a body with a wrong name
    *[bad("TE: more than chunked", ok(b"Transfer-Encoding: " + c, body=chunked(b"hello"))) for c in (b"gzip, chunked", b"chunked, chunked", b",chunked")],
    bad("TE: two lines", ok(TE, TE, body=chunked(b"hello"))),
    *[bad("CL: invalid [M]", ok(b"Content-Length: " + n, body=b"ok"), cut=n == b"+2") for n in (
        b"+2", b"-2", b"0x2", b"2 2", b"", b"2.0", b"9" * 20, b"9223372036854775808", b"2,2")],
    bad("CL: differing [M]", ok(CL2, b"Content-Length: 3", body=b"ok"), cut=True),
    bad("CL: differing in a list [M]", ok(b"Content-Length: 2, 3", body=b"ok")),
    bad("CL: two equal lines", ok(CL2, CL2, body=b"ok")),
    row("TE in HTTP/1.0: the connection is not kept [M]", lines(b"HTTP/1.0 200 OK", TE, b"Connection: keep-alive") + chunked(b"hello"), body=b"hello",
        framing="chunked", reused=False),
    row("none: until close, chunked for a 1.1 client", ok(body=b"until the end"), then=(CLOSE,), body=b"until the end", framing="chunked",
        reused=False, cut=True),
    row("none: an empty body", ok(), then=(CLOSE,), body=b"", framing="chunked", reused=False),
    row("none: HTTP/1.0", lines(b"HTTP/1.0 200 OK") + b"until the end", then=(CLOSE,), body=b"until the end", framing="chunked", reused=False),
    row("the agent's close is between us and it", ok(b"Connection: close", CL2, body=b"ok"), body=b"ok", reused=False),
    row("an agent of HTTP/1.0 does not keep", lines(b"HTTP/1.0 200 OK", CL2) + b"ok", body=b"ok", reused=False),
    row("but for one that says so", lines(b"HTTP/1.0 200 OK", CL2, b"Connection: keep-alive") + b"ok", body=b"ok", reused=True),
]

OLD_CLIENTS = [
    row("1.0: a length stays", ok(CL2, body=b"ok"), version=b"1.0", body=b"ok", framing="length", reused=True),
    row("1.0: never chunked, but until close", ok(TE, body=chunked(b"a", b"b")), version=b"1.0", body=b"ab", framing="close",
        lacks=(b"Transfer-Encoding",), reused=True, cut=True),
    row("1.0: until close stays so", ok(body=b"ab"), then=(CLOSE,), version=b"1.0", body=b"ab", framing="close", reused=False),
    row("1.0: no 1xx", lines(b"HTTP/1.1 103 x", b"Link: a") + ok(CL2, body=b"ok"), version=b"1.0", body=b"ok"),
    row("1.0: kept when it asks and a length is there", ok(CL2, body=b"ok"), version=b"1.0", ask=(b"Connection: keep-alive",), keeps=True, body=b"ok",
        has=(b"Connection: keep-alive",)),
    row("1.0: not kept when there is none", ok(TE, body=chunked(b"ok")), version=b"1.0", ask=(b"Connection: keep-alive",), keeps=False, body=b"ok",
        framing="close"),
]

MORE = [
    row("bytes behind an answer are nobody's", ok(CL2, body=b"ok" + LEAK), body=b"ok", reused=False, cut=True),
    row("one byte behind an answer", ok(CL2, body=b"ok!"), body=b"ok", reused=False),
    row("bytes behind a chunked answer", ok(TE, body=chunked(b"ok") + LEAK), body=b"ok", reused=False),
    row("bytes behind an answer without a body", ok(b"Content-Length: 0", body=LEAK), body=b"", reused=False),
]

CHUNKS = [
    *[row("a bad chunk cuts the answer", (ok(TE, body=b"5\r\nhello\r\n"), READ, rest), is_cut=True, keeps=False, body=b"hello", framing="chunked",
          reused=False, cut=rest == b"x\r\n") for rest in (
        b"x\r\n", b"-1\r\n", b"0x1\r\na\r\n", b" 1\r\na\r\n", b"1 \r\na\r\n", b"1\na\r\n", b";\r\n", b"0" * 16 + b"\r\n", b"f" * 17 + b"\r\n",
        b"0\r\n x\r\n\r\n", b"0\r\nX : 1\r\n\r\n", b"0\r\n\n", b"1;" + b"e" * 5000 + b"\r\nx\r\n0\r\n\r\n")],
    row("a chunk that does not end in CRLF", (ok(TE, body=b"5\r\nhello"), READ, b"!\r\n0\r\n\r\n"), is_cut=True, keeps=False, body=b"hello",
        framing="chunked", reused=False),
    # ours: when head and fault come in one piece the client gets a reset and nothing else; a 502 would be possible
    row("a bad chunk at once", ok(TE, body=b"5\r\nhello\r\nx\r\n"), is_cut=True, keeps=False, reused=False),
]


def interim(status, *fields):
    return lines(b"HTTP/1.1 %d x" % status, *fields)


INTERIMS = [
    row("1xx: forwarded [M]", interim(103, b"Link: </a>", b"X-Obs: \xe9") + ok(CL2, body=b"ok"), interims=(103,), body=b"ok", reused=True, cut=True),
    row("1xx: the ones without a name too [M]", interim(102) + interim(150) + ok(CL2, body=b"ok"), interims=(102, 150), body=b"ok", reused=True),
    row("1xx: a 100 that we did not ask for", interim(100) + ok(CL2, body=b"ok"), interims=(100,), body=b"ok", reused=True),
    row("1xx: framing fields in it mean nothing", interim(103, b"Content-Length: 5", TE) + ok(CL2, body=b"ok"), interims=(103,), body=b"ok"),
    row("1xx: as many as are allowed", interim(103) * INTERIM_MAX + ok(CL2, body=b"ok"), interims=(103,) * INTERIM_MAX, body=b"ok", reused=True),
    bad("1xx: one more", interim(103) * (INTERIM_MAX + 1) + ok(CL2, body=b"ok"), interims=(103,) * INTERIM_MAX),
    bad("1xx: and then no final answer", interim(103), then=(CLOSE,), interims=(103,)),
]

LOST = [
    bad("lost: closed in front of the status line", (CLOSE,)),
    bad("lost: closed inside the status line", b"HTTP/1.", then=(CLOSE,)),
    bad("lost: closed inside the head", OK + b"\r\nContent-Le", then=(CLOSE,)),
    row("lost: closed inside a body with a length", ok(b"Content-Length: 10", body=b"hello"), then=(READ, CLOSE), is_cut=True, keeps=False, body=b"hello",
        framing="length", reused=False, cut=True),
    row("lost: closed inside a chunk", ok(TE, body=b"a\r\nhello"), then=(READ, CLOSE), is_cut=True, keeps=False, body=b"hello", framing="chunked",
        reused=False, cut=True),
    row("lost: closed between two chunks", ok(TE, body=b"5\r\nhello\r\n"), then=(READ, CLOSE), is_cut=True, keeps=False, body=b"hello", framing="chunked",
        reused=False),
    row("lost: closed inside the last chunk", ok(TE, body=b"5\r\nhello\r\n0\r\n"), then=(READ, CLOSE), is_cut=True, keeps=False, body=b"hello",
        framing="chunked", reused=False),
    row("lost: closed inside the body of a 1.0 client", ok(TE, body=b"5\r\nhello\r\n"), then=(READ, CLOSE), version=b"1.0", is_cut=True, keeps=False,
        framing="close", reused=False),
]

SSE = b"Content-Type: text/event-stream"
BUFFERING = b"X-Accel-Buffering"

STREAMS = [  # A section 4.1
    row("SSE: nobody in front of us is to gather events", ok(SSE, TE, body=chunked(b"data: 1\n\n")), body=b"data: 1\n\n", framing="chunked",
        has=(BUFFERING + b": no",), reused=True, cut=True),
    row("SSE: in the answer to HEAD as well", ok(SSE, TE), method=b"HEAD", body=b"", has=(BUFFERING + b": no",), reused=True),
    row("other answers may be gathered", ok(b"Content-Type: application/json", CL2, body=b"{}"), body=b"{}", lacks=(BUFFERING,), reused=True),
]

ROWS = [*STATUS_LINES, *FIELDS, *NO_BODY, *FRAMING, *OLD_CLIENTS, *MORE, *CHUNKS, *INTERIMS, *LOST, *STREAMS]


class Responses(conformance.Suite):
    def test_rows(self):
        self.check(ROWS)

    def test_the_fields_of_an_interim_answer_pass(self):
        self.agent.script(interim(103, b"Link: </a>; rel=preload", b"Link: </b>", b"Connection: x-own", b"X-Own: 1", b"Keep-Alive: 1") + ok(CL2, body=b"ok"))
        with self.client() as c:
            c.send(get())
            (hints,) = c.answer().interims
            self.assertEqual(hints.fields, [(b"Link", b"</a>; rel=preload"), (b"Link", b"</b>")])

    def test_what_the_agent_says_of_buffering_stands(self):
        for value in b"yes", b"no", b"":
            with self.subTest(value), self.client() as c:
                self.agent.forget()
                self.agent.script(ok(SSE, b"x-accel-buffering: " + value, TE, body=chunked(b"data: 1\n\n")))
                c.send(get())
                self.assertEqual(c.answer().all(BUFFERING), [value])

    def test_an_interim_answer_does_not_wait_for_the_final_one(self):
        self.agent.script([interim(103), GO, ok(CL2, body=b"ok")])
        with self.client() as c:
            c.send(get())
            c.wait(b"HTTP/1.1 103")
            self.agent.go()
            self.assertEqual(c.answer().status, 200)

    def test_errors_of_ours_have_a_reason_and_the_callers_id(self):
        """A section 5.5, in its table's order."""
        body = b'{"jsonrpc":"2.0","method":"message/send","id":"id-7","params":{}}'
        request = post(b"Content-Type: application/json", b"Content-Length: %d" % len(body), body=body)
        for answer, reason in (([CLOSE], b"AGENT_CONNECTION_LOST"), ([OK + b"\r\nX: ", CLOSE], b"AGENT_BAD_RESPONSE"),
                               ([ok(CL2, b"Content-Length: 3")], b"AGENT_BAD_RESPONSE"), ([b"garbage\r\n\r\n"], b"AGENT_BAD_RESPONSE")):
            with self.subTest(reason), self.client() as c:
                self.agent.forget()
                self.agent.script(answer)
                c.send(request)
                a = c.answer()
                self.assertEqual((a.status, a.all(b"Content-Type")), (502, [b"application/json"]))
                self.assertIn(b'"id":"id-7"', a.body)
                self.assertIn(b'"code":-32603', a.body)
                self.assertIn(b'"reason":"%s"' % reason, a.body)

    def test_bytes_on_a_kept_connection_end_it(self):
        """Already for the request that comes right behind them, and not only when its 2 s are over."""
        for what in ("bytes", "the end"):
            with self.subTest(what), self.client() as c:
                self.agent.forget()
                c.send(get())
                self.assertEqual(c.answer().body, b"ok")
                link = self.agent.wait_requests(1)[0].link
                link.send(LEAK) if what == "bytes" else link.hang_up()
                c.send(conformance.AFTER)
                self.assertEqual(c.answer().body, b"ok")
                self.assertIsNot(self.agent.wait_requests(2)[1].link, link)
                self.agent.wait_over(link)


if __name__ == "__main__":
    unittest.main()

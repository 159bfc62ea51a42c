"""Where a request's body ends. Whatever could be read in two ways is refused, and the agent sees no request that we did not see."""
import unittest

import conformance
import wire
from conformance import Forwarded, Row, chunked, get, passes, post, refused

POST = b"POST / HTTP/1.1"
EVIL = get(line=b"GET /evil HTTP/1.1")
MAX_BODY = 64 * 1024
EXTRA_MAX = 4 * 1024  # bytes of extensions, and of trailers, per message
CL, TE = b"Content-Length: ", b"Transfer-Encoding: "
AS_CHUNKED = TE + b"chunked"


def framed(rule, *fields, body=b"0\r\n\r\n" + EVIL, status=400, **kw):
    """A bad framing field, with another request behind it for who reads it in another way."""
    return refused(rule, post(*fields, body=body), status, **kw)


def chunks(rule, body, **kw):
    """A bad chunked body: the agent may have got its beginning, never a whole request. Another request is behind it."""
    return refused(rule, post(AS_CHUNKED, body=body + EVIL), begun=True, **kw)


def whole(rule, body, content, **kw):
    """A good chunked body, with another request behind it."""
    return Row(rule, post(AS_CHUNKED, body=body) + get(line=b"GET /2 HTTP/1.1"), (200, 200),
               (Forwarded(POST, body=content, framing="chunked"), Forwarded(b"GET /2 HTTP/1.1")), **kw)


# Ours is the strict choice of each rule: 400 where two meanings are possible, 501 for a coding that is well formed but not known.
CODINGS = [
    framed("TE and CL: CL.TE, refused and closed", CL + b"6", AS_CHUNKED, cut=True),
    framed("TE and CL: TE.CL, refused and closed", AS_CHUNKED, CL + b"4", body=b"1c\r\n" + EVIL + b"\r\n0\r\n\r\n", cut=True),
    framed("TE and CL: even when both say the same", CL + b"5", AS_CHUNKED, body=b"0\r\n\r\n"),
    framed("TE and CL: in either case of letters", b"content-length: 6", b"TRANSFER-ENCODING: chunked"),
    framed("last coding is not chunked [M]", TE + b"chunked, gzip"),
    framed("last coding is not chunked [M]", TE + b"identity", cut=True),
    framed("last coding is not chunked [M]: none at all", TE),
    *[framed("not a single chunked", TE + coding, status=status) for coding, status in (
        (b"gzip, chunked", 501), (b"chunked, chunked", 501), (b",chunked", 501), (b", chunked", 501), (b"chunked,", 501), (b"xchunked", 400), (b"chunkedx", 400),
        (b'"chunked"', 400), (b"chunked;q=1", 400), (b"chunked chunked", 400), (b"\x0bchunked", 400), (b"chunked\x0b", 400),
        (b"chunked\xa0", 400), (b"\xe2\x80\x8bchunked", 400), (b"chun\tked", 400))],
    framed("not a single chunked: two lines", AS_CHUNKED, AS_CHUNKED, status=501),
    framed("not a single chunked: two lines, one unknown", AS_CHUNKED, TE + b"identity", status=501),
    framed("not a single chunked: in a folded line", b"Transfer-Encoding:\r\n chunked"),
    framed("not a single chunked: a blank in front of the colon", b"Transfer-Encoding : chunked"),
    passes("chunked: no case", post(TE + b"ChUnKeD", body=chunked(b"hello")), POST, body=b"hello", framing="chunked", cut=True),
    passes("chunked: blanks and tabs around it", post(TE + b" \t chunked \t ", body=chunked(b"hello")), POST, body=b"hello", framing="chunked"),
    refused("TE in HTTP/1.0", get(AS_CHUNKED, line=b"POST / HTTP/1.0") + chunked(b"x") + EVIL, cut=True),
]

LENGTHS = [
    *[framed("CL: digits only, up to 2^63-1 [M]", CL + n) for n in (
        b"+5", b"-0", b"-5", b"0x5", b"5 5", b"", b"5.0", b"5e0", b"5,", b",5", b"5;", b"\xef\xbc\x95", b"9" * 20, b"9223372036854775808",
        b"18446744073709551616", b"18446744073709551621")],
    framed("CL: a list of equal ones", CL + b"5,5", cut=True),
    framed("CL: a list of different ones [M]", CL + b"5, 6"),
    framed("CL: two equal lines", CL + b"5", CL + b"5"),
    framed("CL: two different lines [M]", CL + b"5", CL + b"6", cut=True),
    framed("CL: two lines, one of them bad", CL + b"5", CL + b"x"),
    refused("CL: the largest is too large for us", post(CL + b"9223372036854775807"), 413),
    # ours: leading zeros are 1*DIGIT, and the number that goes on is written anew
    passes("CL: leading zeros", post(CL + b"005", body=b"hello"), POST, body=b"hello", framing="length"),
    passes("CL: a body", post(CL + b"5", body=b"hello"), POST, body=b"hello", framing="length", cut=True),
    passes("CL: none of it", post(CL + b"0"), POST, framing="length"),
    passes("CL: blanks around it", post(CL + b" \t5  ", body=b"hello"), POST, body=b"hello", framing="length"),
    # ours: RFC 9110 section 5.5 would take a tab there too, but nobody sends one in good faith
    framed("CL: a tab behind it", CL + b"5\t"),
    Row("CL: what is behind it is the next request", post(CL + b"5", body=b"hello") + get(line=b"GET /2 HTTP/1.1"), (200, 200),
        (Forwarded(POST, body=b"hello", framing="length"), Forwarded(b"GET /2 HTTP/1.1")), cut=True),
    Row("neither: length 0, and what follows is the next request", post(body=get(line=b"GET /2 HTTP/1.1")), (200, 200),
        (Forwarded(POST), Forwarded(b"GET /2 HTTP/1.1"))),
    Row("neither: what follows is no request", post(body=b"x=1\r\n\r\n"), (200, 400), (Forwarded(POST),), False, cut=True),
    *[passes("a body with any method is forwarded, never left behind (CL.0)", get(CL + b"%d" % len(EVIL), line=m + b" / HTTP/1.1") + EVIL,
             m + b" / HTTP/1.1", body=EVIL, framing="length") for m in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PURGE")],
    passes("a chunked body with any method", get(AS_CHUNKED) + chunked(EVIL), b"GET / HTTP/1.1", body=EVIL, framing="chunked"),
]

CHUNKS = [
    whole("chunk size: up to 15 digits", b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    whole("chunk size: both cases", b"a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n", b"0123456789" * 2),
    chunks("chunk size: 16 digits", b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: more than fits", b"FFFFFFFFFFFFFFFFF\r\n"),
    chunks("chunk size: 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: a sign", b"-1\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: a plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: none", b"\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: none but an extension", b";a\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: a blank in front", b" 5\r\nhello\r\n0\r\n\r\n"),
    # ours: the blanks that some senders put there are refused as well
    chunks("chunk size: a blank behind", b"5 \r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size: no hex digit", b"g\r\nhello\r\n0\r\n\r\n", cut=True),
    chunks("chunk size: an underscore", b"1_0\r\nhello\r\n0\r\n\r\n"),
    whole("extension: ignored, never forwarded", b"5;a=b;c=\"d\";e\r\nhello\r\n0;last\r\n\r\n", b"hello", cut=True),
    chunks("extension: a bare LF ends nothing", b"5;a\nhello\r\n0\r\n\r\n", cut=True),
    chunks("extension: a bare CR ends nothing", b"5;a\rhello\r\n0\r\n\r\n"),
    chunks("extension: no control characters", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
    whole("extension: as many as are allowed", b"5;" + b"e" * EXTRA_MAX + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
    chunks("extension: one byte more", b"5;" + b"e" * (EXTRA_MAX + 1) + b"\r\nhello\r\n0\r\n\r\n"),
    chunks("extension: the sum counts", (b"1;" + b"e" * 1000 + b"\r\nx\r\n") * 5 + b"0\r\n\r\n"),
    chunks("a bare LF behind the size", b"5\nhello\r\n0\r\n\r\n"),
    chunks("CRLF behind the data: LF", b"5\r\nhello\n0\r\n\r\n", cut=True),
    chunks("CRLF behind the data: CR", b"5\r\nhello\r0\r\n\r\n"),
    chunks("CRLF behind the data: nothing", b"5\r\nhello0\r\n\r\n"),
    chunks("CRLF behind the data: a byte too many", b"5\r\nhello!\r\n0\r\n\r\n"),
    chunks("the last line: a bare LF", b"5\r\nhello\r\n0\r\n\n"),
    whole("tiny chunks: as many as somebody may have a reason for", b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n", b"x" * 20000),
    # 50,000 and not a million: what is behind the refusal must fit into the 256 KiB of the lingering close
    chunks("tiny chunks: framing that content does not pay for", b"1\r\nx\r\n" * 50000 + b"0\r\n\r\n"),
    whole("trailers: dropped, whatever they say", b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: b\r\nX: 1\r\n\r\n", b"hello", cut=True),
    whole("trailers: as many as are allowed", b"0\r\nX: " + b"t" * (EXTRA_MAX - 3) + b"\r\n\r\n", b""),
    chunks("trailers: one byte more", b"0\r\nX: " + b"t" * (EXTRA_MAX - 2) + b"\r\n\r\n"),
    *[chunks("trailers: the rules of the head", b"0\r\n" + t + b"\r\n\r\n") for t in (
        b": 1", b"a b: 1", b"X : 1", b"X", b" X: 1", b"X: 1\r\n fold", b"X: \0", b"X: a\rb", b"X: a\nY: b", b"\xc3\xa9: 1")],
    whole("forwarded framing: no body, chunked", b"0\r\n\r\n", b""),
]

LIMITS = [
    passes("limit: the largest body by length", post(CL + b"%d" % MAX_BODY, body=b"b" * MAX_BODY), POST, body=b"b" * MAX_BODY, framing="length"),
    refused("limit: one byte more is 413 before any of it is read", post(CL + b"%d" % (MAX_BODY + 1)), 413),
    whole("limit: the largest body by count, and not by framing", chunked(*[b"b" * 1024] * 64), b"b" * MAX_BODY),
    chunks("limit: one byte more", chunked(*[b"b" * 1024] * 64, b"b"), status=413),
]

ROWS = [*CODINGS, *LENGTHS, *CHUNKS, *LIMITS]


class RequestFraming(conformance.Suite):
    FLAGS = ("--listen-max-body", "64KiB")

    def test_rows(self):
        self.check(ROWS)

    def test_a_body_cut_short_is_no_request(self):
        """The agent gets what was there and the end of its connection, never the last chunk."""
        for what, begin, got in (
                ("by length", post(CL + b"10", body=b"hello"), b"\r\n\r\nhello"),
                ("inside a chunk", post(AS_CHUNKED, body=b"a\r\nhello"), b"\r\n\r\n5\r\nhello\r\n"),
                ("between two chunks", post(AS_CHUNKED, body=b"5\r\nhello\r\n"), b"\r\n\r\n5\r\nhello\r\n"),
                ("in front of the end of the trailers", post(AS_CHUNKED, body=b"5\r\nhello\r\n0\r\n"), b"\r\n\r\n5\r\nhello\r\n")):
            for how in (wire.Client.close, wire.Client.reset, wire.Client.shut):
                with self.subTest(what, how=how.__name__), self.client() as c:
                    self.agent.forget()
                    c.send(begin)
                    link = self.agent.wait_partial(got)
                    how(c)
                    self.agent.wait_over(link)
                    self.assertEqual(self.agent.requests, [])
                    self.assertEqual(len(self.agent.partials()), 1)
                    self.assertTrue(self.agent.partials()[0].endswith(got), "and not a byte after it")

    def test_chunks_are_framed_anew(self):
        with self.client() as c:
            c.send(post(AS_CHUNKED, body=b"005;x=y\r\nhello\r\n0\r\nX: 1\r\n\r\n"))
            self.assertEqual(c.answer().status, 200)
        (seen,) = self.agent.wait_requests(1)
        self.assertEqual(seen.wire, b"5\r\nhello\r\n0\r\n\r\n")
        self.assertNotIn(b"X: 1", seen.head)


if __name__ == "__main__":
    unittest.main()

"""Which fields pass, in both directions, and that all the others pass byte for byte. Also the rest of the message: nothing is altered."""
import unittest

import conformance
from conformance import Forwarded, Row, chunked, get, lines, passes, post

ROOT = b"GET / HTTP/1.1"
OK = b"HTTP/1.1 200 OK"
EVERY_HOP = (b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"TE: trailers", b"Upgrade: websocket", b"Trailer: X",
             b"Proxy-Authenticate: Basic", b"Proxy-Authorization: Basic eDp5", b"HTTP2-Settings: AAMAAABk")
# What Connection must not be able to remove. Ours: the listing is ignored and the request is served, rather than refused with 400.
ESSENTIALS = (b"Content-Type: a/b", b"Authorization: Bearer x", b"A2A-Version: 1.0", b"A2A-Extensions: urn:x", b"X-A2A-Extensions: urn:y",
              b"Cookie: a=b", b"Cache-Control: no-store", b"Content-Encoding: br", b"X-Workspace-ID: w", b"X-Molecule-Org-Id: o", b"Via: 1.1 b")
# Ours, beyond the rule: claims about the caller that only a trusted proxy may make are replaced or dropped (listen.trusted_proxies).
CLAIMS = (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil", b"X-Forwarded-Prefix: /p", b"X-Forwarded-Port: 1",
          b"Forwarded: for=6.6.6.6", b"X-A2A-Caller: root", b"X-Forwarded-User: root", b"X-Forwarded-Client-Cert: x")


def name_of(line):
    return line.partition(b":")[0]


def dropped(rule, *fields, **kw):
    return passes(rule, get(b"A: 1", *fields, b"B: 2"), ROOT, b"A: 1", b"B: 2", **kw)


REQUESTS = [
    *[dropped("request: hop-by-hop", f) for f in EVERY_HOP],
    *[dropped("request: hop-by-hop, in any case", name_of(f).upper() + b": x") for f in EVERY_HOP],
    dropped("request: what Connection names [M]", b"Connection: X-Own, keep-alive", b"X-Own: 1", cut=True),
    dropped("request: what Connection names, in front of it", b"X-Own: 1", b"x-own: 2", b"Connection: keep-alive,, X-OWN ,"),
    dropped("request: what several Connection lines name", b"Connection: X-Own", b"X-Own: 1", b"X-Two: 1", b"Connection: X-Two", cut=True),
    dropped("request: a name that is not there", b"Connection: X-Own"),
    *[passes("request: essentials cannot be named away", get(b"Connection: " + name_of(f), f), ROOT, f) for f in ESSENTIALS],
    passes("request: Host cannot be named away", get(b"Connection: host"), ROOT),
    passes("request: Content-Length cannot be named away", post(b"Connection: Content-Length", b"Content-Length: 2", body=b"hi"),
           b"POST / HTTP/1.1", body=b"hi", framing="length"),
    passes("request: nor Transfer-Encoding", post(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=chunked(b"hi")),
           b"POST / HTTP/1.1", body=b"hi", framing="chunked", cut=True),
    Row("request: close, a2a-version", get(b"Connection: close, a2a-version", b"A2A-Version: 1.0"),
        seen=(Forwarded(ROOT, (b"A2A-Version: 1.0",)),), keeps=False, cut=True),
    dropped("request: an Upgrade makes it ordinary", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    *[dropped("request: claims of a stranger", f, cut=i == 0) for i, f in enumerate(CLAIMS)],
    passes("request: Via is added behind the others' [M]", get(b"Via: 1.0 fred", b"Via: 1.1 p, 1.1 q"), ROOT, b"Via: 1.0 fred", b"Via: 1.1 p, 1.1 q"),
    passes("request: our own name in Via is no loop yet", get(b"Via: " + b", ".join([b"1.1 molecule"] * 8)), ROOT,
           b"Via: " + b", ".join([b"1.1 molecule"] * 8)),
    Row("request: our own name in Via too often is 508", get(b"Via: " + b", ".join([b"1.1 molecule"] * 8), b"Via: 1.1 molecule"), (508,), keeps=False),
    passes("request: Host is the client's", get(host=b"Host: agents.example:8443"), ROOT, host=b"agents.example:8443"),
    passes("request: Accept-Encoding passes", get(b"Accept-Encoding: gzip, br"), ROOT, b"Accept-Encoding: gzip, br"),
    passes("request: conditions and ranges pass", get(b'If-None-Match: "x"', b"Range: bytes=0-1", b"If-Modified-Since: x"), ROOT,
           b'If-None-Match: "x"', b"Range: bytes=0-1", b"If-Modified-Since: x"),
    passes("request: trace headers pass", get(b"traceparent: 00-1-2-01", b"tracestate: a=b", b"X-Request-Id: 1"), ROOT,
           b"traceparent: 00-1-2-01", b"tracestate: a=b", b"X-Request-Id: 1"),
]


def answered(rule, *fields, has=(), lacks=()):
    """The agent's answer has these fields."""
    return Row(rule, get(), seen=(Forwarded(ROOT),), answers=(lines(OK, b"Content-Length: 2", *fields) + b"ok",), body=b"ok", has=has, lacks=lacks)


ANSWERS = [
    *[answered("answer: hop-by-hop", f, lacks=(name_of(f),)) for f in EVERY_HOP],
    answered("answer: what Connection names [M]", b"Connection: X-Own", b"X-Own: 1", lacks=(b"X-Own", b"Connection")),
    answered("answer: the agent's Connection is not ours", b"Connection: close", b"Keep-Alive: timeout=1", lacks=(b"Connection", b"Keep-Alive")),
    *[answered("answer: essentials cannot be named away", b"Connection: " + name_of(f), f, has=(f,)) for f in (
        b"Content-Type: a/b", b"Cache-Control: no-store", b"A2A-Extensions: urn:x", b"A2A-Version: 1.0", b"Content-Encoding: br",
        b"Set-Cookie: a=b", b"Content-Range: bytes 0-1/2")],
    answered("answer: nor Content-Length", b"Connection: content-length", has=(b"Content-Length: 2",)),
    answered("answer: Set-Cookie lines are not joined", b"Set-Cookie: a=1", b"Set-Cookie: b=2; Expires=Wed, 1 Jan",
             has=(b"Set-Cookie: a=1\r\nSet-Cookie: b=2; Expires=Wed, 1 Jan",)),
    answered("answer: a Date that is there stays, and stays alone", b"Date: Sun, 06 Nov 1994 08:49:37 GMT",
             has=(b"Date: Sun, 06 Nov 1994 08:49:37 GMT",)),  # that one is added otherwise, each row looks at that
    answered("answer: no Server is added", lacks=(b"Server",)),
    answered("answer: a Server that is there stays", b"Server: x", has=(b"Server: x",)),
    # ours: optional on answers, on by default, off together with the one on requests (forward.via)
    answered("answer: Via is added", b"Via: 1.1 inner", has=(b"Via: 1.1 inner", b"Via: 1.1 molecule")),
    # the program that confuses - and _ is the agent, so what it sends itself is its own affair
    answered("answer: names with underscores are the agent's own", b"Content_Type: x", b"X_Forwarded_For: y", b"A2A_Version: z",
             has=(b"Content_Type: x\r\nX_Forwarded_For: y\r\nA2A_Version: z",)),
]


class Headers(conformance.Suite):
    def test_rows(self):
        self.check(REQUESTS + ANSWERS)

    def test_a_request_arrives_as_it_was_sent(self):
        """Minus the hop-by-hop fields, plus what a forwarder adds: nothing else differs, whatever bytes there are."""
        fields = (b"aCCEPT: */*;q=0.5", b"X-Obs: \x80\xe9\xff", b"X-Tab: a\tb  c", b"X-Empty: ", b"X-Quoted: \"a\\\"b,c\", d ;e", b"X-Same: 1", b"X-Other: 2",
                  b"x-SAME: 1", b"Content-Type: application/json; charset=utf-8", b"A2A-Version: 1.0", b"A2A-Extensions: https://e/x, https://e/y",
                  b"A2A-Extensions: https://e/z", b"Authorization: Bearer a.b.c==", b"Cookie: a=1; b=\"2\"", b"Cookie: c", b"X-%s: y" % (b"n" * 300),
                  b"!#$%&'*+-.^`|~1: z", b"X-Long: " + b"v" * 9000, b"User-Agent: \xc3\xa9 (x; y)", b"Origin: null", b"Pragma: a, , b")
        target = b"/a%2Fb//../c;p=1?q=%20+%zz&&x=/?y&empty=&u=%C3%A9"
        body = bytes(range(256)) * 20 + b'\r\n0\r\n\r\n{"a": 1.50, "a": 12345678901234567890}'
        for framing, send in (("length", (b"Content-Length: %d" % len(body),)), ("chunked", (b"Transfer-Encoding: chunked",))):
            data = body if framing == "length" else chunked(body[:100], body[100:])
            hops = EVERY_HOP + (b"X-Private: 1", b"Connection: keep-alive, X-Private")
            mixed = [f for pair in zip(fields, hops) for f in pair] + list(fields[len(hops):])
            for method in (b"POST", b"PATCH", b"GET", b"X-Odd"):
                with self.subTest(framing=framing, method=method):
                    line = method + b" " + target + b" HTTP/1.1"
                    self.look(Row("identity", get(*mixed, *send, line=line) + data, seen=(Forwarded(line, fields, body=body, framing=framing),)))

    def test_an_answer_arrives_as_it_was_sent(self):
        fields = (b"coNTENT-type: a/b;c=\"d\"", b"X-Obs: \x80\xe9\xff", b"X-Tab: a\tb  c", b"X-Empty: ", b"X-Same: 1", b"X-Other: 2", b"x-same: 1",
                  b"A2A-Extensions: https://e/x", b"ETag: W/\"x\"", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Location: /a%2Fb//?", b"Vary: *",
                  b"Content-Encoding: x-odd", b"Last-Modified: never", b"Retry-After: soon", b"X-Accel-Buffering: no", b"Server: a/1 (b)",
                  b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"WWW-Authenticate: Bearer realm=\"x\"", b"Warning: 199 - \"x\"", b"X-Long: " + b"v" * 9000)
        body = bytes(range(256)) * 300 + b"\r\n0\r\n\r\n"
        for status in (b"200 OK", b"200 Fine \xe9 by me", b"201 Created", b"299 ", b"307 x", b"400 Bad Request", b"401 x", b"404 Gone?", b"413 x",
                       b"429 x", b"500 x", b"502 x", b"503 x", b"504 x", b"599 x"):
            for framing in (b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"):
                with self.subTest(status=status, framing=framing), self.client() as c:
                    self.agent.forget()
                    self.agent.script(lines(b"HTTP/1.1 " + status, *fields, framing, *EVERY_HOP) +
                                      (body if framing[0] == 67 else chunked(body[:10], body[10:])))
                    c.send(get())
                    a = c.answer()
                    self.assertEqual(a.first, b"HTTP/1.1 " + status)
                    self.assertEqual([n + b": " + v for n, v in a.fields], [*fields, b"Via: 1.1 molecule", framing])
                    self.assertEqual(a.body, body)


if __name__ == "__main__":
    unittest.main()

"""The request line and the head, as the forwarder takes and forwards them. Where the rule leaves a choice, the row says which one is ours."""
import unittest

import conformance
from conformance import Forwarded, Row, get, lines, passes, refused

GET = get()
ROOT = b"GET / HTTP/1.1"
TARGET_MAX = 16 * 1024
HEAD_MAX = 64 * 1024
FIELDS_MAX = 128


def target(rule, text, seen=None, host=b"a", **kw):
    return passes(rule, get(line=b"GET " + text + b" HTTP/1.1"), b"GET " + (seen or text) + b" HTTP/1.1", host=host, **kw)


def line(rule, text, status=400, **kw):
    return refused(rule, get(line=text), status, **kw)


def field(rule, text, **kw):
    """Between two good fields, so that whatever cuts the head there shows."""
    return refused(rule, get(b"A: 1", text, b"B: 2"), **kw)


EMPTY_LINES = [
    passes("empty lines before the request line are skipped", b"\r\n" + GET, ROOT, cut=True),
    passes("empty lines: up to 4", b"\r\n" * 4 + GET, ROOT),
    refused("empty lines: not more", b"\r\n" * 5 + GET),
    refused("empty lines: a bare LF is none", b"\n" + GET, cut=True),
    refused("empty lines: a bare CR is none", b"\r" + GET),
]

# A bare LF could be accepted (RFC 9112 section 2.2 lets us); two readers who disagree about it are what smuggling lives on.
LINE_ENDS = [
    refused("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", cut=True),
    refused("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
    refused("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    refused("bare LFs only", b"GET / HTTP/1.1\nHost: a\n\n"),
    refused("bare CR after the request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", cut=True),
    refused("bare CR in the request line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    field("bare CR in a value", b"X: a\rY: b"),
    field("bare CR in front of a CRLF", b"X: a\r"),
    field("bare CR in a name", b"X\rY: b"),
    refused("bare CR as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\rX"),
]

REQUEST_LINE = [
    line("two blanks in front of the target", b"GET  / HTTP/1.1", cut=True),
    line("two blanks behind the target", b"GET /  HTTP/1.1"),
    line("a tab in front of the target", b"GET\t/ HTTP/1.1"),
    line("a tab behind the target", b"GET /\tHTTP/1.1"),
    line("a blank at the beginning", b" GET / HTTP/1.1"),
    line("a blank at the end", b"GET / HTTP/1.1 "),
    line("a tab at the end", b"GET / HTTP/1.1\t"),
    line("four words", b"GET / / HTTP/1.1"),
    line("no version, as HTTP/0.9 had it", b"GET /"),
    line("no target", b"GET HTTP/1.1"),
    line("the method alone", b"GET"),
    line("no method", b"/ HTTP/1.1"),
    line("a method that is no token", b"G@T / HTTP/1.1"),
    line("a method with a colon", b"GET: / HTTP/1.1"),
    line("a method with a letter that is not ASCII", b"G\xc3\x89T / HTTP/1.1"),
]

VERSIONS = [
    line("version: case-sensitive", b"GET / http/1.1", cut=True),
    line("version: major 2 is 505", b"GET / HTTP/2.0", 505, cut=True),
    line("version: major 11 is 505", b"GET / HTTP/11.1", 505),
    line("version: major 0 is 505", b"GET / HTTP/0.9", 505),
    line("version: one digit each, minor", b"GET / HTTP/1.10"),
    line("version: one digit each, major", b"GET / HTTP/01.1"),
    line("version: needs a minor", b"GET / HTTP/1"),
    line("version: needs a minor digit", b"GET / HTTP/1."),
    line("version: nothing behind it", b"GET / HTTP/1.1x"),
    line("version: another protocol", b"GET / ICAP/1.1"),
    passes("version: 1.2 and above count as 1.1", get(line=b"GET / HTTP/1.2"), ROOT, cut=True),
    passes("version: 1.9 too", get(line=b"GET / HTTP/1.9"), ROOT),
    Row("version: 1.0 is not kept by default", get(line=b"GET / HTTP/1.0"), seen=(Forwarded(ROOT),), keeps=False, cut=True),
    refused("the 24 octets of an h2 client", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, cut=True),
]

TARGETS = [
    target("absolute-form: its authority counts instead of Host [M]", b"http://b:8/x?y", b"/x?y", host=b"b:8", cut=True),
    target("absolute-form: without a path it is /", b"http://b", b"/", host=b"b"),
    target("absolute-form: https too, since it may have ended in front of us", b"https://b/", b"/", host=b"b"),
    target("absolute-form: schemes have no case", b"HTTP://b/x", b"/x", host=b"b"),
    passes("absolute-form: OPTIONS without a path is *", get(line=b"OPTIONS http://b HTTP/1.1"), b"OPTIONS * HTTP/1.1", host=b"b"),
    refused("absolute-form: Host is needed all the same [M]", b"GET http://b/ HTTP/1.1\r\n\r\n"),
    line("absolute-form: no user in it", b"GET http://u@b/ HTTP/1.1"),
    line("absolute-form: no empty authority", b"GET http:///x HTTP/1.1"),
    line("absolute-form: other schemes are not ours", b"GET ftp://b/ HTTP/1.1"),
    # ours: the path that would have to be invented in front of the query is the client's to write
    line("absolute-form: a query needs a path", b"GET http://b?y HTTP/1.1"),
    passes("asterisk-form goes with OPTIONS", get(line=b"OPTIONS * HTTP/1.1"), b"OPTIONS * HTTP/1.1"),
    line("asterisk-form with nothing else", b"GET * HTTP/1.1"),
    # ours: without CONNECT it is not a form of a request at all, hence 400 and not 405
    line("authority-form", b"GET a:80 HTTP/1.1"),
    line("CONNECT with authority-form", b"CONNECT a:80 HTTP/1.1", 405),
    line("a fragment", b"GET /x#y HTTP/1.1", cut=True),
    line("a control character", b"GET /\x01 HTTP/1.1"),
    line("DEL", b"GET /\x7f HTTP/1.1"),
    line("NUL", b"GET /\0 HTTP/1.1"),
    line("not ASCII", b"GET /\xc3\xa9 HTTP/1.1"),
    line("neither a path nor a URL", b"GET x HTTP/1.1"),
]

OPAQUE = [
    target("opaque: no decoding, no clean-up, the empty query stays", b"/a%2Fb//..;x?", cut=True),
    target("opaque: dots stay", b"/./a/../b/.."),
    target("opaque: two slashes at the beginning are a path", b"//b/x"),
    target("opaque: a second ? is of the query", b"/a?b?c=/?"),
    target("opaque: hex digits keep their case, bad ones stay", b"/%2f%2F%zz%"),
    target("opaque: all that is visible", b"/!\"$%&'()*+,-.:;<=>?@[\\]^_`{|}~"),
]

LIMITS = [
    target("limits: the longest target", b"/" + b"t" * (TARGET_MAX - 1)),
    line("limits: a target longer by one is 414", b"GET /" + b"t" * TARGET_MAX + b" HTTP/1.1", 414),
    refused("limits: a target without end is 414 at once", b"GET /" + b"t" * (TARGET_MAX + 1024), 414),
    passes("limits: the largest head", get(b"X: " + b"v" * (HEAD_MAX - len(get(b"X: ")))), ROOT,
           b"X: " + b"v" * (HEAD_MAX - len(get(b"X: ")))),
    refused("limits: a head larger by one is 431", get(b"X: " + b"v" * (HEAD_MAX - len(get(b"X: ")) + 1)), 431),
    passes("limits: the most fields", get(*[b"X: %d" % i for i in range(FIELDS_MAX - 1)]), ROOT,
           *[b"X: %d" % i for i in range(FIELDS_MAX - 1)]),
    refused("limits: one more is 431", get(*[b"X: %d" % i for i in range(FIELDS_MAX)]), 431),
]

METHODS = [
    line("methods: TRACE", b"TRACE / HTTP/1.1", 405, has=(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",)),
    line("methods: CONNECT", b"CONNECT / HTTP/1.1", 405),
    *[passes("methods: unknown tokens are forwarded", get(line=m + b" / HTTP/1.1"), m + b" / HTTP/1.1")
      for m in (b"PURGE", b"get", b"M-SEARCH", b"!#$%&'*+-.^_`|~09aZ", b"trace")],
    Row("methods: HEAD", get(line=b"HEAD / HTTP/1.1"), seen=(Forwarded(b"HEAD / HTTP/1.1"),), body=b"", has=(b"Content-Length: 2",)),
]


def host(rule, *given, version=b"1.1", **kw):
    return refused(rule, lines(b"GET / HTTP/" + version, *given, b"X: 1"), **kw)


HOST = [
    host("Host: missing [M]", cut=True),
    host("Host: given twice [M]", b"Host: a", b"Host: b", cut=True),
    host("Host: given twice, even the same [M]", b"Host: a", b"Host: a"),
    host("Host: given twice, in two spellings [M]", b"Host: a", b"hOST: a"),
    host("Host: twice in 1.0", b"Host: a", b"Host: b", version=b"1.0"),
    *[host("Host: invalid [M]", b"Host: " + h) for h in (b"a b", b"a/b", b"u@a", b"a:x", b"a:65536", b"a:1:2", b"[::1", b"[x]", b"[]",
                                                        b"a%zz", b"a\x80", b"http://a", b":80", b"")],
    host("Host: invalid in 1.0", b"Host: a b", version=b"1.0"),
    Row("Host: 1.0 may lack it", b"GET / HTTP/1.0\r\n\r\n", seen=(Forwarded(ROOT, host=None),), keeps=False, cut=True),
    *[passes("Host: valid", get(host=b"Host: " + h), ROOT, host=h) for h in (b"a:8000", b"[::1]:80", b"A.b-c_d.", b"1.2.3.4", b"a:")],
]

FIELDS = [
    field("a blank in front of the colon [M]", b"X : 1"),
    field("a tab in front of the colon [M]", b"X\t: 1"),
    refused("a blank in front of the colon, of a field that frames [M]", get(b"Content-Length : 5", b"X: 1") + b"hello", cut=True),
    field("name: empty", b": 1"),
    field("name: with a blank", b"a b: 1"),
    field("name: with NUL", b"a\0b: 1"),
    field("name: with a delimiter", b"a(b): 1"),
    field("name: not ASCII", b"\xc3\xa9: 1"),
    field("a line without a colon", b"abc"),
    field("obs-fold with a blank", b"X: a\r\n b", cut=True),
    field("obs-fold with a tab", b"X: a\r\n\tb"),
    field("obs-fold that is empty", b"X: a\r\n "),
    refused("a line that begins with a blank in front of the first field", lines(b"GET / HTTP/1.1", b" X: 1", b"Host: a")),
    refused("an empty-looking line in front of the first field", lines(b"GET / HTTP/1.1", b" ", b"Host: a")),
    field("value: NUL", b"X: a\0b", cut=True),
    # strict: of the controls only the tab may stand in a value
    *[field("value: a control character", b"X: a%cb" % c) for c in (1, 8, 11, 12, 27, 31, 127)],
    passes("value: a tab inside, blanks around it go", get(b"X: \t a\tb \t"), ROOT, b"X: a\tb"),
    passes("value: obs-text", get(b"X: \x80\xff\xe9"), ROOT, b"X: \x80\xff\xe9", cut=True),
    passes("value: none", get(b"X:", b"Y: "), ROOT, b"X: ", b"Y: "),
    passes("value: no blank behind the colon", get(b"X:1"), ROOT, b"X: 1"),
    *[passes("underscores: a twin of a known name is dropped", get(b"A: 1", n + b": 0", b"B: 2"), ROOT, b"A: 1", b"B: 2")
      for n in (b"Content_Length", b"Transfer_Encoding", b"content_type", b"A2A_Version", b"X_Forwarded_For", b"X-Forwarded_Host")],
    passes("underscores: other names with them pass", get(b"My_Own: 0"), ROOT, b"My_Own: 0"),
    passes("repeated fields keep their lines and their order", get(b"X: 1", b"Y: 2", b"x: 3", b"X: 1"), ROOT, b"X: 1", b"Y: 2", b"x: 3", b"X: 1"),
    passes("repeated Cookie lines are not joined", get(b"Cookie: a=1", b"Cookie: b=2"), ROOT, b"Cookie: a=1", b"Cookie: b=2"),
]

NOT_HTTP = [
    refused("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    refused("no HTTP at all", b"hello\r\n\r\n"),
    refused("a NUL first", b"\0" + GET),
]

ROWS = [*EMPTY_LINES, *LINE_ENDS, *REQUEST_LINE, *VERSIONS, *TARGETS, *OPAQUE, *LIMITS, *METHODS, *HOST, *FIELDS, *NOT_HTTP]


class RequestHead(conformance.Suite):
    def test_rows(self):
        self.check(ROWS)


if __name__ == "__main__":
    unittest.main()

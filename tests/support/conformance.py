"""Tables against the forward path: one sidecar and one recording agent per test class, a row is bytes in and what must come of them.

    class RequestHead(conformance.Suite):
        def test_rows(self):
            self.check(ROWS)

A row names the rule it stands for. After each row the agent holds no whole request but those the row names, and a request that
follows is served: on the same connection when the row keeps it, else on a new one.
"""
import dataclasses
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

import fake_agent
import harness
import wire

AFTER = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n"
POOLED_S = 1.9  # a kept connection to the agent lives for 2 s; a row that takes longer than this cannot tell whether it was kept
LINGER_S = 1.9  # and so long, less a bit, what comes behind a refusal is read
ATTEMPTS = 10


def lines(*parts):
    """A head from its lines."""
    return b"".join(p + b"\r\n" for p in parts) + b"\r\n"


def get(*fields, line=b"GET / HTTP/1.1", host=b"Host: a"):
    return lines(line, *([host] if host else []), *fields)


def post(*fields, body=b"", **kw):
    return get(*fields, line=b"POST / HTTP/1.1", **kw) + body


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Forwarded:
    """A request as the agent must get it: all bytes of the head; the body's content, since chunks may be cut in other places."""
    line: bytes
    fields: tuple = ()
    host: bytes = b"a"     # None: the client gave none
    body: bytes = b""
    framing: str = "none"  # or length, chunked

    def head(self, peer):
        framing = {"length": [b"Content-Length: %d" % len(self.body)], "chunked": [b"Transfer-Encoding: chunked"], "none": []}
        return lines(self.line, b"Host: " + (b"localhost" if self.host is None else self.host), *self.fields,
                     *([b"X-Forwarded-For: " + peer] if peer else []), b"X-Forwarded-Proto: http",
                     *([] if self.host is None else [b"X-Forwarded-Host: " + self.host]), b"Via: 1.1 molecule", *framing[self.framing])


@dataclasses.dataclass(frozen=True)
class Row:
    rule: str             # of the section's table, in short
    send: bytes
    gets: tuple = (200,)  # statuses of the final answers
    seen: tuple = ()      # Forwarded, what the agent got
    keeps: bool = True    # the client's connection carries another request afterwards
    answers: tuple = ()   # of the agent, see fake_agent
    interims: tuple = ()  # statuses before the first final answer
    begun: bool = False   # the agent may have got the beginning of a request, and the end of its connection
    reused: bool = None   # the agent's connection carries the next request (None: either)
    body: bytes = None    # of the last answer
    has: tuple = ()       # lines in the head of the last answer
    lacks: tuple = ()     # names that are not among its fields
    framing: str = None   # of the last answer: none, length, chunked, close
    is_cut: bool = False  # it must not look complete: a part of it, or nothing, and a reset
    cut: bool = False     # also among the rows that test_cuts.py cuts everywhere


def refused(rule, send, status=400, **kw):
    """The agent sees nothing, the connection ends."""
    return Row(rule, send, (status,), (), False, **kw)


def passes(rule, send, line, *fields, host=b"a", body=b"", framing="none", **kw):
    return Row(rule, send, seen=(Forwarded(line, fields, host, body, framing),), **kw)


class Suite(unittest.TestCase):
    FLAGS = ()
    UNIX = False  # the client's side is a Unix socket too, where it can be known that bytes have been read
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.has_failed = False
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp" if len(tempfile.gettempdir()) > 40 else None))
        cls.agent = fake_agent.Agent(cls.dir / "agent")
        cls.side = cls.start_sidecar(cls.dir, cls.agent, *cls.FLAGS)
        cls.where = str(cls.dir / "front") if cls.UNIX else cls.side.port

    @classmethod
    def start_sidecar(cls, directory, agent, *flags):
        if cls.UNIX:
            flags = ("--listen-address", f"unix:{directory}/front", *flags)
        side = harness.Sidecar(directory, None, None, ("--agent-address", f"unix:{directory}/agent", "--agent-ready-path",
                                                       fake_agent.PROBE.decode(), "--agent-health-interval", "1h", *flags), None, None)
        side.directory = directory
        try:
            side.wait_ready()
        except BaseException:
            print(side.text(), file=sys.stderr)
            side.end()
            raise
        return side

    @classmethod
    def tearDownClass(cls):
        cls.side.signal(15)
        try:
            status = cls.side.wait_exit()
        finally:
            cls.side.end()
            cls.agent.stop()
            shutil.rmtree(cls.dir, ignore_errors=True)
            if cls.has_failed:
                print("\n".join(cls.side.lines[-30:]), file=sys.stderr)
        text = cls.side.text()
        if status or "Sanitizer" in text or "runtime error" in text or "Assertion" in text:
            raise AssertionError(f"the sidecar ended with {status}:\n{text[-8000:]}")

    def setUp(self):
        harness.eventually(lambda: self.side.metrics()["molecule_sidecar_connections"] == 0, "the clients of the test before it are gone")
        self.agent.forget()

    def tearDown(self):
        result = getattr(self._outcome, "result", None)
        type(self).has_failed |= bool(result and (result.failures or result.errors)) or not self._outcome.success

    # ---- one row

    def check(self, rows, cuts=None):
        """cuts: row -> lists of offsets, the row is looked at once for each of them."""
        self.assertEqual(len(rows), len({(r.rule, r.send, r.answers) for r in rows}), "no row is there twice")
        for row in rows:
            for where in cuts(row) if cuts else [()]:
                with self.subTest(row.rule, sent=row.send[:200], at=where if len(where) < 3 else "every byte"):
                    self.look(row, where)

    def look(self, row, cuts=()):
        for attempt in range(ATTEMPTS):
            late = self._look(row, cuts)
            if not late:
                return
        self.fail(f"not once in {ATTEMPTS} times the next request came in time to find the agent's connection ({late:.1f} s)")

    def client(self):
        return wire.Client(self.where)

    def _look(self, row, cuts):
        """Returns the seconds that passed, when too many have to judge row.reused."""
        self.agent.forget()
        self.agent.script(*row.answers)
        peer = b"" if self.UNIX else b"127.0.0.1"
        expected = list(row.seen)
        began = time.monotonic()
        with self.client() as c:
            c.send(row.send, cuts)
            if row.is_cut:
                self.check_cut(row, c.cut_answer())
            else:
                self.check_answers(row, [c.answer(to_head=i < len(expected) and expected[i].line.startswith(b"HEAD "))
                                         for i in range(len(row.gets))])
            self.agent.wait_said()  # what it says too much is there before the next request is, else it could be taken for its answer
            if row.keeps:
                after = self._after(c)
            else:
                self.check_end(c, began, "reset" if row.is_cut and not self.UNIX else "closed")
                with self.client() as other:
                    after = self._after(other)
            late = time.monotonic() - began
        self.agent.settle()
        requests = [r for r in self.agent.requests if r is not after]
        self.assertEqual([(r.head, r.body, r.framing) for r in requests], [(f.head(peer), f.body, f.framing) for f in expected])
        if not row.begun:
            self.assertEqual(self.agent.partials(), [])
        if row.reused is not None and requests:
            if row.reused and after.link is not requests[-1].link and late > POOLED_S:
                return late
            self.assertEqual(after.link is requests[-1].link, row.reused, "the agent's connection carried the next request")
        return None

    def check_end(self, c, began, how="closed"):
        """An orderly end, unless we were so slow that the sidecar could no longer wait for us."""
        ended = c.end()
        if time.monotonic() - began < LINGER_S:
            self.assertEqual(ended, how)

    def _after(self, c):
        """A request that is served whatever was before it; as the agent got it."""
        c.send(AFTER)
        a = c.answer()
        self.assertEqual((a.status, a.body), (200, b"ok"), "the request after it")
        found = [r for r in self.agent.requests if r.first == b"GET /after HTTP/1.1"]
        self.assertEqual(len(found), 1)
        return found[0]

    def check_answers(self, row, got):
        self.assertEqual(tuple(a.status for a in got), row.gets, got)
        last = got[-1]
        self.assertEqual(tuple(i.status for i in got[0].interims), row.interims)
        self.assertTrue(last.is_whole, last)
        for a in got:
            self.assertEqual(len(a.all(b"Date")), 1, a.head)
        if row.body is not None:
            self.assertEqual(last.body, row.body)
        if row.framing:
            self.assertEqual(last.framing, row.framing, last.head)
        for line in row.has:
            self.assertIn(b"\r\n" + line + b"\r\n", last.head)
        for name in row.lacks:
            self.assertEqual(last.all(name), [], last.head)
        says_close = last.all(b"Connection") == [b"close"]
        self.assertEqual(says_close, not row.keeps, f"the answer says what becomes of the connection: {last.head}")

    def check_cut(self, row, got):
        if row.body is not None:
            self.assertEqual((got.status, got.body, got.framing), (*row.gets, row.body, row.framing))
        if got:
            self.assertFalse(got.is_whole, got)
            self.assertEqual(got.status, row.gets[0])

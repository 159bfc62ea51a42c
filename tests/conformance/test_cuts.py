"""The same bytes cut anywhere mean the same: rows of the other tables, some of them cut at every offset and sent one byte at a time, and all the
others that are short enough cut in the middle and near their end.

The client's side is a Unix socket here, like the agent's: there the kernel tells when bytes have been read by the program at the
other end (wire.wait_read), so that each piece is a read of its own and nothing is left to timing.
"""
import dataclasses
import unittest

import conformance
import test_connections
import test_expect
import test_headers
import test_request_framing
import test_request_head
import test_responses
from conformance import AFTER
from fake_agent import READ, Answer

LONGEST = 160       # bytes of a row that is cut everywhere
LONGEST_SOME = 400  # and of one that is cut in three places


def bytes_of(row):
    """What the agent answers in it, in one piece."""
    (steps,) = row.answers
    return b"".join(s for s in steps if isinstance(s, bytes))


ALL = [r for table in (test_request_head.ROWS, test_request_framing.ROWS, test_expect.ROWS, test_connections.KEPT, test_headers.REQUESTS) for r in table]
REQUESTS = [r for r in ALL if r.cut]
OTHER_REQUESTS = [r for r in ALL if not r.cut and 1 < len(r.send) <= LONGEST_SOME]
ANSWERS = [r for r in test_responses.ROWS if r.cut]
# To an HTTP/1.0 client only a reset says that an answer was cut, and there is none on Unix sockets.
OTHER_ANSWERS = [r for r in test_responses.ROWS if not r.cut and 1 < len(bytes_of(r)) <= LONGEST_SOME and not (r.is_cut and r.framing == "close")]


def by_byte(data):
    return tuple(range(1, len(data)))


def somewhere(data):
    """In the middle, and where a last line, a last chunk and a last byte begin."""
    return [(i,) for i in sorted({len(data) // 2, len(data) - 3, len(data) - 1}) if i > 0]


def pieces(data, cuts):
    """Steps of the agent: the sidecar has read each piece before the next is sent."""
    steps = []
    for begin, end in zip((0, *cuts), (*cuts, len(data))):
        steps += [data[begin:end], READ]
    return steps


class Cuts(conformance.Suite):
    UNIX = True
    # A head that comes in 160 reads takes its time on a busy machine, which is not what is looked at here.
    FLAGS = ("--listen-max-body", "64KiB", "--listen-head-timeout", "10m", "--log-level", "warning")

    def test_the_tables_have_both_kinds(self):
        self.assertGreater(sum(r.gets[0] == 200 for r in REQUESTS), 12)
        self.assertGreater(sum(r.gets[0] >= 400 for r in REQUESTS), 12)
        self.assertGreater(len(ANSWERS), 12)
        for row in REQUESTS:
            self.assertLess(len(row.send), LONGEST, row.rule)

    def test_requests_cut_at_every_offset(self):
        rows = [dataclasses.replace(r, begun=True) for r in REQUESTS]  # where a body is cut, the agent gets its beginning
        self.check(rows, lambda row: [(i,) for i in range(1, len(row.send))])

    def test_requests_byte_by_byte(self):
        self.check([dataclasses.replace(r, begun=True) for r in REQUESTS], lambda row: [by_byte(row.send)])

    def test_all_other_requests_cut_somewhere(self):
        self.assertGreater(len(OTHER_REQUESTS), 250)
        self.check([dataclasses.replace(r, begun=True) for r in OTHER_REQUESTS], lambda row: somewhere(row.send))

    def test_all_other_answers_cut_somewhere(self):
        self.assertGreater(len(OTHER_ANSWERS), 100)
        self.check_answers_in_pieces(somewhere, OTHER_ANSWERS, LONGEST_SOME)

    def test_answers_cut_at_every_offset(self):
        self.check_answers_in_pieces(lambda data: [(i,) for i in range(1, len(data))])

    def test_answers_byte_by_byte(self):
        self.check_answers_in_pieces(lambda data: [by_byte(data)])

    def check_answers_in_pieces(self, cuts, rows=ANSWERS, longest=LONGEST):
        for row in rows:
            (steps,) = row.answers
            data = bytes_of(row)
            self.assertLessEqual(len(data), longest, row.rule)
            rest = [s for s in steps if not isinstance(s, bytes) and s is not READ]
            # How much of an answer that fails has left depends on where it is cut; that it does not look whole does not.
            row = dataclasses.replace(row, body=None if row.is_cut else row.body)
            for where in cuts(data):
                with self.subTest(row.rule, answer=data, at=where if len(where) == 1 else "every byte"):
                    self.look(dataclasses.replace(row, answers=(Answer(pieces(data, where) + rest),)))

    def test_what_is_asked_next_is_not_touched(self):
        """Two requests, cut around the place where the second begins."""
        first = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        for i in range(len(first) - 6, len(first) + 20):
            with self.subTest(i), self.client() as c:
                c.send(first + AFTER, (i,))
                self.assertEqual([c.answer().body, c.answer().body], [b"ok", b"ok"])


if __name__ == "__main__":
    unittest.main()

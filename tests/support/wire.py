"""HTTP/1.1 as bytes, for tests that care about each of them: a strict reader of messages, and a client that sends what it is told.

Nothing is repaired here. A message of the sidecar's that is not well formed to the letter is a failed test (AssertionError).
"""
import fcntl
import re
import socket
import struct
import time

import harness

SIOCOUTQ = 0x5411  # bytes written to a socket and not yet taken from it: of a Unix socket, not read by the program at the other end


class Message:
    """A request or an answer. `wire` is the body as it was framed, `body` what was in it; is_whole: its end was seen."""

    def __init__(self, head):
        self.head = head
        lines = head[:-4].split(b"\r\n")
        self.first = lines[0]
        self.fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(b": ")
            assert colon and re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) and value == value.strip(b" \t"), line
            self.fields.append((name, value))
        self.body = self.wire = b""
        self.framing = "none"
        self.is_whole = True
        self.interims = []

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    @property
    def status(self):
        return int(self.first[9:12])

    def __repr__(self):
        return f"<{self.head!r} {self.body[:200]!r}{'' if self.is_whole else ' CUT'}>"


def take_chunks(data):
    """(content, bytes used, whether the last chunk was among them)"""
    content, at = b"", 0
    while True:
        m = re.match(rb"([0-9a-f]{1,15})\r\n", data[at:at + 17])
        if not m:
            assert len(data) - at < 17 and re.fullmatch(rb"[0-9a-f]*\r?", data[at:]), data[at:at + 40]
            return content, at, False
        size = int(m[1], 16)
        begin = at + m.end()
        end = begin + size
        if len(data) < end + 2:
            return content + data[begin:end], at, False
        assert data[end:end + 2] == b"\r\n", data[end:end + 20]
        content += data[begin:end]
        at = end + 2
        if size == 0:
            return content, at, True


def take(data, is_answer, to_head=False, ended=False):
    """(Message, bytes used) from the front of data, or None while it is incomplete. ended: nothing will follow; then a message that
    is cut is returned with is_whole False (None when not even its head is there)."""
    n = data.find(b"\r\n\r\n") + 4
    if n == 3:
        return None
    m = Message(data[:n])
    rest = data[n:]
    lengths, codings = m.all(b"Content-Length"), m.all(b"Transfer-Encoding")
    assert len(lengths) + len(codings) <= 1, f"ambiguous framing: {m.head!r}"
    if is_answer and (to_head or m.status < 200 or m.status in (204, 304)):
        return m, n
    if codings:
        assert codings == [b"chunked"], m.head
        m.framing = "chunked"
        m.body, used, m.is_whole = take_chunks(rest)
    elif lengths:
        m.framing = "length"
        used = int(lengths[0])
        m.is_whole = len(rest) >= used
        m.body = rest[:used]
    elif is_answer:
        m.framing = "close"
        m.body, used = rest, len(rest)
        m.is_whole = ended
    else:
        used = 0
    if not m.is_whole and not ended:
        return None
    if not m.is_whole:
        used = len(rest)
    m.wire = rest[:used]
    return m, n + used


def unread(s):
    return struct.unpack("i", fcntl.ioctl(s, SIOCOUTQ, b"\0\0\0\0"))[0]


def wait_read(s):
    """Until the program at the other end of this Unix socket has read all that was sent (or is gone)."""
    end = time.monotonic() + harness.PATIENCE
    spins = 0
    while unread(s):
        spins += 1
        time.sleep(0 if spins < 50 else 0.0002)
        if time.monotonic() > end:
            raise AssertionError("what was sent is not read")


class Client:
    """One connection to the sidecar. `where`: a port, or the path of a Unix socket."""

    def __init__(self, where):
        if isinstance(where, int):
            self.s = socket.socket()
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            where = ("127.0.0.1", where)
        else:
            self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(harness.PATIENCE)
        self.s.connect(where)
        self.data = b""
        self.ended = None  # "closed" or "reset"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.s.close()

    def shut(self):
        self.s.shutdown(socket.SHUT_WR)

    def reset(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()

    def send(self, data, cuts=()):
        """False: the other side has closed, which it may after a refusal. cuts: offsets; what is before each of them is read by the
        sidecar before the next byte is sent (Unix sockets only)."""
        begin = 0
        try:
            for end in cuts:
                self.s.sendall(data[begin:end])
                wait_read(self.s)
                begin = end
            self.s.sendall(data[begin:])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _more(self):
        if self.ended:
            return False
        try:
            more = self.s.recv(1 << 18)
            self.ended = None if more else "closed"
        except ConnectionResetError:
            more, self.ended = b"", "reset"
        except TimeoutError:
            raise AssertionError(f"neither an answer nor an end; so far {self.data[:400]!r}") from None
        self.data += more
        return bool(more)

    def wait(self, pattern):
        """Until these bytes have come, whatever is around them."""
        while pattern not in self.data:
            assert self._more(), f"{pattern!r} never came, but {self.data[:400]!r}"

    def answer(self, to_head=False):
        """The next final answer, the 1xx before it in .interims. Cut short by the end of the connection: is_whole is False."""
        interims = []
        while True:
            found = take(self.data, True, to_head, bool(self.ended))
            if not found:
                assert self._more() or b"\r\n\r\n" in self.data, f"{self.ended} without an answer: {self.data[:400]!r}"
                continue
            m, used = found
            if self.ended == "reset" and m.framing == "close":
                m.is_whole = False
            self.data = self.data[used:]
            if m.status >= 200:
                m.interims = interims
                return m
            interims.append(m)

    def cut_answer(self):
        """What there is of an answer when the connection has ended; None when not even its head came."""
        while self._more():
            pass
        found = take(self.data, True, ended=True)
        self.data = b""
        if found and self.ended == "reset" and found[0].framing == "close":
            found[0].is_whole = False
        return found and found[0]

    def end(self):
        """Until the other side ends it; "closed" or "reset". Nothing may come before that."""
        while self._more():
            pass
        assert not self.data, f"more than was expected: {self.data[:400]!r}"
        return self.ended

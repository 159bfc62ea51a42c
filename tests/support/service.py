"""A Service and its clients, on this machine: who sends requests to pods that come and go, and keeps the books.

A Service has endpoints. Whoever opens a connection gets one of them, as kube-proxy (iptables, IPVS, nftables) gives one: by the list as
this client's node knows it, which is up to `lag` seconds old; and the connection stays with its pod until one of its ends closes it.

A client is what Go's net/http is for a POST (net/http/transport.go, shouldRetryRequest; others are like it or worse):

    a kept connection that was closed before anything was written on it   is replaced by a new one, nobody notices
    `Connection: close` in an answer                                      is obeyed
    refused, reset, or an end without an answer after the request went    an error: a POST is not sent a second time
    a status of 500 and more                                              an error

Each request has an id and is right when the agent's own answer to that id came back whole; a stream, when all its events and its end came.
Everything else is lost, under the word for how. A request that was begun later than the pod promised to be there (its drain_delay after
its deletion) is `late` beside it: with a balancer that is slower than drain_delay, or a machine so busy that this client was.
"""
import asyncio
import collections
import contextlib
import json
import random
import socket
import time

PATIENCE = 120  # seconds for one answer
IN_BYTES = 65536


class Service:
    def __init__(self, lag):
        self.lag = lag
        self.endpoints = []  # [pod, added, removed or None]

    def add(self, pod):
        self.endpoints.append([pod, time.monotonic(), None])

    def remove(self, pod):
        for e in self.endpoints:
            if e[0] is pod and e[2] is None:
                e[2] = time.monotonic()

    def known(self, lag):
        """The endpoints as a node knows them that hears of changes `lag` seconds late."""
        at = time.monotonic() - lag
        return [pod for pod, added, removed in self.endpoints if added <= at and (removed is None or removed > at)]


class Lost(Exception):
    """How, in a word or two."""


class Books:
    """What became of each request of a world."""

    def __init__(self):
        self.ok = 0
        self.lost = []                          # (id, how, pod's name)
        self.late = []                          # the same, of those begun later than promised
        self.kinds = collections.Counter()      # requests by kind
        self.answered = set()
        self.waits = []                         # seconds each answer took

    @property
    def sent(self):
        return self.ok + len(self.lost) + len(self.late)

    def how(self):
        return dict(collections.Counter(how for _, how, _ in self.lost + self.late))


def is_closed(s):
    """Its other side has: Go's reading goroutine has seen that before the next request is written."""
    try:
        return s.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Client:
    """One caller: a request, the answer, a thought; on a kept connection as long as it is kept."""

    def __init__(self, name, service, books, rng, texts, think):
        self.name, self.service, self.books, self.rng, self.texts, self.think = name, service, books, rng, texts, think
        self.lag = service.lag * rng.random()
        self.s, self.pod, self.got, self.count = None, None, b"", 0
        self.stopped = False

    async def run(self):
        try:
            while not self.stopped:
                await self.ask(self.rng.choice(self.texts))
                await asyncio.sleep(self.rng.expovariate(1 / self.think))
        finally:
            self.hang_up()

    def hang_up(self):
        if self.s:
            self.s.close()
        self.s, self.got = None, b""

    async def ask(self, text):
        self.count += 1
        number = f"{self.name}-{self.count}"
        self.books.kinds[text.split()[0]] += 1
        self.begun = time.monotonic()
        try:
            await asyncio.wait_for(self.exchange(number, text), PATIENCE)
            self.books.ok += 1
            self.books.answered.add(number)
            self.books.waits.append(time.monotonic() - self.begun)
        except (Lost, OSError, asyncio.TimeoutError, ValueError) as problem:
            how = str(problem) if isinstance(problem, Lost) else type(problem).__name__
            promised = self.pod and self.pod.promised_until()
            is_late = promised is not None and self.begun >= promised
            (self.books.late if is_late else self.books.lost).append((number, how, self.pod.name if self.pod else "-"))
            self.hang_up()

    async def connection(self):
        if self.s and is_closed(self.s):
            self.hang_up()
        if self.s:
            return
        loop = asyncio.get_running_loop()
        while not (known := self.service.known(self.lag)):
            self.pod = None
            await asyncio.sleep(0.01)  # a Service without endpoints: not a matter of the pods here
        self.pod = self.rng.choice(known)
        self.begun = time.monotonic()
        self.s = socket.socket()
        self.s.setblocking(False)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(self.s, ("127.0.0.1", self.pod.port))
        except OSError:
            self.hang_up()
            raise Lost("refused") from None

    async def exchange(self, number, text):
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "message/stream" if text.startswith("events") else "message/send",
                           "params": {"message": {"kind": "message", "role": "user", "messageId": number,
                                                  "parts": [{"kind": "text", "text": text}]}}}).encode()
        await self.connection()
        if is_closed(self.s):  # between connecting and here the loop had others to serve
            return await self.exchange(number, text)
        self.begun = time.monotonic()
        try:
            await asyncio.get_running_loop().sock_sendall(self.s, b"POST / HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n"
                                                          b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        except OSError:
            raise Lost("reset") from None
        status, fields = await self.head()
        said = await self.body(fields)
        if status != 200:
            raise Lost(f"{status} {reason(said)}")
        if text.startswith("events"):
            self.check_events(number, said, int(text.split()[1]))
        else:
            answer = json.loads(said)
            if answer.get("id") != number or f" did {number}: " not in answer["result"]["parts"][0]["text"]:
                raise Lost("another answer")
        if fields.get(b"connection", b"").lower() == b"close":
            self.hang_up()

    async def more(self, so_far):
        try:
            got = await asyncio.get_running_loop().sock_recv(self.s, IN_BYTES)
        except OSError:
            got = b""
        if not got:
            raise Lost("cut in its answer" if so_far else "ended without an answer")
        self.got += got

    async def head(self):
        while b"\r\n\r\n" not in self.got:
            await self.more(self.got)
        head, _, self.got = self.got.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        return int(lines[0].split()[1]), {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:])}

    async def take(self, n):
        while len(self.got) < n:
            await self.more(True)
        taken, self.got = self.got[:n], self.got[n:]
        return taken

    async def body(self, fields):
        if b"content-length" in fields:
            return await self.take(int(fields[b"content-length"]))
        if fields.get(b"transfer-encoding", b"").lower() != b"chunked":
            raise Lost("no framing")
        body = b""
        while True:
            while b"\r\n" not in self.got:
                await self.more(True)
            size, _, self.got = self.got.partition(b"\r\n")
            chunk = await self.take(int(size, 16) + 2)
            if int(size, 16) == 0:
                return body
            body += chunk[:-2]

    def check_events(self, number, said, count):
        events = [json.loads(e[6:]) for e in said.split(b"\n\n") if e.startswith(b"data: ")]
        if [e["result"]["n"] for e in events if e["id"] == number] != list(range(count)):
            raise Lost("events are missing")


def reason(said):
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        return json.loads(said)["error"]["data"][0]["reason"]
    return ""


class Crowd:
    """Clients of one Service, with the requests a crowd has: most are short, some take a while, some are streams."""

    def __init__(self, name, service, books, seed, second, count, think):
        work, stream = f"work {1.5 * second:.4f}", f"events 5 {0.5 * second:.4f}"
        rng = random.Random(seed)
        kinds = [["say"], ["say", "say", "say", work], [stream, "say"]]
        self.clients = [Client(f"{name}.{n}", service, books, random.Random(rng.random()), kinds[n % 3], think) for n in range(count)]
        self.tasks = []

    def start(self):
        self.tasks = [asyncio.create_task(c.run()) for c in self.clients]

    async def stop(self):
        """Each finishes what it has begun."""
        for c in self.clients:
            c.stopped = True
        await asyncio.gather(*self.tasks)

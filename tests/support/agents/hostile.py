"""An agent that answers its card well and everything else badly: each request gets one of many faults, chosen by a seed.

    hostile.py [SEED]        listens on $MOLECULE_AGENT_SOCKET
"""
import asyncio
import contextlib
import os
import random
import sys

dice = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
CARD = b'{"name":"hostile","url":"http://evil.example/","skills":[]}'
OK = b"HTTP/1.1 200 OK\r\n"


def answer(body, head=b""):
    return OK + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*pieces):
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)


# (bytes, then) with then: keep, close, reset, linger
FAULTS = [
    (lambda: answer(b"fine"), "keep"),
    (lambda: answer(b"x" * 300000), "keep"),
    (lambda: chunked(b"a", b"b" * 70000) + b"0\r\n\r\n", "keep"),
    (lambda: chunked(*[b"z"] * 2000) + b"0\r\nX-Trailer: 1\r\n\r\n", "keep"),
    (lambda: b"", "close"),
    (lambda: b"", "reset"),
    (lambda: OK[:9], "close"),
    (lambda: OK + b"Content-Length: 10\r\n\r\nabc", "close"),
    (lambda: OK + b"Content-Length: 3\r\n\r\nabcdef", "keep"),
    (lambda: answer(b"abc") + answer(b"not asked for"), "keep"),
    (lambda: OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "keep"),
    (lambda: OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "keep"),
    (lambda: OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "keep"),
    (lambda: OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "keep"),
    (lambda: chunked(b"half") + b"ff\r\nabc", "close"),
    (lambda: OK + b"\r\nuntil the end", "close"),
    (lambda: OK + b"\r\nuntil a reset", "reset"),
    (lambda: b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", "keep"),
    (lambda: b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nhello", "keep"),
    (lambda: b"HTTP/1.1 100 Go\r\n\r\n" * 3 + answer(b"late"), "keep"),
    (lambda: b"HTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" * 400, "linger"),
    (lambda: b"HTTP/1.1 103 Hints\r\nX: " + b"h" * 60000 + b"\r\n\r\n" + answer(b"big hint"), "keep"),
    (lambda: b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n\0\0\0", "keep"),
    (lambda: b"HTTP/2.0 200\r\n\r\n", "keep"),
    (lambda: b"HTTP/1.1 999 No\r\n\r\n", "keep"),
    (lambda: bytes(dice.randrange(256) for _ in range(dice.randrange(1, 400))), "close"),
    (lambda: OK + b"X: a\0b\r\n\r\n", "keep"),
    (lambda: OK + b"X: a\r\n folded\r\n\r\n", "keep"),
    (lambda: OK + b"X: " + b"h" * 200000 + b"\r\n\r\n", "keep"),
    (lambda: OK + b"".join(b"X-%d: y\r\n" % i for i in range(300)) + b"\r\n", "keep"),
    (lambda: OK + b"Content-Type: text/event-stream\r\n\r\n" + b"data: x\n\n" * 50, "linger"),
    (lambda: OK + b"Content-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: x\n\n", "keep"),
    (lambda: OK, "linger"),
]


async def drop(writer, then):
    if then == "reset":
        writer.transport.abort()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def send(writer, data):
    """Whole, or cut at random places."""
    if dice.random() < 0.7:
        writer.write(data)
    else:
        while data:
            n = dice.randrange(1, max(2, len(data)))
            writer.write(data[:n])
            data = data[n:]
            await asyncio.sleep(0)
    await writer.drain()


async def serve(reader, writer):
    """One connection: every request gets an answer or an end within a second, so that the storm can be waited for."""
    then = "close"
    with contextlib.suppress(OSError, TimeoutError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        while True:
            if dice.random() < 0.03:
                break  # at the very beginning
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 1)
            if b"/.well-known/" in head.split(b"\r\n")[0]:
                writer.write(answer(CARD))
                await writer.drain()
                continue
            if dice.random() < 0.05:
                await asyncio.sleep(0.05)  # and reads nothing meanwhile
            elif dice.random() < 0.5:
                with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(65536), 0.05)
            make, then = dice.choice(FAULTS)
            await send(writer, make())
            if then == "linger":
                await asyncio.sleep(dice.random() * 0.3)
            if then != "keep":
                break
    await drop(writer, then)


async def main():
    path = os.environ["MOLECULE_AGENT_SOCKET"]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = await asyncio.start_unix_server(serve, path, backlog=64, limit=1 << 20)
    async with server:
        await server.serve_forever()


asyncio.run(main())

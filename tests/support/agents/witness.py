"""An agent that writes down what it has seen, so that others can be held to the truth: LOG gets a line `seen ID` before the last byte of a
request is taken from the socket, `read ID` after, and `answered ID` when the answer was handed over. It may be killed between any two.

It listens on MOLECULE_AGENT_SOCKET, or without one on PORT of 127.0.0.1.

    witness.py LOG [gently]     gently: TERM ends it after the requests it has; without, TERM kills like KILL
"""
import os
import random
import signal
import socket
import sys
import threading
import time

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
stop = threading.Event()


def say(word, number):
    os.write(log, b"%s %s %d\n" % (word, number, os.getpid()))


def whole_request(c):
    """Its bytes, still in the socket; b"" when the other side is gone."""
    while not stop.is_set():
        data = c.recv(65536, socket.MSG_PEEK)
        if not data:
            return b""
        head, end, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if end and len(body) >= length:
            return data
        time.sleep(0.001)  # the rest is on its way
    return b""


def answer(c):
    data = whole_request(c)
    if not data:
        return False
    if data.startswith(b"GET"):
        c.recv(len(data))
        c.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return True
    number = data.split(b'"id":"')[1].split(b'"')[0]
    say(b"seen", number)
    time.sleep(random.random() * 0.004)
    while data:
        data = data[len(c.recv(len(data))):]
    say(b"read", number)
    time.sleep(random.random() * 0.004)
    body = b'{"id":"%s"}' % number
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    say(b"answered", number)
    return True


def serve(c):
    with c:
        while answer(c):
            pass


def end_gently(*_):
    stop.set()
    listener.close()


if "MOLECULE_AGENT_SOCKET" in os.environ:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["MOLECULE_AGENT_SOCKET"])
else:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(64)
listener.settimeout(0.1)  # accept() would sleep on over a signal that came just before it
if sys.argv[2:] == ["gently"]:
    signal.signal(signal.SIGTERM, end_gently)
workers = []
try:
    while not stop.is_set():
        try:
            c = listener.accept()[0]
        except TimeoutError:
            continue
        c.settimeout(None)
        workers.append(threading.Thread(target=serve, args=(c,), daemon=True))
        workers[-1].start()
except OSError:
    pass  # closed: the end

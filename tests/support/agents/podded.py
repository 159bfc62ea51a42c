"""The agent of a pod (tests/support/kubelet.py): answers each A2A request under its id, writes the id into BOOK, and ends in good order on TERM.

    podded.py BOOK NAME [deaf] [mute]     at $MOLECULE_AGENT_SOCKET; deaf: hears no TERM; mute: accepts, and never answers

What a text asks for:   say             an answer at once
                        work 0.2        after 0.2 s
                        events 5 0.1    a stream of 5 events, 0.1 s apart
                        crash           the process ends with 1, without an answer
"""
import json
import os
import signal
import socket
import sys
import threading
import time

book = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
name, is_deaf = sys.argv[2], "deaf" in sys.argv[3:]
path = os.environ["MOLECULE_AGENT_SOCKET"]
CARD = json.dumps({"name": name, "version": "1", "protocolVersion": "0.3.0", "url": "http://localhost/", "skills": [], "capabilities": {}}).encode()
news = threading.Condition()
busy = 0
is_mute = "mute" in sys.argv[3:]


def head(kind, *more):
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Type: " + kind, *more, b"", b""])


def whole(c, kept):
    """(head, body, what comes after it), or None at the end of the connection."""
    while b"\r\n\r\n" not in kept:
        more = c.recv(65536)
        if not more:
            return None
        kept += more
    first, _, rest = kept.partition(b"\r\n\r\n")
    length = 0
    for line in first.split(b"\r\n")[1:]:
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(rest) < length:
        more = c.recv(65536)
        if not more:
            return None
        rest += more
    return first, rest[:length], rest[length:]


def result(number, text):
    return {"jsonrpc": "2.0", "id": number, "result": {"kind": "message", "role": "agent", "messageId": f"m-{number}",
                                                       "parts": [{"kind": "text", "text": text}]}}


def state(number, word, n):
    update = {"kind": "status-update", "taskId": number, "contextId": "c", "final": word == "completed", "status": {"state": word}, "n": n}
    return b"data: " + json.dumps({"jsonrpc": "2.0", "id": number, "result": update}).encode() + b"\n\n"


def stream(c, number, count, apart):
    c.sendall(head(b"text/event-stream", b"Transfer-Encoding: chunked"))
    for n in range(count):
        event = state(number, "completed" if n == count - 1 else "working", n)
        c.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        time.sleep(apart if n < count - 1 else 0)
    c.sendall(b"0\r\n\r\n")


def answer(c, first, body):
    if is_mute:
        threading.Event().wait()
    if not first.startswith(b"POST"):
        c.sendall(head(b"application/json", b"Content-Length: %d" % len(CARD)) + CARD)
        return
    request = json.loads(body)
    number = request["id"]
    words = request["params"]["message"]["parts"][0]["text"].split()
    if words[0] == "crash":
        os._exit(1)
    os.write(book, f"{number}\n".encode())
    if words[0] == "events":
        stream(c, number, int(words[1]), float(words[2]))
        return
    if words[0] == "work":
        time.sleep(float(words[1]))
    said = json.dumps(result(number, f"{name} did {number}: {' '.join(words)}")).encode()
    c.sendall(head(b"application/json", b"Content-Length: %d" % len(said)) + said)


def serve(c):
    global busy
    kept = b""
    try:
        while got := whole(c, kept):
            with news:
                busy += not is_mute
            try:
                answer(c, got[0], got[1])
            finally:
                with news:
                    busy -= not is_mute
                    news.notify_all()
            kept = got[2]
    except OSError:
        pass
    c.close()


def accept():
    while True:
        try:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        except OSError:
            return


if is_deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # sigwait() takes it, whenever it comes
listener = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)  # left behind by the one before
listener.bind(path)
listener.listen(128)
threading.Thread(target=accept, daemon=True).start()
print("listening", flush=True)
if is_deaf:
    threading.Event().wait()
signal.sigwait({signal.SIGTERM})
os.unlink(path)
with news:
    news.wait_for(lambda: busy == 0)
os._exit(0)

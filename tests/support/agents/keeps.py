"""An agent whose streams outlive their tasks. POST /done: a stream of a finished task that stays open. POST /work: one of a task that
works until somebody asks for /finish; /stays is the same but stays open after the last event. The client's leaving ends each."""
import os
import socket
import threading

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
OTHER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
finish = threading.Event()


def event(state):
    data = (b'data: {"jsonrpc":"2.0","id":1,"result":{"kind":"status-update","taskId":"t","status":{"state":"%s"},"final":%s}}\n\n'
            % (state, b"true" if state == b"completed" else b"false"))
    return b"%x\r\n%s\r\n" % (len(data), data)


def wait_gone(c):
    while c.recv(65536):
        pass


def serve(c):
    with c:
        request = b""
        while b"\r\n\r\n" not in request:
            more = c.recv(65536)
            if not more:
                return
            request += more
        path = request.split(b" ")[1]
        if path == b"/finish":
            finish.set()
        if path not in (b"/done", b"/work", b"/stays"):
            c.sendall(OTHER)
            return
        c.sendall(HEAD + event(b"working"))
        if path != b"/done":
            finish.wait()
        c.sendall(event(b"completed"))
        if path == b"/work":
            c.sendall(b"0\r\n\r\n")
        else:
            wait_gone(c)


listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["MOLECULE_AGENT_SOCKET"])
listener.listen(64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

"""An agent that breaks the protocol as its path says: /close, /garbage, /cut, /chunkcut, /never."""
import os
import socket
import threading
import time

ANSWERS = {
    b"/close": b"",
    b"/garbage": b"hello there\r\n\r\n",
    b"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    b"/chunkcut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
}
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def read_request(c):
    head = b""
    while b"\r\n\r\n" not in head:
        more = c.recv(65536)
        if not more:
            return head
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += c.recv(65536)
    return head


def serve(c):
    with c:
        head = read_request(c)
        path = head.split(b" ")[1] if head else b"/close"
        if path == b"/never":
            time.sleep(1000)
        c.sendall(ANSWERS.get(path, NOT_FOUND))


listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["MOLECULE_AGENT_SOCKET"])
listener.listen(64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

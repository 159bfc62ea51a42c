"""An agent for much data: GET /big/N answers with N MiB in chunks, POST /count says how much came, POST /slow does, too, and takes its body
in sips: the half of it, and the rest when somebody has asked for /go."""
import http.server
import os
import socketserver
import threading
import time

MIB = 1024 * 1024
go = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/go":
            go.set()
        if not self.path.startswith("/big/"):
            self.small(404, b"")
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        piece = b"%x\r\n%s\r\n" % (MIB, b"x" * MIB)
        for _ in range(int(self.path.rpartition("/")[2])):
            self.wfile.write(piece)
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self):
        left = length = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 256 * 1024)))
            if self.path == "/slow":
                time.sleep(0.01)
                if left <= length // 2:
                    go.wait()
        self.small(200, b"%d" % length)

    def small(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


Server(os.environ["MOLECULE_AGENT_SOCKET"], Handler).serve_forever()

"""An agent that says on stdout what it was asked, and answers when the file named by its argument is there (harness.Case.gate())."""
import http.server
import itertools
import os
import pathlib
import socketserver
import sys
import time

go = pathlib.Path(sys.argv[1])
count = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        number = next(count)
        os.write(1, f"asked {number}: {len(body)} bytes, Authorization {self.headers.get('Authorization')}\n".encode())  # one write: many threads
        end = time.monotonic() + 120
        while not go.exists() and time.monotonic() < end:
            time.sleep(0.01)
        answer = b'{"jsonrpc":"2.0","id":1,"result":{"kind":"message","role":"agent","messageId":"%d",' \
                 b'"parts":[{"kind":"text","text":"answer %d"}]}}' % (number, number)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


Server(os.environ["MOLECULE_AGENT_SOCKET"], Handler).serve_forever()

"""An agent whose health check answers and whose handler never does. `stuck.py ignore` ignores TERM, too."""
import http.server
import os
import signal
import socketserver
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        threading.Event().wait()

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


if "ignore" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
Server(os.environ["MOLECULE_AGENT_SOCKET"], Handler).serve_forever()

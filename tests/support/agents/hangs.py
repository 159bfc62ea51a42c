"""An agent that answers until USR1 makes it hang: then it accepts and never answers. USR1 again: it answers. It says "hangs", "answers"."""
import http.server
import os
import signal
import socketserver
import threading
import time

answering = threading.Event()
answering.set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answering.wait()
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def turn(*_):
    hangs = answering.is_set()
    answering.clear() if hangs else answering.set()
    os.write(1, b"hangs\n" if hangs else b"answers\n")


signal.signal(signal.SIGUSR1, turn)
server = Server(os.environ["MOLECULE_AGENT_SOCKET"], Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    time.sleep(0.5)  # a signal that comes just before a pause() would not end it, and its handler would not be called

#!/usr/bin/env python3
"""An A2A agent in plain Python: the standard library, one file, no SDK.

It speaks A2A 0.3 (message/send, message/stream) and 1.0 (SendMessage, SendStreamingMessage) as JSON-RPC over HTTP, and serves its card.
Replace answer() by what your agent does; the rest is the protocol.

    python3 agent.py /tmp/agent.sock      a Unix socket
    python3 agent.py 9000                 a TCP port on this machine
    python3 agent.py                      what MOLECULE_AGENT_SOCKET or PORT say (either kind), else port 9000

What you can say to it:   count 5   counts to five, one event each when streamed
                          slow 3    answers after three seconds
                          anything  says it back
"""
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARD = {
    "name": "echo", "description": "Says back what it hears; counts when asked to", "version": "1.0.0",
    "protocolVersion": "0.3.0", "url": "http://localhost/", "preferredTransport": "JSONRPC",
    "supportedInterfaces": [
        {"url": "http://localhost/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "http://localhost/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
    ],
    "capabilities": {"streaming": True, "pushNotifications": False},
    "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "echo", "name": "Echo", "description": "Says back what it hears", "tags": ["text"]}],
}
CARD_PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json", "/agent/card")


def answer(text):
    """The agent itself: yields the pieces of its answer as they come."""
    word, _, rest = text.strip().partition(" ")
    if word == "count":
        for n in range(1, int(rest or 3) + 1):
            time.sleep(0.1)
            yield f"{n} "
    elif word == "slow":
        time.sleep(float(rest or 1))
        yield f"that took {rest or 1} s"
    else:
        yield f"you said: {text}"


# ---- A2A: the shapes of both versions -------------------------------------------------------------------------------

def text_part(text, v1):
    return {"text": text} if v1 else {"kind": "text", "text": text}


def message(text, context_id, v1):
    m = {"messageId": str(uuid.uuid4()), "contextId": context_id, "role": "ROLE_AGENT" if v1 else "agent",
         "parts": [text_part(text, v1)]}
    return {"message": m} if v1 else {"kind": "message", **m}


def stream_events(pieces, context_id, v1):
    """A task, its pieces as artifact updates, and the final status."""
    ids = {"taskId": str(uuid.uuid4()), "contextId": context_id}

    def event(name, kind, body):
        return {name: body} if v1 else {"kind": kind, **body}

    def status(state):
        return {"state": f"TASK_STATE_{state.upper()}" if v1 else state,
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    yield event("task", "task", {"id": ids["taskId"], "contextId": context_id, "status": status("submitted")})
    for n, piece in enumerate(pieces):
        artifact = {"artifactId": "answer", "parts": [text_part(piece, v1)]}
        yield event("artifactUpdate", "artifact-update", {**ids, "artifact": artifact, "append": n > 0})
    final = {} if v1 else {"final": True}
    yield event("statusUpdate", "status-update", {**ids, "status": status("completed"), **final})


def text_of(params):
    return "".join(part.get("text", "") for part in params["message"]["parts"])


# ---- HTTP -----------------------------------------------------------------------------------------------------------

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.split("?")[0] in CARD_PATHS:
            self.send_json(200, CARD)
        else:
            self.send_json(404, {"error": "not found"})

    do_HEAD = do_GET

    def do_POST(self):
        with self.server.work:
            self.server.busy += 1
        try:
            self.rpc(self.read_body())
        finally:
            with self.server.work:
                self.server.busy -= 1
                self.server.work.notify_all()

    def rpc(self, body):
        try:
            request = json.loads(body)
            method, rpc_id, params = request["method"], request.get("id"), request.get("params") or {}
        except (ValueError, KeyError, TypeError):
            return self.send_json(200, rpc_error(None, -32700, "not a JSON-RPC request"))
        v1 = method[:1].isupper()  # 1.0 has SendMessage, 0.3 has message/send
        try:
            context_id = params["message"].get("contextId") or str(uuid.uuid4())
            pieces = answer(text_of(params))
        except (KeyError, TypeError, AttributeError):
            context_id = pieces = None
        if method not in ("message/send", "SendMessage", "message/stream", "SendStreamingMessage"):
            return self.send_json(200, rpc_error(rpc_id, -32601, f"no method {method}"))
        if pieces is None:
            return self.send_json(200, rpc_error(rpc_id, -32602, "params.message.parts is missing"))
        if method in ("message/send", "SendMessage"):
            result = message("".join(pieces), context_id, v1)
            return self.send_json(200, {"jsonrpc": "2.0", "id": rpc_id, "result": result})
        self.send_stream({"jsonrpc": "2.0", "id": rpc_id, "result": event}
                         for event in stream_events(pieces, context_id, v1))

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send_json(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            self.send_chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.send_chunk(b"")

    def send_chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def address_string(self):  # a Unix peer has no address
        return self.client_address[0] if self.client_address else "unix"

    def log_message(self, form, *args):
        pass


def rpc_error(rpc_id, code, text):
    return {"jsonrpc": "2.0", "id": rpc_id, "error": {"code": code, "message": text}}


class Server(ThreadingHTTPServer):
    daemon_threads = True  # idle connections do not keep us from ending; running requests do, see main()
    request_queue_size = 128

    def __init__(self, where):
        self.busy = 0
        self.work = threading.Condition()
        if where.isdigit():
            super().__init__(("127.0.0.1", int(where)), Handler)
            return
        self.address_family = socket.AF_UNIX
        self.remove_socket(where)  # left behind by an earlier run
        super().__init__(where, Handler)

    def remove_socket(self, path):
        if os.path.exists(path):
            os.unlink(path)

    def server_bind(self):
        if self.address_family == socket.AF_UNIX:
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "localhost", 0
        else:
            super().server_bind()


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MOLECULE_AGENT_SOCKET") or os.environ.get("PORT") or "9000"
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread; sigwait() below takes them, whenever they come
    server = Server(where)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    print(f"agent: listening on {where}", file=sys.stderr, flush=True)
    signal.sigwait(ends)
    server.shutdown()
    with server.work:  # let running requests finish
        server.work.wait_for(lambda: server.busy == 0)
    server.server_close()
    if not where.isdigit():
        server.remove_socket(where)
    print("agent: stopped", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The smallest useful A2A agent: message/send on a TCP port, taken from $PORT. Standard library only."""
import json
import os
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", 9000))
CARD = {
    "name": "shout", "description": "Says it louder", "version": "1.0.0", "protocolVersion": "0.3.0",
    "url": f"http://127.0.0.1:{PORT}/", "preferredTransport": "JSONRPC",
    "capabilities": {"streaming": False}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "shout", "name": "Shout", "description": "Says it louder", "tags": ["text"]}],
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        found = self.path == "/.well-known/agent-card.json"
        self.reply(200 if found else 404, CARD if found else {"error": "not found"})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = "".join(p.get("text", "") for p in request["params"]["message"]["parts"])
        self.reply(200, {"jsonrpc": "2.0", "id": request.get("id"), "result": {
            "kind": "message", "role": "agent", "messageId": str(uuid.uuid4()),
            "parts": [{"kind": "text", "text": text.upper() + "!"}]}})

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()

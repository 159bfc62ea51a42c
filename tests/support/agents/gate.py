#!/usr/bin/env python3
"""Says back what it hears, but not while the file "gate" is there; each message it hears is a line of the file "heard".

    silence   answers without text        long   answers 180 KiB        same   always the same words
"""
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARD = {"name": "gate", "version": "1", "protocolVersion": "0.3.0", "url": "http://localhost/", "skills": [], "capabilities": {}}


def answer(text):
    if "silence" in text:
        return ""
    if "long" in text:
        return "\n\n".join(f"paragraph {n} " + "words " * 1000 for n in range(30))
    return "the same words" if "same" in text else "re: " + text


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, o):
        body = json.dumps(o).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(CARD)

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = call["params"]["message"]
        text = "".join(p.get("text", "") for p in message["parts"])
        with open("heard", "a", encoding="utf-8") as f:
            f.write(json.dumps([message["messageId"], text]) + "\n")
        while os.path.exists("gate"):
            time.sleep(0.02)
        self.say({"jsonrpc": "2.0", "id": call["id"], "result": {"kind": "message", "role": "agent", "messageId": "a",
                                                                 "parts": [{"kind": "text", "text": answer(text)}]}})

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 64


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

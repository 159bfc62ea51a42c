"""An A2A agent that does what the text says, and writes each request down: a line of JSON in the file that its argument names.

    work SECONDS   a task that is worked on; tasks/get tells when it is completed. Tasks are in memory only
    ask            a task that needs input: the message that comes to it ends it
    auth           a task that needs an authorization
    fail           an error of the agent, each time
    refuse         "your request is wrong"
    die            ends at once, the first time it is asked (by messageId)
    poison         ends at once, each time
    sleep SECONDS  answers after so long
    wait           answers when the file <record>.go exists
    anything       "re: " and the text

AGENT_VERSION: "0.3" (default) or "1.0", the only one that it speaks.
"""
import http.server
import json
import os
import pathlib
import socketserver
import sys
import threading
import time

record = pathlib.Path(sys.argv[1])
go = pathlib.Path(f"{record}.go")
V1 = os.environ.get("AGENT_VERSION") == "1.0"
lock = threading.Lock()
tasks = {}  # id -> when it is completed, or the state it waits in
CARD = {"name": "tasks", "description": "does as told", "version": "1", "capabilities": {}, "skills": [], "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        **({"supportedInterfaces": [{"url": "http://localhost/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]} if V1 else
           {"protocolVersion": "0.3.0", "url": "http://localhost/"})}


def part(text):
    return {"text": text} if V1 else {"kind": "text", "text": text}


def message(text):
    m = {"role": "ROLE_AGENT" if V1 else "agent", "messageId": os.urandom(8).hex(), "parts": [part(text)]}
    return {"message": m} if V1 else {"kind": "message", **m}


def task(name, state, text="", bare=False):
    state = f"TASK_STATE_{state.upper().replace('-', '_')}" if V1 else state
    status = {"state": state, **({"message": {"role": "agent", "messageId": "s", "parts": [part(text)]}} if text else {})}
    t = {"id": name, "contextId": f"context of {name}", "status": status, **({} if V1 else {"kind": "task"})}
    return {"task": t} if V1 and not bare else t


class Wrong(Exception):
    pass


def note(rpc, text, version):
    m = rpc.get("params", {}).get("message", {})
    with lock, record.open("a") as f:
        print(json.dumps({"method": rpc["method"], "text": text, "version": version, "pid": os.getpid(), "message": m,
                          "task": rpc["params"].get("id")}), file=f, flush=True)


def seen_before(message_id):
    with lock:
        return sum(json.loads(x)["message"].get("messageId") == message_id for x in record.read_text().splitlines()) > 1


def get_task(name):
    if name not in tasks:
        raise Wrong(-32001, "Task not found")
    until = tasks[name]
    return task(name, "working", bare=True) if time.monotonic() < until else task(name, "completed", f"{name} is done", bare=True)


def send(m, text):
    word, _, rest = text.partition(" ")
    name = f"task-{m['messageId']}"
    if "taskId" in m:
        if tasks.pop(m["taskId"], None) is None:
            raise Wrong(-32001, "Task not found")
        return task(m["taskId"], "completed", f"thanks for {text}")
    if word == "poison" or (word == "die" and not seen_before(m["messageId"])):
        os._exit(9)
    if word == "fail":
        raise Wrong(-32603, "no luck")
    if word == "refuse":
        raise Wrong(-32602, "not like that")
    if word == "wait":
        while not go.exists():
            time.sleep(0.01)
    if word == "sleep":
        time.sleep(float(rest))
    if word == "work":
        tasks[name] = time.monotonic() + float(rest)
        return task(name, "working")
    if word in ("ask", "auth"):
        tasks[name] = 0
        return task(name, f"{'input' if word == 'ask' else word}-required", "which one?")
    return message(f"re: {text}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(CARD)

    def do_POST(self):
        rpc = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        m = rpc["params"].get("message", {})
        text = "".join(p.get("text", "") for p in m.get("parts", []))
        note(rpc, text, self.headers.get("A2A-Version"))
        try:
            if rpc["method"] == ("SendMessage" if V1 else "message/send"):
                result = {"result": send(m, text)}
            elif rpc["method"] == ("GetTask" if V1 else "tasks/get"):
                result = {"result": get_task(rpc["params"]["id"])}
            else:
                raise Wrong(-32601, "Method not found")
        except Wrong as e:
            result = {"error": {"code": e.args[0], "message": e.args[1]}}
        self.answer({"jsonrpc": "2.0", "id": rpc["id"], **result})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
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


path = os.environ["MOLECULE_AGENT_SOCKET"]
if os.path.exists(path):
    os.unlink(path)
record.touch()
Server(path, Handler).serve_forever()

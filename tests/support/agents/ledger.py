"""An agent that keeps books: python3 ledger.py SOCKET FILE

Before it answers, it writes "<messageId> <text>" as one line of FILE (one append: a kill leaves a whole line or none). Says "re: TEXT".
A text that ends in "task" is answered with a task that works for two questions; a kill forgets it.
"""
import json
import os
import socket
import sys
import threading

CARD = json.dumps({"name": "ledger", "description": "d", "version": "1", "protocolVersion": "0.3.0", "url": "http://localhost/",
                   "capabilities": {}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
                   "skills": [{"id": "s", "name": "s", "description": "s", "tags": []}]}).encode()
BOOK = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
tasks = {}


def own_text(message):
    """What the person or peer wrote: without the markers that are put around a peer's words."""
    text = "".join(p.get("text", "") for p in message["parts"])
    lines = text.split("\n")
    return lines[1] if len(lines) == 3 and lines[0].startswith("[A2A_RESULT") else text


def said(text):
    return {"kind": "message", "role": "agent", "messageId": "re-" + text, "parts": [{"kind": "text", "text": "re: " + text}]}


def task(task_id):
    entry = tasks.get(task_id)
    if not entry:
        return None
    entry["left"] -= 1
    status = {"state": "working"} if entry["left"] > 0 else {"state": "completed", "message": said(entry["text"])}
    return {"kind": "task", "id": task_id, "contextId": entry["context"], "status": status}


def answer(call):
    params = call["params"]
    if call["method"] == "tasks/get":
        found = task(params["id"])
        return {"result": found} if found else {"error": {"code": -32001, "message": "Task not found"}}
    message = params["message"]
    text = own_text(message)
    os.write(BOOK, f"{message['messageId']} {text}\n".encode())
    if text.endswith("task"):
        task_id = "task-" + message["messageId"]
        tasks[task_id] = {"left": 2, "text": text, "context": message.get("contextId", "c")}
        return {"result": task(task_id)}
    return {"result": said(text)}


def serve(conn):
    with conn, conn.makefile("rb") as f:
        while line := f.readline():
            length = 0
            while (field := f.readline().strip()):
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = f.read(length)
            if line.startswith(b"GET"):
                out = CARD
            else:
                call = json.loads(body)
                out = json.dumps({"jsonrpc": "2.0", "id": call.get("id"), **answer(call)}).encode()
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(out) + out)


def quiet(conn):
    try:
        serve(conn)
    except OSError:
        pass


if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(256)
while True:
    threading.Thread(target=quiet, args=(listener.accept()[0],), daemon=True).start()

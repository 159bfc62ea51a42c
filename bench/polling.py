#!/usr/bin/env python3
"""How many polled messages pass from the platform's feed through the journal and the agent and back, and what one costs.

The development platform (rate limit off) is given messages of people, each in a conversation of its own, in pages that share a time as
little as the real feed's do; the sidecar fetches, journals, delivers to bench/agent.c, answers. Measured from the first answer to the
last, once with state.dir on tmpfs and once on disk, with numbers of messages at the agent at once.

    bench/polling.py [--messages 10000] [--concurrency 64] [--disk DIR] [--tmpfs DIR]

    messages/s       answered ones
    CPU, us          of the sidecar, user and system, a message
    commits/s, batch transactions of the journal, and writes that one gathers
    worst commit, ms the longest
    late, ms         the most that a heartbeat (every second) began too late: the loop's longest stall, and what the scheduler added
    status, ms       the slowest answer to GET /v1/status, asked about every 20 ms: a stall of the loop shows in it, and so does ours
    beats            heartbeats that came, of those that were due
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", HERE.parent / "build" / "release"))
TICK = os.sysconf("SC_CLK_TCK")
PAGE = 500        # rows made by one call
PATIENCE_S = 300


def request(where, method, path, body=None):
    if isinstance(where, int):
        c = http.client.HTTPConnection("127.0.0.1", where, timeout=30)
    else:
        c = http.client.HTTPConnection("localhost", timeout=30)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(str(where))
    try:
        c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
        r = c.getresponse()
        return r.status, json.loads(r.read() or b"null")
    finally:
        c.close()


def until(condition, what, every=0.005):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if value := condition():
                return value
        except (OSError, ValueError, http.client.HTTPException):
            pass
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what}: not within {PATIENCE_S} s")
        time.sleep(every)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class World:
    """One platform, one agent, one sidecar."""

    def __init__(self, where, state, concurrency):
        self.where, self.id, self.started, self.slowest_s = where, str(uuid.uuid4()), [], 0.0
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("MOLECULE", "KUBERNETES"))}, "HOME": str(where),
                    "TMPDIR": str(where), "RUNTIME_DIRECTORY": str(where / "run"), "CONFIGS_DIR": str(state), "WORKSPACE_ID": self.id,
                    "PLATFORM_URL": f"http://127.0.0.1:{self.port}", "MOLECULE_WORKSPACE_TOKEN": "bench-token-0123456789abcdefghijkl"}
        (where / "run").mkdir()
        self.platform = self.start("platform", BUILD / "molecule-devplatform", "--listen", f"127.0.0.1:{self.port}", "--rate-limit", "0",
                                   "--quiet", "--workspace", f"{self.id}:{self.env['MOLECULE_WORKSPACE_TOKEN']}")
        until(lambda: request(self.port, "GET", "/health")[0] == 200, "the platform answers")
        self.start("agent", BUILD / "bench_agent", where / "agent.sock")
        self.argv = [BUILD / "molecule-sidecar", "run", "--listen-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0",
                     "--agent-address", f"unix:{where}/agent.sock", "--agent-ready-path", "/", "--platform-poll-interval", "100ms",
                     "--platform-heartbeat-interval", "1s", "--inbox-concurrency", str(concurrency)]

    def start(self, name, *argv):
        with open(self.where / f"{name}.log", "wb") as log:
            p = subprocess.Popen([str(a) for a in argv], env=self.env, cwd=self.where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.started.append(p)
        return p

    def fill(self, count):
        for first in range(0, count, PAGE):
            rows = [{"text": f"message {n}", "context_id": f"c{n}"} for n in range(first, min(first + PAGE, count))]
            status, said = request(self.port, "POST", "/dev/rows", {"workspace": self.id, "apart_us": 1, "rows": rows})
            if status != 200:
                raise SystemExit(f"bench: {said}")

    def status(self):
        began = time.monotonic()
        try:
            return request(self.where / "run" / "control.sock", "GET", "/v1/status")[1]
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def stop(self):
        for p in reversed(self.started):
            p.kill()
            p.wait()


def measure(state, count, concurrency):
    where = pathlib.Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
    world = World(where, state, concurrency)
    try:
        world.fill(count)
        sidecar = world.start("sidecar", *world.argv)
        first = until(lambda: (s := world.status())["inbox"]["answered"] and s, "the first answer")
        began, cpu_began, world.slowest_s = time.monotonic(), cpu_s(sidecar.pid), 0.0
        last = until(lambda: (s := world.status())["inbox"]["answered"] >= count and s, "the last answer", every=0.02)
        took, cpu = time.monotonic() - began, cpu_s(sidecar.pid) - cpu_began
        done = last["inbox"]["answered"] - first["inbox"]["answered"]
        commits = last["inbox"]["journal_commits"] - first["inbox"]["journal_commits"]
        writes = last["inbox"]["journal_writes"] - first["inbox"]["journal_writes"]
        beat = last["platform"]["heartbeat"]
        return {"messages/s": done / took, "CPU, us": cpu / done * 1e6, "commits/s": commits / took, "batch": writes / max(commits, 1),
                "worst commit, ms": last["inbox"]["journal_commit_worst_ms"], "late, ms": beat["worst_late_ms"],
                "status, ms": world.slowest_s * 1000,
                "beats": f"{beat['ok']}/{int(last['uptime_ms'] / 1000) if 'uptime_ms' in last else '?'}"}
    finally:
        world.stop()
        shutil.rmtree(where, ignore_errors=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--messages", type=int, default=10000)
    a.add_argument("--concurrency", type=int, action="append", help="messages at the agent at once (1, 16 and 64)")
    a.add_argument("--disk", default=tempfile.gettempdir(), help="a directory on a disk")
    a.add_argument("--tmpfs", default="/dev/shm", help="a directory on tmpfs")
    o = a.parse_args()
    rows = []
    for kind, base in (("tmpfs", o.tmpfs), ("disk", o.disk)):
        for concurrency in o.concurrency or [1, 16, 64]:
            state = pathlib.Path(tempfile.mkdtemp(prefix="mb-state-", dir=base))
            try:
                rows.append({"state.dir": kind, "at once": concurrency, **measure(state, o.messages, concurrency)})
            finally:
                shutil.rmtree(state, ignore_errors=True)
    names = list(rows[0])
    print(" | ".join(names))
    for row in rows:
        print(" | ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()))


if __name__ == "__main__":
    sys.exit(main())

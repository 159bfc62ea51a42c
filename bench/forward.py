#!/usr/bin/env python3
"""The forward path beside HAProxy and nginx, in one run on one machine.

Each target listens on 127.0.0.1 and forwards to the same agent on a Unix socket. The forwarder runs alone on core 0, agent and load
generator together on core 1; "1s" puts the forwarder on core 1 too, so that no wake-up crosses cores and the length of the path shows.
The targets take turns within each repeat, and ratios are made repeat by repeat: the machine's own drift cancels out.

    bench/forward.py [--seconds 2] [--repeats 5] [--connections 1s,1,64] [--streams 1000] [--no-instructions] [--target NAME]...
"""
import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD_DIR", os.path.join(os.path.dirname(HERE), "build", "release"))
START_S = 20            # a target may take so long to give its first answer
INSTRUCTIONS = (500, 2500)  # answers of the two runs whose difference is counted
SYSCALL_ANSWERS = 5000
PORT = 18200

HAPROXY = """global
    nbthread 1
    maxconn 8192
defaults
    mode http
    option http-no-delay
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    http-reuse always
frontend a2a
    bind 127.0.0.1:{port}
    option forwardfor
    default_backend agent
backend agent
    server agent unix@{socket}
"""
NGINX = """daemon off;
master_process off;
worker_processes 1;
user root;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream agent {{ server unix:{socket}; keepalive 2048; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://agent;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


class Target:
    """A forwarder: how it is started, and what the kernel knows of it."""

    def __init__(self, name, port, where, agent_socket):
        self.name, self.port, self.where, self.process = name, port, where, None
        self.command = getattr(self, name)(agent_socket)

    def sidecar(self, agent_socket):
        return [os.path.join(BUILD, "molecule-sidecar"), "run", "--platform-enabled", "false", "--listen-address", f"127.0.0.1:{self.port}",
                "--admin-address", f"127.0.0.1:{self.port + 100}", "--agent-address", f"unix:{agent_socket}",
                "--control-socket", os.path.join(self.where, "control.sock"), "--listen-max-connections", "4096"]

    def haproxy(self, agent_socket):
        path = self.write("haproxy.cfg", HAPROXY.format(port=self.port, socket=agent_socket))
        return ["haproxy", "-db", "-q", "-f", path]

    def nginx(self, agent_socket):
        path = self.write("nginx.conf", NGINX.format(port=self.port, socket=agent_socket, dir=self.where))
        return ["nginx", "-p", self.where, "-c", path]

    def write(self, name, text):
        path = os.path.join(self.where, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def start(self, core, prefix=()):
        log = open(os.path.join(self.where, self.name + ".log"), "ab")  # noqa: SIM115 (the child's)
        with log:
            began = time.monotonic()
            self.process = subprocess.Popen([*prefix, *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        self.wait_up(began + START_S * (10 if prefix else 1))
        return time.monotonic() - began

    def wait_up(self, until):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                if s.recv(4096).startswith(b"HTTP/1.1 200"):
                    return
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{self.name} gave no answer; its log: {os.path.join(self.where, self.name + '.log')}")
            time.sleep(0.002)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def move(self, core):
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), {core})

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9

    def memory_kib(self, key="Rss"):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith(key + ":"))


def load(port, *words, until_open=None):
    """Run the load generator on core 1; its closing line as a dictionary."""
    command = [os.path.join(BUILD, "bench_load"), str(port), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {1})) as p:
        if until_open:
            p.stdout.readline()
            until_open()
        out = p.stdout.read()
    if p.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {p.returncode}")
    return {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out)}


def measure(target, connections, seconds):
    same_core = connections.endswith("s")
    if same_core:
        target.move(1)
    cpu = target.cpu_s()
    r = load(target.port, "post", connections.rstrip("s"), seconds)
    r["cpu_us"] = (target.cpu_s() - cpu) * 1e6 / max(r["n"], 1)
    r["rate"] = r["n"] / r["seconds"]
    if same_core:
        target.move(0)
    return r


def system_calls(target, connections):
    """Per answer, counted by the kernel's tracepoint; None where that is not to be had."""
    command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(target.process.pid), "--",
               os.path.join(BUILD, "bench_load"), str(target.port), "post", str(connections), "60", str(SYSCALL_ANSWERS)]
    if not shutil.which("perf"):
        return None
    r = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^(\d+),.*raw_syscalls", r.stderr, re.M)
    return int(found.group(1)) / SYSCALL_ANSWERS if found else None


def instructions(target):
    """Per answer, in user space, under callgrind: the difference of a long and a short run."""
    counted = []
    if not shutil.which("valgrind"):
        return None
    for answers in INSTRUCTIONS:
        log = os.path.join(target.where, f"{target.name}.callgrind")
        target.start(0, ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"))
        load(target.port, "post", 1, 60, answers)
        target.stop()
        with open(log, encoding="utf-8", errors="replace") as f:
            counted.append(int(re.search(r"Collected : (\d+)", f.read()).group(1)))
    return (counted[1] - counted[0]) / (INSTRUCTIONS[1] - INSTRUCTIONS[0])


def streams(target, count, seconds=10):
    target.stop()
    target.start(0)
    before = target.memory_kib()
    seen = {}

    def look():
        deadline = time.monotonic() + seconds / 2
        while time.monotonic() < deadline:
            seen["kib"] = target.memory_kib()
            time.sleep(0.5)

    r = load(target.port, "streams", count, seconds, until_open=look)
    r["kib"] = (seen["kib"] - before) / count
    return r


def show(title, columns, rows):
    print(f"\n{title}")
    rows = [[c if isinstance(c, str) else "-" if c is None else f"{c:.2f}" if abs(c) < 100 else f"{c:.0f}" for c in row] for row in rows]
    widths = [max(len(r[i]) for r in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip(), flush=True)


def throughput(targets, connections, seconds, repeats):
    results = {t.name: [] for t in targets}
    for _ in range(repeats):
        for t in targets:
            results[t.name].append(measure(t, connections, seconds))
    peers = [t.name for t in targets if t.name != "sidecar"]

    def median(name, key):
        return statistics.median(r[key] for r in results[name])

    rows = [[t.name, *(median(t.name, k) for k in ("rate", "p50_us", "p99_us", "cpu_us")), str(int(sum(r["errors"] for r in results[t.name])))]
            for t in targets]
    if "sidecar" in results and peers:  # repeat by repeat, against the better peer of that repeat
        def ratio(key, better):
            return statistics.median(s[key] / better(results[p][i][key] for p in peers) for i, s in enumerate(results["sidecar"]))
        rows.append(["sidecar / the better peer", ratio("rate", max), ratio("p50_us", min), ratio("p99_us", min), ratio("cpu_us", min), ""])
    where = "everything on one core" if connections.endswith("s") else "forwarder on a core of its own"
    show(f"{connections.rstrip('s')} connection(s), {where}", ["target", "messages/s", "p50 us", "p99 us", "cpu us/message", "errors"], rows)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=int, default=2)
    a.add_argument("--repeats", type=int, default=5)
    a.add_argument("--connections", default="1s,1,64")
    a.add_argument("--streams", type=int, default=1000, help="0: none")
    a.add_argument("--no-instructions", action="store_true", help="without callgrind, which takes a minute")
    a.add_argument("--target", action="append", choices=["sidecar", "haproxy", "nginx"])
    o = a.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("bench: needs two cores")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = o.target or ["sidecar", *(n for n in ("haproxy", "nginx") if shutil.which(n))]
    with tempfile.TemporaryDirectory(prefix="molecule-bench-") as where, contextlib.ExitStack() as end:
        agent_socket = os.path.join(where, "agent.sock")
        agent = subprocess.Popen([os.path.join(BUILD, "bench_agent"), agent_socket], preexec_fn=lambda: os.sched_setaffinity(0, {1}))
        end.callback(agent.wait)
        end.callback(agent.terminate)
        targets = [Target(n, PORT + i, where, agent_socket) for i, n in enumerate(names)]
        rows = []
        for t in targets:
            end.callback(t.stop)
            first = [t.start(0)]
            for _ in range(4):
                t.stop()
                first.append(t.start(0))
            time.sleep(1)  # at rest: what start-up needed has been given back
            rows.append([t.name, statistics.median(first) * 1000, t.memory_kib(), t.memory_kib("Private_Dirty")])
        for connections in o.connections.split(","):
            throughput(targets, connections, o.seconds, o.repeats)
        for row, t in zip(rows, targets):
            row += [t.memory_kib(), system_calls(t, 1), system_calls(t, 64)]
            if not o.no_instructions:
                t.stop()
                row.append(instructions(t))
                t.start(0)
        show("cost", ["target", "first answer ms", "idle KiB", "private dirty KiB", "loaded KiB", "syscalls @1", "syscalls @64",
                      *([] if o.no_instructions else ["instructions"])], rows)
        if o.streams:
            show(f"{o.streams} event streams, one event of 300 bytes a second each", ["target", "KiB/stream", "p50 us", "p99 us", "events", "errors"],
                 [[t.name, r["kib"], r["p50_us"], r["p99_us"], str(int(r["n"])), str(int(r["errors"]))]
                  for t in targets for r in [streams(t, o.streams)]])


if __name__ == "__main__":
    sys.exit(main())

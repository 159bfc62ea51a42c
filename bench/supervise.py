#!/usr/bin/env python3
"""PID 1 beside tini, dumb-init and catatonit, in one run on one machine.

Each is started as the first process of a PID namespace with the same child (bench/first.c); the targets take turns, so that the
machine's own drift meets all of them. Of them the ones that are installed; the sidecar a second time when `make static` has built it.

    start     from the clone of the supervisor to the child's first instruction
    TERM      from kill(supervisor, TERM) to the child's handler; the sidecar with stop.order: signal-first
    end       from the child's handler, which ends it with 42, to the supervisor's own end
    orphans   so many end at once: until the last is reaped, and the supervisor's CPU time in all (start included)
    wake-ups  of the sidecar in some seconds of rest, beside the timers that were due

    bench/supervise.py [--starts 60] [--rounds 6] [--orphans 10000] [--idle 20] [--target NAME]...
"""
import argparse
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD_DIR", os.path.join(os.path.dirname(HERE), "build", "release"))
SIDECARS = {"sidecar": os.path.join(BUILD, "molecule-sidecar"),
            "sidecar-static": os.path.join(os.path.dirname(HERE), "build", "static", "molecule-sidecar")}
OTHERS = ("tini", "dumb-init", "catatonit")
FIRST = os.path.join(BUILD, "bench_first")
WATCHDOG_US = 2_000_000  # a service manager that wants to hear from us: we do so twice in that time
SETTLE_S = 2


def sidecar(where, name="sidecar"):
    return [SIDECARS[name], "run", "--platform-enabled", "false", "--agent-protocol", "none",
            "--admin-address", "127.0.0.1:0", "--state-dir", os.path.join(where, "state"), "--stop-order", "signal-first",
            "--restart-policy", "never", "--"]


def command(name, where):
    return sidecar(where, name) if name in SIDECARS else [name, "--"]


def first(where, *args):
    env = {**os.environ, "HOME": where, "TMPDIR": where, "RUNTIME_DIRECTORY": where}
    r = subprocess.run([FIRST, *map(str, args)], env=env, cwd=where, capture_output=True, text=True, check=False)
    if r.returncode != 0:
        raise SystemExit(f"bench: {r.stderr.strip()}")
    return [line.split() for line in r.stdout.splitlines()]


def starts(names, where, count, rounds):
    """{name: [(start, TERM, end, code)]}"""
    clocks = os.path.join(where, "clocks")
    found = {n: [] for n in names}
    for _ in range(rounds):
        for n in names:
            rows = first(where, "starts", max(count // rounds, 1), clocks, *command(n, where), FIRST, "child", clocks)
            found[n] += [(*map(float, row[:3]), row[3]) for row in rows if len(row) == 4]
    return found


def orphans(names, where, count):
    """{name: (made, left, ms, cpu_ms)}, the better of two."""
    clocks = os.path.join(where, "clocks")
    found = {}
    for _ in range(2):
        for n in names:
            (row,) = first(where, "orphans", clocks, *command(n, where), FIRST, "child", clocks, count)
            row = (int(row[0]), int(row[1]), float(row[2]), float(row[3]))
            found[n] = min(found.get(n, row), row, key=lambda r: (r[1], r[2]))
    return found


def wake_ups(pid):
    """How often its threads have gone to sleep so far: once more after each wake-up."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def idle(where, seconds, watchdog):
    """(wake-ups, timers that were due) in so many seconds of rest."""
    env = {**os.environ, "HOME": where, "TMPDIR": where, "RUNTIME_DIRECTORY": where}
    env.pop("WATCHDOG_PID", None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        if watchdog:
            path = os.path.join(where, "notify")
            manager.bind(path)
            manager.setblocking(False)
            env.update(NOTIFY_SOCKET=path, WATCHDOG_USEC=str(WATCHDOG_US))

        def heard():
            n = 0
            while True:
                try:
                    n += manager.recv(4096).decode().splitlines().count("WATCHDOG=1")
                except (BlockingIOError, OSError):
                    return n

        with subprocess.Popen([*sidecar(where), "sleep", str(seconds * 10 + 600)], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
            try:
                time.sleep(SETTLE_S)
                if watchdog:
                    heard()
                before = wake_ups(p.pid)
                time.sleep(seconds)
                return wake_ups(p.pid) - before, heard() if watchdog else 0
            finally:
                p.terminate()


def show(columns, rows):
    widths = [max(len(str(r[i])) for r in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        print("  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip(), flush=True)


def p50(values):
    return f"{statistics.median(values):.0f}"


def p99(values):
    return f"{sorted(values)[int((len(values) - 1) * 0.99)]:.0f}"


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--starts", type=int, default=60)
    a.add_argument("--rounds", type=int, default=6)
    a.add_argument("--orphans", type=int, default=10000, help="0: none")
    a.add_argument("--idle", type=int, default=20, help="seconds; 0: none")
    a.add_argument("--target", action="append", choices=[*SIDECARS, *OTHERS])
    o = a.parse_args()
    names = o.target or [*(n for n, path in SIDECARS.items() if os.access(path, os.X_OK)), *(n for n in OTHERS if shutil.which(n))]
    with tempfile.TemporaryDirectory(prefix="molecule-bench-") as where:
        os.mkdir(os.path.join(where, "state"))
        found = starts(names, where, o.starts, o.rounds)
        reaped = orphans(names, where, o.orphans) if o.orphans else {}
        rows = []
        for n in names:
            if not found[n]:
                raise SystemExit(f"bench: {n} never started its child")
            begin, term, end, codes = zip(*found[n])
            made, left, ms, cpu = reaped.get(n, ("-",) * 4)
            rows.append([n, p50(begin), p99(begin), p50(term), p99(term), p50(end), "/".join(sorted(set(codes))), len(codes),
                         made, left, ms, cpu])
        show(["target", "start us", "p99", "TERM us", "p99", "end us", "status", "runs", "orphans", "left", "ms", "cpu ms"], rows)
        if o.idle:
            for watchdog in (False, True):
                woken, due = idle(where, o.idle, watchdog)
                print(f"sidecar at rest for {o.idle} s, {'a watchdog to feed' if watchdog else 'nothing due'}: "
                      f"{woken} wake-ups, {due} timers due", flush=True)


if __name__ == "__main__":
    sys.exit(main())

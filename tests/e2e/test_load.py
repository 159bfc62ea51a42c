"""The sidecar under the load generator of the benchmarks: no answer is lost, nothing is left behind, and the sanitizer build has nothing
to report (tests/tools/sanitized.py looks). LOAD_SECONDS makes each load as long as one likes; `make load` does."""
# ctest: timeout=240
import contextlib
import os
import pathlib
import signal
import socket
import struct
import unittest

import harness
from harness import eventually

TOOLS = pathlib.Path(harness.SIDECAR).resolve().parent
SECONDS = int(os.environ.get("LOAD_SECONDS", "3"))
MANY = 64
DEATHS = 3  # of the agent; more of them in a row would wait for the back-off rather than for the load
ROOM_KIB = 300_000 if harness.IS_SLOW else 16_000  # what a sidecar may grow by; the sanitizers keep freed memory for a while
WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"GET /stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"

# what a client sends before it is gone
RUDE = (
    b"",
    b"POST / HTT",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"\x16\x03\x01\x00garbage\x00\xff\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET /.well-known/agent-card.json HTTP/1.1\r\nHost: x\r\n\r\n",
    WHOLE[:-1],
    WHOLE * 30,
    WHOLE + WHOLE[:40],
    STREAM,
    STREAM + WHOLE,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000 + WHOLE,
    b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"y" * 70000 + b"\r\n\r\n",
)


def rude(port, data, turn):
    """One connection that says `data` and goes: with a reset, with an end, or after it heard something."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
        if turn % 3 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(data)
        if turn % 3 == 1:
            s.shutdown(socket.SHUT_WR)
            s.recv(4096)


class Load(harness.Case):
    def agent(self):
        """The agent of the benchmarks, started by nobody but us; its socket."""
        path = self.sub_dir() / "agent.sock"
        self.process("agent", [TOOLS / "bench_agent", path])
        eventually(path.exists, "the agent's socket")
        return path

    def load(self, side, kind, connections, seconds=SECONDS):
        return self.process(f"load {kind}", [TOOLS / "bench_load", side.port, kind, connections, seconds])

    def result(self, load):
        """{'n': answers or events, 'errors': …} of a load, when it is over."""
        status = load.wait_exit(SECONDS + 2 * harness.PATIENCE)
        self.assertEqual(status, 0, load.text())
        return {k: float(v) for k, _, v in (pair.partition("=") for pair in load.out[-1].split())}

    def assert_at_rest(self, side):
        for gauge in ("requests_in_flight", "connections"):
            eventually(lambda: side.metrics()[f"molecule_sidecar_{gauge}"] == 0, f"no {gauge}")  # noqa: B023

    def test_posts_and_streams(self):
        side = self.sidecar(None, "--agent-address", f"unix:{self.agent()}").wait_ready()
        before = resident_kib(side.pid)
        for kind, connections in (("post", 1), ("post", MANY), ("streams", MANY), ("post", MANY)):
            with self.subTest(kind=kind, connections=connections):
                got = self.result(self.load(side, kind, connections))
                self.assertGreater(got["n"], 0)
                self.assertEqual(got["errors"], 0)
                self.assert_at_rest(side)
        self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)
        self.assertEqual(side.terminate(), 0)

    def test_rude_clients_do_not_disturb_the_others(self):
        side = self.sidecar(None, "--agent-address", f"unix:{self.agent()}").wait_ready()
        before = resident_kib(side.pid)
        loads = [self.load(side, "post", MANY), self.load(side, "streams", MANY)]
        turn = 0
        while turn < len(RUDE) or any(load.is_running() for load in loads):
            rude(side.port, RUDE[turn % len(RUDE)], turn)
            turn += 1
        for load in loads:
            got = self.result(load)
            self.assertGreater(got["n"], 0, load.name)
            self.assertEqual(got["errors"], 0, load.name)
        self.assert_at_rest(side)
        self.assertLess(resident_kib(side.pid) - before, ROOM_KIB)
        self.assertEqual(side.terminate(), 0)

    def test_an_agent_that_dies_and_a_stop_under_load(self):
        path = self.sub_dir() / "agent.sock"
        agent = ["sh", "-c", f"rm -f {path}; exec {TOOLS / 'bench_agent'} {path}"]
        side = self.sidecar(None, "--agent-address", f"unix:{path}", "--restart-backoff", "50ms", "--stop-grace", "60s", "--stop-drain-timeout", "3s",
                            command=agent).wait_ready()
        loads = [self.load(side, "post", MANY), self.load(side, "streams", MANY)]
        loads[1].wait_line("^open$")
        answered = lambda: side.metrics()['molecule_sidecar_requests_total{outcome="ok"}']
        for _ in range(DEATHS):
            (pid,) = eventually(side.agent_pids, "the agent runs")
            had = answered()
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: side.agent_pids() not in ([], [pid]), "another process")  # noqa: B023
            side.wait_ready()
            side.send("x")
            eventually(lambda: answered() > had, "it answers")  # noqa: B023
        last = self.load(side, "post", MANY, SECONDS + 600)  # it outlives the sidecar
        eventually(lambda: side.metrics()["molecule_sidecar_connections"] >= MANY, "the load is on")
        side.signal(signal.SIGTERM)
        self.assertEqual(side.wait_exit(), 0)
        last.end()
        for load in loads:
            load.wait_exit(SECONDS + 2 * harness.PATIENCE)


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    unittest.main()

"""An agent that accepts nothing for a while, its backlog full: requests wait, once each, and it is not taken for dead."""
# ctest: timeout=240
import json
import os
import unittest

import harness
from harness import eventually

# Answers every GET. From the first POST on it accepts nothing more until somebody opens the pipe GATE; then it serves all, and writes the
# body of each POST to LOG.   WHERE (a path, or a port) GATE LOG
AGENT = """
import os, socket, sys
where, gate, log = sys.argv[1:]
if where.isdigit():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', int(where)))
else:
    s = socket.socket(socket.AF_UNIX)
    s.bind(where)
s.listen(1)
has_stopped = False
while True:
    c = s.accept()[0]
    c.settimeout(60)  # not less: its request may be the kernel's to send again, seconds later each time
    try:
        data = c.recv(65536)
        while data.startswith(b'POST') and b'}' not in data:
            data += c.recv(65536)
        if data.startswith(b'POST'):
            with open(log, 'ab') as f:
                f.write(data.partition(b'\\r\\n\\r\\n')[2] + b'\\n')
            if not has_stopped:
                has_stopped = True
                open(gate).close()
        if data:
            c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}')
    except OSError:
        pass
    c.close()
"""
COUNT = 8
FLAGS = ("--forward-hold-timeout", "120s", "--agent-health-interval", "1h")


class Backlog(harness.Case):
    def start_agent(self, where):
        self.gate, self.log = self.dir / "gate", self.dir / "log"
        os.mkfifo(self.gate)
        self.process("agent", harness.python(AGENT, str(where), str(self.gate), str(self.log)))

    def open_gate(self):
        eventually(lambda: os.close(os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK)) is None, "the agent waits at the gate")

    def post(self, side, n):
        return harness.post(side.port, "/", {"n": n}, timeout=100)

    def wait_in_line(self, side):
        """One is with the agent; some of the others are in its backlog, as far as we know with it; the rest waits."""
        waiting = [self.thread(self.post, side, 0)]
        eventually(lambda: self.log.exists() and self.log.read_text(), "the agent has the first one")
        waiting += [self.thread(self.post, side, n) for n in range(1, COUNT)]
        side.wait_line("its backlog is full", 60)
        return waiting

    def expect_each_once(self, waiting):
        self.assertEqual([t.result(100).status for t in waiting], [200] * COUNT)
        self.assertEqual(sorted(json.loads(line)["n"] for line in self.log.read_text().splitlines()), list(range(COUNT)))

    def test_a_unix_agent_is_busy_and_not_down(self):
        path = self.sub_dir() / "s"
        self.start_agent(path)
        side = self.sidecar(None, *FLAGS, "--agent-address", f"unix:{path}").wait_ready()
        waiting = self.wait_in_line(side)
        eventually(lambda: side.metrics()["molecule_sidecar_requests_held"] >= COUNT - 4, "they look again and again")
        self.assertEqual(side.probe("readyz")[0], 200)
        self.open_gate()
        self.expect_each_once(waiting)
        self.assertEqual(side.probe("readyz")[0], 200)
        self.assertFalse([x for x in side.err if "does not answer" in x])

    def test_a_tcp_agent_is_waited_for_as_long(self):
        port = harness.free_port()
        self.start_agent(port)
        side = self.sidecar(None, *FLAGS, "--agent-address", f"http://127.0.0.1:{port}").wait_ready()
        waiting = self.wait_in_line(side)
        self.assertTrue(all(t.is_alive() for t in waiting), "nobody was answered 503")
        self.open_gate()
        self.expect_each_once(waiting)

    def test_an_end_is_set_to_it(self):
        port = harness.free_port()
        self.start_agent(port)
        side = self.sidecar(None, "--agent-health-interval", "1h", "--forward-hold-timeout", "500ms", "--agent-address",
                            f"http://127.0.0.1:{port}").wait_ready()
        threads = [self.thread(self.post, side, n) for n in range(COUNT)]
        refused = eventually(lambda: [t for t in threads if not t.is_alive()], "one is answered", 60)[0].result()
        self.assertEqual((refused.status, "AGENT_UNAVAILABLE" in refused.text), (503, True), refused.text)
        self.assertIn("backlog", refused.text)
        self.open_gate()
        self.assertLessEqual({t.result(100).status for t in threads}, {200, 503})


if __name__ == "__main__":
    unittest.main()

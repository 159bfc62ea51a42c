"""What a service manager hears, with a datagram socket of the test's in its place, and socket activation."""
import json
import signal
import socket
import unittest

import harness
from harness import eventually, example_agent


# Plays the service manager's part of socket activation: a listening socket as descriptor 3, then the program.
HAND_OVER = """
import os, socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(16)
open(sys.argv[1], 'w').write(str(s.getsockname()[1]))
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Listens where $NOTIFY_SOCKET points and keeps what it hears."""

    def __init__(self, path):
        self.path = str(path)
        self.heard = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def lines(self):
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def wait(self, line):
        eventually(lambda: any(x.startswith(line) for x in self.lines()), f"the service manager hears {line}")


class Notify(harness.Case):
    def start_under(self, manager, *flags, command=None, **env):
        settings = {"NOTIFY_SOCKET": manager.path, **env}
        return self.sidecar(None, *flags, command=command or example_agent(), env=settings)

    def manager(self):
        m = Manager(self.sub_dir() / "notify")
        self.addCleanup(m.socket.close)
        return m

    def test_ready_comes_with_the_first_real_answer_and_stopping_with_term(self):
        m = self.manager()
        side = self.start_under(m)
        side.wait_ready()
        m.wait("READY=1")
        self.assertEqual(m.lines().count("READY=1"), 1)
        m.wait("STATUS=running")
        side.signal(signal.SIGTERM)
        m.wait("STOPPING=1")
        m.wait("EXTEND_TIMEOUT_USEC=")
        self.assertEqual(side.wait_exit(), 0)

    def test_not_ready_before_the_agent_answers(self):
        m = self.manager()
        side = self.start_under(m, command=["sleep", "1000"])
        side.wait_probe("startupz", 200)
        m.wait("STATUS=starting")
        self.assertNotIn("READY=1", m.lines())

    def test_the_watchdog_is_fed_and_not_passed_on_to_the_agent(self):
        m = self.manager()
        report = self.sub_dir() / "env"
        script = harness.python(f"import json, os; open({str(report)!r} + '.new', 'w').write(json.dumps(dict(os.environ))); "
                                f"os.rename({str(report)!r} + '.new', {str(report)!r}); os.execvp('sleep', ['sleep', '1000'])")
        self.start_under(m, command=script, WATCHDOG_USEC="200000")
        eventually(lambda: m.lines().count("WATCHDOG=1") >= 3, "the watchdog is fed three times")
        seen = json.loads(eventually(lambda: report.exists() and report.read_text(), "the agent wrote its environment"))
        for name in ("WATCHDOG_USEC", "LISTEN_FDS"):
            self.assertNotIn(name, seen)
        self.assertNotEqual(seen["NOTIFY_SOCKET"], m.path, "it has one of ours")

    def test_a_drain_that_may_be_called_off_is_not_announced_as_the_end(self):
        m = self.manager()
        side = self.start_under(m)
        side.wait_ready()
        self.assertEqual(side.command("drain", "--wait")[0], 0)
        self.assertNotIn("STOPPING=1", m.lines())

    def test_a_drain_that_turns_out_to_be_the_end_is_announced_before_the_work_is_done(self):
        m = self.manager()
        side = self.start_under(m, "--stop-grace", "60s").wait_ready()
        slow = self.thread(side.send, "slow 5")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 1, "one request is in flight")
        self.assertEqual(side.command("drain", "--platform-enabled", "false")[0], 0)
        side.wait_probe("readyz", 503)
        self.assertNotIn("STOPPING=1", m.lines())
        side.signal(signal.SIGTERM)
        m.wait("STOPPING=1")
        m.wait("EXTEND_TIMEOUT_USEC=")
        self.assertTrue(slow.is_alive(), "the work goes on")
        self.assertEqual(slow.result().status, 200)
        self.assertEqual(side.wait_exit(), 0)

    def test_socket_activation_serves_on_the_socket_it_was_handed(self):
        port_file = self.sub_dir() / "port"
        program = harness.python(HAND_OVER, str(port_file), harness.SIDECAR)
        side = self.sidecar(None, command=example_agent(), program=program)
        side.wait_probe("readyz")
        answer = harness.post(int(port_file.read_text()), "/", harness.a2a("hello"))
        self.assertEqual(answer.status, 200)


if __name__ == "__main__":
    unittest.main()

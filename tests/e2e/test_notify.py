"""What a service manager hears, with a datagram socket of the test's in its place, and socket activation."""
import json
import select
import signal
import socket
import threading
import unittest

import harness
from harness import eventually, example_agent


# Plays the service manager's part of socket activation: listening sockets as descriptors 3, 4, ..., one for each name, then the
# program. The ports go into a file. A name's address may follow it: a2a=127.0.0.1:8000.
HAND_OVER = """
import fcntl, os, socket, sys
report, names, program = sys.argv[1], sys.argv[2].split(','), sys.argv[3:]
sockets = []
for name in names:
    host, _, port = (name.partition('=')[2] or '127.0.0.1:0').rpartition(':')
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((host, int(port))); s.listen(16)
    sockets.append(s)
with open(report, 'w') as f: f.write(' '.join(str(s.getsockname()[1]) for s in sockets))
kept = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for s in sockets]
for i, fd in enumerate(kept):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ.update(LISTEN_FDS=str(len(kept)), LISTEN_PID=str(os.getpid()))
if names != ['']: os.environ['LISTEN_FDNAMES'] = ':'.join(n.partition('=')[0] for n in names)
os.execv(program[0], program)
"""


def ports(report, count):
    found = [int(p) for p in report.read_text().split()] if report.exists() else []
    return found if len(found) == count else None


class Manager:
    """Listens where $NOTIFY_SOCKET points and keeps what it hears. Somebody always listens, as a service manager does: the socket has
    room for ten datagrams, and who sends the next one waits, or loses it."""

    def __init__(self, path):
        self.path = str(path)
        self.heard = []
        self.fds = []  # of FDSTORE=1
        self.lock = threading.Lock()
        self.is_closed = threading.Event()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        while not self.is_closed.is_set():
            if select.select([self.socket], [], [], 0.2)[0]:
                self.lines()

    def lines(self):
        """All that was said by now."""
        with self.lock:
            while not self.is_closed.is_set():
                try:
                    data, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
                except BlockingIOError:
                    break
                self.heard += data.decode().splitlines()
                self.fds += fds
            return list(self.heard)

    def close(self):
        self.is_closed.set()
        self.listener.join()
        self.socket.close()

    def wait(self, line):
        eventually(lambda: any(x.startswith(line) for x in self.lines()), f"the service manager hears {line}")


class Notify(harness.Case):
    def start_under(self, manager, *flags, command=None, **env):
        settings = {"NOTIFY_SOCKET": manager.path, **env}
        return self.sidecar(None, *flags, command=command or example_agent(), env=settings)

    def manager(self):
        m = Manager(self.sub_dir() / "notify")
        self.addCleanup(m.close)
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

    def test_a_service_manager_that_does_not_read_stops_nothing(self):
        path = self.sub_dir() / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
            deaf.bind(str(path))
            while True:  # until its queue is full
                try:
                    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                        other.setblocking(False)
                        other.sendto(b"STATUS=somebody else", str(path))
                except BlockingIOError:
                    break
            side = self.sidecar(None, command=example_agent(), env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})
            side.wait_ready()
            side.wait_probe("livez", 200)
            self.assertEqual(harness.post(side.port, "/", harness.a2a("hello")).status, 200)
            deaf.settimeout(harness.PATIENCE)
            heard = ""
            while "READY=1" not in heard:
                heard += deaf.recv(4096).decode() + "\n"
            self.assertEqual(side.terminate(), 0)

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
        agent, go = self.gate()
        side = self.start_under(m, "--stop-grace", "60s", command=agent).wait_ready()
        slow = self.thread(side.send, "x")
        side.wait_line("^asked 1")
        self.assertEqual(side.command("drain", "--platform-enabled", "false")[0], 0)
        side.wait_probe("readyz", 503)
        self.assertNotIn("STOPPING=1", m.lines())
        side.signal(signal.SIGTERM)
        m.wait("STOPPING=1")
        m.wait("EXTEND_TIMEOUT_USEC=")
        self.assertTrue(slow.is_alive(), "the work goes on")
        go()
        self.assertEqual(slow.result().status, 200)
        self.assertEqual(side.wait_exit(), 0)

    def handed(self, names, *flags, env=None, wait=True):
        """A sidecar that was handed sockets of these names; and their ports."""
        report = self.sub_dir() / "ports"
        side = self.sidecar(None, *flags, command=example_agent(), env=env, program=harness.python(HAND_OVER, str(report), names, harness.SIDECAR))
        if wait:
            side.wait_ready()
        count = names.count(",") + 1
        return side, eventually(lambda: ports(report, count), "the sockets are handed over")

    def ask(self, port):
        return harness.post(port, "/", harness.a2a("hello")).status

    def test_socket_activation_serves_on_the_socket_it_was_handed(self):
        m = self.manager()
        side, (port,) = self.handed("", env={"NOTIFY_SOCKET": m.path})
        self.assertEqual(self.ask(port), 200)
        m.wait("READY=1")
        self.assertNotIn("FDSTORE=1", m.lines())  # the .socket unit has it

    def test_names_say_which_socket_is_whose(self):
        side, (agent, admin, other, a2a) = self.handed("agent,admin,other,a2a", wait=False)
        eventually(lambda: harness.get(admin, "/readyz").status == 200, "ready on the admin socket that was handed over")
        self.assertEqual(self.ask(a2a), 200)
        with self.assertRaises(OSError):  # nobody serves there: the agent's
            harness.get(agent, "/", timeout=0.5)

    def test_a_reload_is_announced_and_its_end_too(self):
        m = self.manager()
        side = self.start_under(m)
        side.wait_ready()
        m.wait("READY=1")
        self.assertEqual(side.command("reload")[0], 0)
        m.wait("RELOADING=1")
        eventually(lambda: m.lines().count("READY=1") == 2, "ready again")
        tail = m.lines()[m.lines().index("RELOADING=1"):]
        self.assertRegex(tail[1], r"^MONOTONIC_USEC=[0-9]+$")
        self.assertEqual(tail[2], "READY=1")

    def test_before_it_was_ready_a_reload_does_not_say_ready(self):
        m = self.manager()
        side = self.start_under(m, command=["sleep", "1000"])
        side.wait_probe("startupz")
        self.assertEqual(side.command("reload")[0], 0)
        self.assertFalse({"RELOADING=1", "READY=1"} & set(m.lines()))

    def test_the_listening_socket_is_given_to_the_manager_and_taken_back(self):
        m = self.manager()
        side = self.start_under(m)
        side.wait_ready()
        m.wait("FDSTORE=1")
        self.assertIn("FDNAME=kept-a2a", m.lines())
        kept = socket.socket(fileno=m.fds[0])
        self.addCleanup(kept.close)
        self.assertEqual(kept.getsockname(), ("127.0.0.1", side.port))
        side.p.kill()
        side.wait_exit()
        with socket.create_connection(("127.0.0.1", side.port)):
            pass  # nobody runs, and nobody is refused
        kept.close()
        again, (port,) = self.handed(f"kept-a2a=127.0.0.1:{side.port}", "--listen-address", f"127.0.0.1:{side.port}", env={"NOTIFY_SOCKET": m.path})
        self.assertEqual(self.ask(port), 200)
        self.assertNotIn("FDSTOREREMOVE=1", m.lines())

    def test_a_kept_socket_for_another_address_is_dropped(self):
        m = self.manager()
        side, (port,) = self.handed(f"kept-a2a=127.0.0.1:{harness.free_port()}", env={"NOTIFY_SOCKET": m.path})
        self.assertNotEqual(side.port, port)
        self.assertEqual(self.ask(side.port), 200)
        m.wait("FDSTOREREMOVE=1")
        self.assertLess(m.lines().index("FDSTOREREMOVE=1"), m.lines().index("FDSTORE=1"))
        with self.assertRaises(ConnectionRefusedError):
            self.ask(port)

    def test_a_socket_unit_wins_over_a_kept_socket(self):
        m = self.manager()
        side, (kept, port) = self.handed("kept-a2a,a2a", env={"NOTIFY_SOCKET": m.path})
        self.assertEqual(self.ask(port), 200)
        m.wait("FDSTOREREMOVE=1")

    def test_a_watchdog_shorter_than_a_restart_of_the_agent_is_warned_of(self):
        m = self.manager()
        side = self.start_under(m, WATCHDOG_USEC="20000000")
        side.wait_line(r"watchdog is 20s, but a restart of the agent may take (90s|1m30s)")
        code, out, _ = side.command("plan", "--platform-enabled", "false", "--", "true")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"warning: the service manager's watchdog is 20s")
        m.wait("WATCHDOG=1")


if __name__ == "__main__":
    unittest.main()

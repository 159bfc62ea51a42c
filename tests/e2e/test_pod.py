"""As in a pod: the agent is another container's process. preStop, the agent's own restart, TERM after the agent has gone, a stop that
reaches the agent through its socket, and what that socket permits."""
# ctest: long
import http.server
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get

CAPABILITY = "abcdefghijklmnopqrstuvwxyz012345"
DRAIN = f"/drain/{CAPABILITY}"
NOBODY = 65534

# Has an answer to GET, at [::1] and the port named first.
SECOND = """
import http.server, socket, sys
class Six(http.server.HTTPServer): address_family = socket.AF_INET6
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_error(404)
Six(('::1', int(sys.argv[1])), Answer).serve_forever()
"""


class OneAtATime(http.server.HTTPServer):
    """Accepts nobody while it works, and has room for two who wait. Each POST is answered when go() has been called."""
    request_queue_size = 1

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.taken, self.may_go = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self):
        self.may_go.set()
        self.shutdown()
        self.server_close()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.taken.set()
            self.server.may_go.wait()
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Pod(harness.Case):
    def pod(self, *flags, **kw):
        side = self.sidecar(None, "--agent-health-interval", "200ms", "--admin-drain-path", DRAIN, *flags, **kw)
        side.wait_probe("startupz")
        return side

    def agent(self, side):
        agent = self.process("agent", example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        return agent

    def gated(self, side):
        """One that answers when it may, and the permission."""
        command, go = self.gate()
        agent = self.process("agent", command, env={"MOLECULE_AGENT_SOCKET": side.agent_socket})
        side.wait_ready()
        return agent, go

    def test_pre_stop_is_answered_when_the_work_is_done(self):
        side = self.pod("--stop-grace", "60s")
        agent, go = self.gated(side)
        slow = self.thread(side.send, "x")
        agent.wait_line("^asked 1")
        hook = self.thread(get, side.admin, DRAIN)
        side.wait_probe("readyz", 503)
        self.assertTrue(hook.is_alive(), "it waits for the message in flight")
        go()
        self.assertEqual((hook.result().status, hook.result().json), (200, {"drained": True}))
        self.assertEqual(answer_text(slow.result().json), "answer 1")
        self.assertEqual(side.send("too late").status, 503)
        self.assertTrue(side.is_probe("livez"))

    def test_pre_stop_of_a_restart_goes_back_to_serving(self):
        side = self.pod("--stop-grace", "60s")
        agent = self.agent(side)
        self.assertEqual(get(side.admin, DRAIN).status, 200)
        self.assertTrue(side.is_probe("readyz", 503))
        agent.terminate()  # the kubelet restarts only the agent's container; no TERM comes to us
        side.wait_line("does not answer")
        self.agent(side)
        self.assertEqual(answer_text(side.send("back").json), "you said: back")

    def test_term_after_pre_stop_is_the_end_and_not_a_second_term(self):
        side = self.pod("--stop-grace", "20s")
        self.agent(side)
        get(side.admin, DRAIN)
        self.assertEqual(side.terminate(), 0)
        self.assertFalse([line for line in side.lines if "not waiting for requests" in line])

    def test_a_native_sidecar_ends_at_once_when_its_agent_has_ended(self):
        side = self.pod("--stop-grace", "90s", "--stop-drain-delay", "60s")
        agent = self.agent(side)
        agent.terminate()
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 30, "no drain delay for an agent that is not there")

    def test_without_an_agent_the_drain_delay_is_skipped_but_with_one_it_is_kept(self):
        side = self.pod("--stop-grace", "30s", "--stop-drain-delay", "1s")
        self.agent(side)
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.95)

    def test_a_drain_leaves_the_backlog_of_a_busy_agent_to_requests(self):
        """Its address is looked at ten times a second while a drain lasts, but not while it works."""
        agent = OneAtATime()
        self.addCleanup(agent.end)
        side = self.sidecar(None, "--agent-health-interval", "1h", "--admin-drain-path", DRAIN, "--stop-grace", "60s", "--stop-drain-delay", "8s",
                            "--agent-address", f"http://127.0.0.1:{agent.server_address[1]}")
        side.wait_ready()
        first = self.thread(side.send, "one")
        self.assertTrue(agent.taken.wait(harness.PATIENCE))
        hook = self.thread(get, side.admin, DRAIN)
        eventually(lambda: side.is_probe("readyz", 503), "draining")
        begin = time.monotonic()
        eventually(lambda: time.monotonic() - begin > 1, "looks enough to fill its backlog")
        second = self.thread(side.send, "two")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 2, "both are with the agent")
        eventually(lambda: not second.is_alive() or time.monotonic() - begin > 3.5, "longer than a connection may take")
        agent.may_go.set()
        self.assertEqual([first.result().status, second.result().status], [200, 200])
        self.assertEqual(hook.result().status, 200)

    @unittest.skipUnless(has_ipv6(), "no [::1] here")
    def test_an_agent_at_the_second_address_of_localhost_is_there(self):
        port = harness.free_port()
        side = self.pod("--stop-grace", "30s", "--stop-drain-delay", "1s", "--agent-address", f"http://localhost:{port}")
        self.process("agent", harness.python(SECOND, str(port)))
        side.wait_ready()
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.95, "the drain delay is kept for it")

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_a_socket_of_another_user_is_named_with_mode_owner_and_fix(self):
        """The agent's container runs as root and its socket is 0600; the sidecar is nobody."""
        directory = self.sub_dir()
        self.dir.chmod(0o755)  # so that nobody may pass through
        run = directory / "run"
        run.mkdir()
        (directory / "state").mkdir()
        for path in (directory, run, directory / "state"):
            os.chown(path, NOBODY, NOBODY)
        agent = self.process("agent", example_agent("agent.py", str(run / "agent.sock")))
        agent.wait_line("listening")
        os.chmod(run / "agent.sock", 0o600)

        def become_nobody():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        copy = directory / "molecule-sidecar"  # our own may lie where nobody may not look
        copy.write_bytes(pathlib.Path(harness.SIDECAR).read_bytes())
        copy.chmod(0o755)
        side = self.sidecar(None, "--forward-hold-timeout", "200ms", directory=directory, preexec=become_nobody, program=[str(copy)])
        side.wait_probe("startupz")
        reason = eventually(lambda: [r for r in side.probe("readyz")[1]["reasons"] if "mode" in r], "readyz says why")[0]
        for words in ("agent.sock", "Permission denied", "mode 0600", "owner 0:0", "we are 65534:65534", "chmod g+w"):
            self.assertIn(words, reason)
        refused = harness.post(side.port, "/", a2a("hello"))
        self.assertEqual(refused.status, 503)
        self.assertIn("agent.sock", refused.text)


# Listens at the socket named first, answers nothing, and writes the signals it hears; ends at none of them.
DEAF = """
import os, signal, socket, sys
heard = (signal.SIGTERM, signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_BLOCK, heard)
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(16)
print('listening', flush=True)
while True: os.write(1, f'heard {signal.Signals(signal.sigwait(heard)).name}\\n'.encode())
"""


class Peer(harness.Case):
    """A stop reaches an agent of another container when the process namespace is shared."""

    NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]

    def pod(self, *flags, **kw):
        side = self.sidecar(None, "--agent-health-interval", "200ms", "--stop-grace", "60s", "--stop-drain-delay", "0s", *flags, **kw)
        side.wait_probe("startupz")
        return side

    def with_agent(self, *flags, **kw):
        side = self.pod(*flags, **kw)
        agent = self.process("agent", example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        return side, agent

    def deaf(self, side):
        agent = self.process("deaf", harness.python(DEAF, str(side.agent_socket)))
        agent.wait_line("listening")
        return agent

    def test_under_kubernetes_a_stop_ends_the_agent_too(self):
        side, agent = self.with_agent(env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
        side.signal(signal.SIGTERM)
        self.assertEqual(agent.wait_exit(), 0)
        self.assertIn("agent: stopped", agent.text(), "by a signal it can hear")
        self.assertEqual(side.wait_exit(), 0)
        side.wait_line(f"process {agent.pid} listens at .*: stopping it")

    def test_elsewhere_nobody_said_that_it_is_ours_to_end(self):
        side, agent = self.with_agent()
        self.assertEqual(side.terminate(), 0)
        self.assertTrue(agent.is_running())

    def test_it_has_the_work_done_first(self):
        side = self.pod("--stop-peer", "signal")
        command, go = self.gate()
        agent = self.process("agent", command, env={"MOLECULE_AGENT_SOCKET": side.agent_socket})
        side.wait_ready()
        slow = self.thread(side.send, "x")
        agent.wait_line("^asked 1")
        side.signal(signal.SIGTERM)
        side.wait_probe("readyz", 503)
        self.assertTrue(agent.is_running())
        go()
        self.assertEqual(answer_text(slow.result().json), "answer 1")
        self.assertEqual((agent.wait_exit(), side.wait_exit()), (-signal.SIGTERM, 0))

    def test_the_sequence_is_the_childs_and_kill_ends_it(self):
        side = self.pod("--stop-peer", "signal", "--stop-signal", "USR1 wait 1s, TERM wait 6s")
        agent = self.deaf(side)
        self.assertEqual(side.terminate(), 0)
        self.assertEqual(agent.wait_exit(), -signal.SIGKILL)
        self.assertEqual([line for line in agent.out if line.startswith("heard")], ["heard SIGUSR1", "heard SIGTERM"])
        side.wait_line("did not end in time and was killed")

    def test_a_hook_then_term_stops_an_agent_that_ignores_its_hook(self):
        side, agent = self.with_agent("--stop-peer", "signal", "--admin-drain-path", DRAIN)
        self.assertEqual(get(side.admin, DRAIN).json, {"drained": True})
        self.assertTrue(agent.is_running(), "a drain ends nobody")
        self.assertEqual(side.terminate(), 0)
        self.assertEqual(agent.wait_exit(), 0)

    def test_without_an_agent_there_is_nothing_to_wait_for(self):
        for how in ("signal", "wait"):
            side = self.pod("--stop-peer", how)
            self.assertEqual(side.terminate(), 0)
            self.assertNotIn("waiting up to", side.text())

    def test_waiting_for_its_socket_ends_when_it_goes(self):
        side, agent = self.with_agent("--stop-peer", "wait")
        side.signal(signal.SIGTERM)
        side.wait_line("waiting up to .* for unix:.* to go")
        self.assertTrue(side.is_running() and agent.is_running())
        agent.terminate()
        self.assertEqual(side.wait_exit(), 0)
        side.wait_line("does not listen at .* any more")

    def test_waiting_ends_with_the_agents_time_or_a_third_term(self):
        side, agent = self.with_agent("--stop-peer", "wait", "--stop-agent-grace", "300ms")
        self.assertEqual(side.terminate(), 0)
        side.wait_line("still listens at .*; leaving all the same")
        self.assertTrue(agent.is_running())
        side, agent = self.with_agent("--stop-peer", "wait", "--stop-agent-grace", "50s")
        for said in ("hurry", "not waiting", "killing"):  # one before the next: two at once would be one
            side.signal(signal.SIGTERM)
            side.wait_line(f"SIGTERM: .*{said}")
        self.assertEqual(side.wait_exit(), 0)
        self.assertTrue(agent.is_running())

    def test_in_another_process_namespace_its_socket_is_waited_for(self):
        if subprocess.run([*self.NAMESPACE, "true"], capture_output=True, timeout=60, check=False).returncode != 0:
            self.skipTest("no PID namespaces here")
        side, agent = self.with_agent("--stop-peer", "signal", program=[*self.NAMESPACE, harness.SIDECAR])
        (first,) = harness.children(side.pid)
        os.kill(first, signal.SIGTERM)
        side.wait_line("waiting up to .*is in another process namespace .*shareProcessNamespace")
        self.assertTrue(agent.is_running())
        agent.terminate()
        self.assertEqual(side.wait_exit(), 0)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_another_users_process_is_waited_for(self):
        directory = self.sub_dir()
        (directory / "run").mkdir()
        (directory / "state").mkdir()
        become, program = harness.ordinary_user(directory)
        side = self.pod("--stop-peer", "signal", directory=directory, preexec=become, program=program)
        agent = self.deaf(side)
        os.chmod(side.agent_socket, 0o777)
        side.signal(signal.SIGTERM)
        side.wait_line("waiting up to .*runs as user 0 and we as 65534")
        agent.signal(signal.SIGKILL)
        self.assertEqual(side.wait_exit(), 0)

    def test_a_tcp_agent_is_waited_for(self):
        port = harness.free_port()
        side = self.pod("--stop-peer", "signal", "--agent-address", f"http://127.0.0.1:{port}")
        agent = self.process("agent", example_agent("agent.py", str(port)))
        side.wait_ready()
        side.signal(signal.SIGTERM)
        side.wait_line("waiting up to .*is no Unix socket")
        agent.terminate()
        self.assertEqual(side.wait_exit(), 0)


if __name__ == "__main__":
    unittest.main()

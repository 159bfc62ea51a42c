"""`run -- COMMAND`: the agent's process, its environment, its end, and the same without a command."""
# ctest: long
import json
import os
import re
import signal
import stat
import subprocess
import time
import unittest

import harness
from harness import eventually, example_agent, get, python

SH = "/bin/sh"
AGENT = harness.SOURCE / "examples/python/agent.py"

BINDS = """
import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ["MOLECULE_AGENT_SOCKET"])
s.listen()
while True:
    c, _ = s.accept()
    try:
        c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}")
    except OSError:
        pass
    c.close()
"""


class Ends(harness.Case):
    """What the agent's end becomes."""

    def end_of(self, script, *flags):
        side = self.sidecar(None, "--restart-policy", "never", *flags, command=[SH, "-c", script])
        return side.wait_exit(), side

    def test_sleep_is_stopped_by_term(self):
        side = self.sidecar(None, "--stop-grace", "120s", "--stop-agent-grace", "100s", command=["sleep", "1000"])
        side.wait_probe("startupz")
        eventually(lambda: side.agent_pids(), "the child runs")
        (pid,) = side.agent_pids()
        self.assertTrue(side.is_probe("livez"))
        self.assertTrue(side.is_probe("readyz", 503), "it never answers")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0, "it died of the signal we sent")
        self.assertLess(time.monotonic() - begin, 30)
        self.assertFalse(harness.is_alive(pid))
        self.assertRegex(side.exit_sentence(), "stopped")

    def test_exit_codes_are_passed_on(self):
        for script, status in (("exit 0", 0), ("exit 42", 42), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)):
            with self.subTest(script):
                code, side = self.end_of(script)
                self.assertEqual(code, status)
                self.assertRegex(side.exit_sentence(), "agent")

    def test_its_own_code_survives_a_stop(self):
        side = self.sidecar(command=harness.test_agent("family.py", "code", "42"))
        side.wait_line("^up$")
        self.assertEqual(side.terminate(), 42)

    def test_success_is_not_restarted(self):
        side = self.sidecar(command=[SH, "-c", "echo ran"])
        self.assertEqual(side.wait_exit(), 0)
        self.assertEqual(side.out.count("ran"), 1)

    def test_crashing_agent_is_started_five_times(self):
        side = self.sidecar(None, "--restart-backoff", "20ms", "--restart-backoff-max", "50ms", command=[SH, "-c", "echo started; exit 7"])
        self.assertEqual(side.wait_exit(), 7)
        self.assertEqual(side.out.count("started"), 5)

    def test_policy_always(self):
        side = self.sidecar(None, "--restart-policy", "always", "--restart-backoff", "20ms", "--restart-max", "3",
                            command=[SH, "-c", "echo started; exit 0"])
        eventually(lambda: side.out.count("started") >= 3, "started again after success")

    def test_an_agent_that_ignores_term_is_killed(self):
        side = self.sidecar(None, "--stop-grace", "2s", command=harness.test_agent("family.py", "ignore"))
        side.wait_line("^up$")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 137)
        self.assertLess(time.monotonic() - begin, 2 + 25)

    def test_commands_that_cannot_be_executed(self):
        plain = self.dir / "plain.txt"
        plain.write_text("echo hi\n")
        lost = self.dir / "lost.sh"
        lost.write_text("#!/nonexistent/interpreter\n")
        lost.chmod(0o755)
        for command, words in ((["/nonexistent/agent"], "/nonexistent/agent.*No such file"), (["no-such-command-here"], "no-such-command-here"),
                               ([str(plain)], "plain.txt.*(Permission denied|not executable)"), ([str(lost)], "/nonexistent/interpreter|interpreter"),
                               ([str(self.dir)], "Permission denied|directory")):
            with self.subTest(command):
                side = self.sidecar(command=command)
                self.assertEqual(side.wait_exit(), 2)
                self.assertRegex(side.text(), words)


class Child(harness.Case):
    """What the child gets."""

    def dump_of(self, *flags, platform=None, env=None, preexec=None):
        side = self.sidecar(platform, "--restart-policy", "never", *flags, command=harness.test_agent("dump.py"), env=env, preexec=preexec)
        self.assertEqual(side.wait_exit(), 0)
        return json.loads(next(l for l in side.out if l.startswith('{"env"'))), side

    def test_it_gets_back_what_we_were_started_with(self):
        import resource

        def odd():
            os.umask(0o027)
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)

        with_us, _ = self.dump_of(preexec=odd)
        alone = self.start(harness.Process("alone", harness.test_agent("dump.py"), harness.clean_environment(self.dir), self.dir, odd))
        alone.wait_exit()
        without = json.loads(alone.out[0])
        for key in ("blocked", "ignored", "umask", "nofile", "core", "descriptors", "no_new_privs"):
            self.assertEqual(with_us[key], without[key], key)
        self.assertTrue(with_us["leads_group"], "a process group of its own")

    def test_environment(self):
        p = self.platform()
        got, side = self.dump_of(platform=p, env={"MINE": "stays", "PORT": None, "LANGFUSE_HOST": "h"})
        env = got["env"]
        self.assertEqual(env["MOLECULE_AGENT_SOCKET"], str(side.agent_socket))
        self.assertEqual(env["PORT"], str(side.agent_socket), "Node's listen() takes a path")
        self.assertTrue(env["MOLECULE_SIDECAR_SOCKET"].endswith("/sidecar.sock"))
        self.assertEqual((env["MINE"], env["LANGFUSE_HOST"], env["WORKSPACE_ID"]), ("stays", "h", p.id))
        self.assertNotIn(p.token, json.dumps(env), "the bearer stays with us")
        self.assertNotIn("NOTIFY_SOCKET", env)

    def test_pass_token_and_more_variables(self):
        p = self.platform()
        got, _ = self.dump_of("--agent-pass-token", "true", "--agent-env", "A=1", "--agent-env", "B=x,y", platform=p)
        self.assertEqual(got["env"]["MOLECULE_WORKSPACE_TOKEN"], p.token)
        self.assertEqual(got["env"].get("A") or "1", "1")

    def test_port_of_a_tcp_agent_never_meets_ours(self):
        port = harness.free_port()
        got, side = self.dump_of("--agent-address", f"http://127.0.0.1:{port}", env={"PORT": "8000"})
        self.assertEqual(got["env"]["PORT"], str(port))
        self.assertNotIn("MOLECULE_AGENT_SOCKET", got["env"])

    def test_working_directory(self):
        got, _ = self.dump_of("--agent-cwd", "/")
        self.assertEqual(got["cwd"], "/")


class Family(harness.Case):
    def test_signals_are_passed_on(self):
        side = self.sidecar(command=harness.test_agent("family.py", "signals"))
        side.wait_line("^up$")
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            side.signal(number)
            side.wait_line(f"got {number.name}")

    def test_orphans_are_reaped(self):
        side = self.sidecar(command=harness.test_agent("family.py", "orphans"))
        side.wait_line("^forked$")
        eventually(lambda: side.metrics()["molecule_sidecar_reaped_children_total"] >= 5, "five orphans are reaped")
        eventually(lambda: len(side.agent_pids()) == 1, "none is left as a zombie")

    def test_what_the_agent_left_behind_ends_with_us(self):
        side = self.sidecar(command=harness.test_agent("family.py", "child"))
        pid = int(side.wait_line("^child").split()[1])
        self.assertEqual(side.terminate(), 0)
        eventually(lambda: not harness.is_alive(pid), "the agent's own child is gone")

    def test_the_socket_of_a_killed_agent_is_not_in_the_way_of_the_next(self):
        """Most servers do not remove a path that is there: Node's, a plain bind()."""
        side = self.sidecar(None, "--restart-backoff", "100ms", command=python(BINDS))
        side.wait_ready()
        (pid,) = side.agent_pids()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: side.metrics()["molecule_sidecar_agent_starts_total"] >= 2, "it was started again")
        side.wait_ready()
        self.assertNotIn("Address already in use", side.text())

    def test_a_crash_takes_one_restart(self):
        side = self.sidecar(None, "--restart-backoff", "50ms", "--forward-hold-timeout", "2m", command=example_agent())
        side.wait_ready()
        (first,) = side.agent_pids()
        os.kill(first, signal.SIGKILL)
        eventually(lambda: side.agent_pids() and side.agent_pids() != [first], "a new process")
        side.wait_ready()
        self.assertEqual(side.metrics()["molecule_sidecar_agent_restarts_total"], 1)
        self.assertEqual(harness.answer_text(side.send("x").json), "you said: x")


class FirstProcess(harness.Case):
    """As PID 1, in a PID namespace of our own."""

    NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]

    def inside(self, *flags, command):
        if subprocess.run([*self.NAMESPACE, "true"], capture_output=True, timeout=60, check=False).returncode != 0:
            self.skipTest("no PID namespaces here")
        side = self.sidecar(None, *flags, command=command, program=[*self.NAMESPACE, harness.SIDECAR])
        side.wait_probe("startupz")
        (first,) = harness.children(side.pid)
        return side, first

    def test_orphans_and_term(self):
        side, first = self.inside(command=harness.test_agent("family.py", "orphans"))
        side.wait_line("^forked$")
        eventually(lambda: side.metrics()["molecule_sidecar_reaped_children_total"] >= 5, "five orphans are reaped")
        eventually(lambda: len(harness.children(first)) == 1, "none is left as a zombie")
        os.kill(first, signal.SIGTERM)
        self.assertEqual(side.wait_exit(), 0)

    def test_serving_and_the_agents_code(self):
        side, first = self.inside(command=harness.test_agent("family.py", "code", "42"))
        side.wait_line("^up$")
        os.kill(first, signal.SIGTERM)
        self.assertEqual(side.wait_exit(), 42)


class StartTimeout(harness.Case):
    """An agent that never answers (agent.on_start_timeout)."""

    def test_restart(self):
        side = self.sidecar(None, "--agent-start-timeout", "300ms", "--agent-on-start-timeout", "restart", "--restart-backoff", "20ms",
                            "--restart-max", "0", command=["/bin/sh", "-c", "echo started; exec sleep 1000"])
        eventually(lambda: side.out.count("started") >= 2, "it is started again")

    def test_exit(self):
        side = self.sidecar(None, "--agent-start-timeout", "300ms", "--agent-on-start-timeout", "exit", command=["sleep", "1000"])
        side.wait_exit()
        self.assertRegex(side.exit_sentence(), "start_timeout|300ms")

    def test_term_before_the_agent_was_started(self):
        p = self.platform()
        p.faults({"path": "", "hang": True})
        side = self.sidecar(p, "--secrets-start-wait", "60s", command=["sleep", "1000"])
        eventually(lambda: get(side.admin, "/livez").status == 200, "it lives")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertNotIn("started /", side.text())


class Agents(harness.Case):
    def test_tcp_agent(self):
        port = harness.free_port()
        side = self.sidecar(None, "--agent-address", f"http://127.0.0.1:{port}", command=example_agent("tcp_agent.py"))
        side.wait_ready()
        self.assertEqual(harness.answer_text(side.send("hello").json), "HELLO!")

    def test_equal_ports_are_refused(self):
        port = harness.free_port()
        side = self.sidecar(None, "--agent-address", f"http://127.0.0.1:{port}", "--listen-address", f"127.0.0.1:{port}",
                            command=example_agent("tcp_agent.py"))
        self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(side.text(), str(port))

    def test_without_a_command(self):
        side = self.sidecar(None, "--agent-health-interval", "200ms")
        side.wait_probe("startupz")
        self.assertTrue(side.is_probe("readyz", 503))
        agent = self.process("agent", example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        self.assertEqual(harness.answer_text(side.send("hi").json), "you said: hi")
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait_exit()
        side.wait_probe("readyz", 503)
        self.assertTrue(side.is_probe("livez"), "the agent is another container: we live on")
        self.process("agent", example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        self.assertEqual(side.terminate(), 0)

    def test_an_agent_that_takes_its_time(self):
        go = self.dir / "go"
        side = self.sidecar(None, "--agent-start-timeout", "1s", "--forward-hold-timeout", "2m",
                            command=harness.test_agent("family.py", "slow", str(go), str(AGENT)))
        side.wait_probe("startupz")
        self.assertTrue(side.is_probe("readyz", 503))
        held = self.thread(side.send, "patience")
        side.wait_line("start_timeout|has not answered|not ready|1s")
        self.assertTrue(side.is_running(), "it is only reported")
        go.touch()
        side.wait_ready()
        self.assertEqual(harness.answer_text(held.result().json), "you said: patience", "the request was held")


class OrdinaryUser(harness.Case):
    """A laptop: no root, no runtime directory from anybody, no container."""

    def test_it_works_and_says_where_its_sockets_are(self):
        where = self.sub_dir()
        (where / "run").mkdir()
        (where / "state").mkdir()
        become, program = harness.ordinary_user(where)
        p = self.platform(token="")
        side = self.sidecar(p, command=["/usr/bin/python3", "-c", AGENT.read_text()], directory=where, preexec=become, program=program,
                            env={"RUNTIME_DIRECTORY": None, "CONFIGS_DIR": None})
        side.wait_ready()
        p.wait_status("online")
        agent = re.search(r"unix:(/\S+?/agent\.sock)", side.text()).group(1)
        control = re.search(r"(/\S+?/control\.sock)", side.text()).group(1)
        self.assertTrue(stat.S_ISSOCK(os.stat(agent).st_mode))
        self.assertEqual(stat.S_IMODE(os.stat(control).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(control)).st_mode) & 0o077, 0)
        self.assertEqual([f.name for f in (where / ".molecule" / p.id).iterdir() if "token" in f.name], [".auth_token"])
        self.assertEqual(harness.answer_text(side.send("x").json), "you said: x")
        self.assertEqual(side.terminate(), 0)

    @unittest.skipIf(os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"), "this is a container")
    def test_defaults_bind_loopback(self):
        code, out, _ = self.sidecar(command=["sleep", "1000"]).command("check-config", "--platform-enabled", "false")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"127\.0\.0\.1:8000")


if __name__ == "__main__":
    unittest.main()

"""The subcommands as a person uses them: help, version, plan, check-config, health, status, send, drain, stop, install."""
# ctest: long
import json
import os
import socket
import stat
import subprocess
import unittest

import harness
from harness import example_agent


def run(*args, env=None, cwd="/"):
    return subprocess.run([harness.SIDECAR, *args], capture_output=True, text=True, timeout=120, cwd=cwd,
                          env=harness.clean_environment(cwd, env))


COMMANDS = ("run", "health", "status", "plan", "check-config", "send", "drain", "stop", "install")


class Alone(unittest.TestCase):
    def test_help_and_version(self):
        top = run("--help")
        self.assertEqual(top.returncode, 0)
        for name in COMMANDS:
            self.assertIn(f"\n  {name} ", top.stdout)
            one = run(name, "--help")
            self.assertEqual((one.returncode, one.stderr), (0, ""), name)
            self.assertTrue(one.stdout.startswith(f"Usage: molecule-sidecar {name}"), one.stdout)
        version = run("--version")
        self.assertRegex(version.stdout, r"^molecule-sidecar \d+\.\d+\.\d+ ")

    def test_no_line_of_help_is_wider_than_a_terminal(self):
        for line in run("run", "--help").stdout.splitlines():
            self.assertLessEqual(len(line), 125, line)

    def test_mistakes_get_a_sentence_and_status_2(self):
        for args, words in (
            ((), "Usage:"),
            (("rnu",), "did you mean run?"),
            (("-x",), "there is no command -x\n"),
            (("run", "./agent"), "run -- ./agent"),
            (("run", "--"), "nothing follows --"),
            (("health", "alive"), "started, ready, live, agent"),
            (("send",), "one TEXT"),
            (("send", "--url"), "--url needs a value"),
            (("install",), "one DIR"),
            (("plan", "--stop-grace"), "--stop-grace"),
            (("run", "--platform-token", "hunter2-hunter2"), "MOLECULE_WORKSPACE_TOKEN"),
        ):
            done = run(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn(words, done.stderr, args)
            self.assertNotIn("hunter2", done.stderr)

    def test_plan_prints_a_timeline_that_ends_at_grace(self):
        done = run("plan", "--platform-enabled", "false", "--stop-grace", "30s", "--", "./agent")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("stop.grace 30s (flag --stop-grace)", done.stdout)
        last = [line.split() for line in done.stdout.splitlines() if "reserve" in line][0]
        self.assertEqual(last[1], "30s", done.stdout)

    def test_plan_warns_when_kubernetes_gives_less_than_we_want(self):
        done = run("plan", "--platform-enabled", "false", "--stop-grace", "60s", env={"TERMINATION_GRACE_PERIOD_SECONDS": "30"})
        self.assertIn("warning:", done.stdout)
        self.assertIn("terminationGracePeriodSeconds", done.stdout)

    def test_plan_refuses_phases_that_do_not_fit(self):
        done = run("plan", "--platform-enabled", "false", "--stop-grace", "10s", "--stop-agent-grace", "8s", "--stop-drain-timeout", "8s")
        self.assertEqual(done.returncode, 2)
        self.assertIn("stop.grace", done.stderr)

    def test_check_config_names_every_error_with_its_line(self):
        with harness.tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "sidecar.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write("workspace:\n  id: ws-123\nstop:\n  grace: 10\n  grce: 5s\n")
            done = run("check-config", path)
            self.assertEqual(done.returncode, 2)
            for words in (":2", "ws-123", ":4", "needs a unit", ":5", "did you mean"):
                self.assertIn(words, done.stderr)

    def test_check_config_prints_values_and_origins_and_no_secret(self):
        done = run("check-config", env={"WORKSPACE_ID": "123e4567-e89b-42d3-a456-426614174000", "MOLECULE_WORKSPACE_TOKEN": "hunter2-hunter2"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("environment WORKSPACE_ID", done.stdout)
        self.assertNotIn("hunter2", done.stdout + done.stderr)

    def test_reference_and_schema_are_printed(self):
        self.assertIn("`listen.address`", run("check-config", "--reference").stdout)
        json.loads(run("check-config", "--schema").stdout)

    def test_install_copies_a_program_that_runs(self):
        with harness.tempfile.TemporaryDirectory() as d:
            done = run("install", d)
            self.assertEqual(done.returncode, 0, done.stderr)
            copy = os.path.join(d, "molecule-sidecar")
            self.assertEqual(stat.S_IMODE(os.stat(copy).st_mode), 0o755)
            self.assertEqual(os.listdir(d), ["molecule-sidecar"])
            self.assertEqual(subprocess.run([copy, "--version"], capture_output=True, timeout=120).returncode, 0)

    def test_install_into_nowhere_says_so(self):
        done = run("install", "/no/such/dir")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such/dir", done.stderr)

    def test_asking_when_nothing_runs(self):
        with harness.tempfile.TemporaryDirectory() as d:
            for args in (("status",), ("stop",), ("drain",)):
                done = run(*args, "--platform-enabled", "false", "--control-socket", f"{d}/control.sock")
                self.assertEqual(done.returncode, 1, args)
                self.assertIn("no sidecar answers", done.stderr)


# each POST gets the next of the arguments, twice
SAYS = """
import os, socketserver, sys
from http.server import BaseHTTPRequestHandler
class H(BaseHTTPRequestHandler):
    count = 0
    def do_GET(self):
        self.say(b'{"name":"x"}')
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(sys.argv[1 + H.count // 2].encode("utf-8", "surrogateescape"))
        H.count += 1
    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "?"
    def log_message(self, *_):
        pass
socketserver.ThreadingUnixStreamServer(os.environ["MOLECULE_AGENT_SOCKET"], H).serve_forever()
"""


class Running(harness.Case):
    def test_health_status_send_drain_and_stop(self):
        side = self.sidecar(command=example_agent())
        side.wait_ready()
        for word in ("started", "ready", "live", "agent"):
            code, out, err = side.command("health", word, "--admin-address", f"127.0.0.1:{side.admin}")
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(json.loads(out)["status"], "ok")
        self.assertIn("agent      answers", side.command("status")[1])
        status = json.loads(side.command("status", "--json")[1])
        self.assertEqual((status["state"], status["agent"]["mode"]), ("running", "wrapper"))
        here = ("--url", f"http://127.0.0.1:{side.port}/")
        self.assertEqual(side.command("send", *here, "hello there")[1].strip(), "you said: hello there")
        self.assertEqual(side.command("send", "--stream", *here, "count 3")[1].split(), ["1", "2", "3"])

        code, out, _ = side.command("drain", "--wait")
        self.assertEqual((code, out), (0, "drained: no work is in flight\n"))
        self.assertEqual(side.command("health", "--admin-address", f"127.0.0.1:{side.admin}")[0], 1)
        self.assertEqual(side.command("health", "live", "--admin-address", f"127.0.0.1:{side.admin}")[0], 0)
        self.assertEqual(side.command("stop")[0], 0)
        self.assertEqual(side.wait_exit(), 0)

    def test_an_agent_cannot_steer_the_terminal_or_end_the_command(self):
        """Texts and errors full of escape sequences, and shapes that no A2A answer has."""
        evil = "\x1b]0;owned\x07\x1b[2J\u009b31mred\r"
        shapes = [{"parts": [{"text": evil}]}, {"parts": "x", "artifacts": {"a": 1}, "status": []},
                  {"parts": [1, None, {"text": None}, {"text": {"a": evil}}], "artifacts": [[], 7, {"parts": 3}]}, [evil], 5, None]
        answers = [json.dumps({"jsonrpc": "2.0", "id": "1", "result": r}, ensure_ascii=i % 2 == 0) for i, r in enumerate(shapes)]
        answers += [json.dumps({"error": {"message": evil}}), json.dumps({"error": evil}), "[[", '"' + evil + '"']
        side = self.sidecar(command=harness.python(SAYS, *answers))
        side.wait_ready()
        for answer in answers:
            for stream in ((), ("--stream",)):
                code, out, err = side.command("send", *stream, "--url", f"http://127.0.0.1:{side.port}/", "x")
                self.assertIn(code, (0, 1), (answer, err))
                self.assertNotRegex(out + err, "[\x00-\x08\x0b-\x1f\x7f-\x9f]", answer)

    def connects(self, path):
        """It is bound before it listens: who asks in between would be told that nobody is there."""
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect(str(path)) is None

    def start_two(self):
        """Two of one user that share a TMPDIR and have no workspace: (environment, [older, newer])."""
        env = {"TMPDIR": str(self.dir), "XDG_RUNTIME_DIR": ""}
        preexec, program = harness.ordinary_user(self.dir)
        two = []
        for _ in range(2):
            done = subprocess.Popen([*(program or [harness.SIDECAR]), "run", "--platform-enabled", "false",
                                     "--listen-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--", "sleep", "1000"],
                                    env=harness.clean_environment(str(self.dir), env), preexec_fn=preexec, cwd="/",
                                    stderr=subprocess.DEVNULL)
            self.addCleanup(done.wait)
            self.addCleanup(done.kill)
            two.append(done)
            harness.eventually(lambda d=done: [self.connects(p) for p in self.dir.glob(f"molecule-*-{d.pid}/control.sock")], "its control socket")
        self.user = {"preexec_fn": preexec, "env": harness.clean_environment(str(self.dir), env), "capture_output": True,
                     "text": True, "timeout": 120, "cwd": "/"}
        self.program = program or [harness.SIDECAR]
        return two

    def ask(self, *args):
        return subprocess.run([*self.program, *args], check=False, **self.user)

    def test_a_killed_sidecar_does_not_hide_the_one_that_runs(self):
        older, newer = self.start_two()
        newer.kill()
        newer.wait()
        done = self.ask("status", "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout)["pid"], older.pid)

    def test_stop_does_not_guess_between_two(self):
        older, newer = self.start_two()
        done = self.ask("stop")
        self.assertEqual(done.returncode, 2)
        self.assertIn("more than one sidecar runs here", done.stderr)
        for one in (older, newer):
            self.assertIn(f"-{one.pid}/control.sock", done.stderr)
            self.assertIsNone(one.poll())
        self.assertEqual(json.loads(self.ask("status", "--json").stdout)["pid"], newer.pid)
        control = next(self.dir.glob(f"molecule-*-{older.pid}/control.sock"))
        self.assertEqual(self.ask("stop", "--control-socket", str(control)).returncode, 0)
        self.assertEqual(older.wait(60), 0)
        self.assertEqual(list(self.dir.glob(f"molecule-*-{older.pid}")), [], "its directory is gone")

    def test_send_says_why_it_failed(self):
        done = run("send", "--url", "http://127.0.0.1:9/", "hello")
        self.assertEqual(done.returncode, 1)
        self.assertIn("127.0.0.1:9", done.stderr)
        done = run("send", "--listen-address", "127.0.0.1:9", "hello")
        self.assertEqual(done.returncode, 1)
        self.assertIn("listen.address", done.stderr)


if __name__ == "__main__":
    unittest.main()

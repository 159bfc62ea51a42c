"""Reading the configuration again: what changes, what is named, what a mistake does. By `reload` and by SIGHUP."""
import os
import signal
import threading
import unittest

import harness
from harness import eventually, example_agent

BASE = "log:\n  level: info\n"
PATIENT = BASE + "stop:\n  grace: 5m\n"


class Reload(harness.Case):
    def start_with(self, config=BASE, *flags, command=None, **kw):
        # a session of its own: with a controlling terminal SIGHUP is a stop
        side = self.sidecar(None, *flags, command=command or example_agent(), config=config, preexec=os.setsid, **kw)
        side.wait_ready()
        return side

    def rewrite(self, side, config):
        (side.dir / "sidecar.yaml").write_text(config)

    def reload(self, side, config, status=0):
        self.rewrite(side, config)
        code, out, err = side.command("reload")
        self.assertEqual(code, status, out + err)
        return out + err

    def status(self, side):
        return harness.get(side.control, "/v1/status").json

    def test_what_can_change_does_and_what_cannot_is_named(self):
        side = self.start_with()
        self.assertEqual(side.send("hello").status, 200)
        said = self.reload(side, "log:\n  level: debug\nstop:\n  grace: 21s\nlisten:\n  allow_sources: [192.0.2.0/24]\n  max_body: 1MiB\n")
        self.assertIn("stop.grace: 10s -> 21s (now)\n", said)
        self.assertIn("listen.max_body: 64MiB -> 1MiB needs a restart\n", said)
        self.assertIn("reloaded: 3 changed, 1 waiting for a restart\n", said)
        self.assertEqual(self.status(side)["stop"]["grace_ms"], 21000)
        self.assertEqual(side.send("from an address that is not allowed any more").status, 403)
        self.assertIn("reloaded: 1 changed", self.reload(side, "log:\n  level: debug\nstop:\n  grace: 21s\nlisten:\n  max_body: 1MiB\n"))
        self.assertEqual(side.send("allowed again").status, 200)
        side.wait_line(r"listen.max_body: 64MiB -> 1MiB needs a restart")

    def test_a_bad_file_changes_nothing(self):
        side = self.start_with()
        said = self.reload(side, "log:\n  level: debug\nstop:\n  grace: 1s\n  agent_grace: 5s\n", status=1)
        self.assertIn("stop.agent_grace", said)
        self.assertIn("nothing was changed", said)
        said = self.reload(side, "log:\n  level: chatty\nstop:\n  grace: 21s\n", status=1)
        self.assertIn("log.level is chatty", said)
        self.assertIn("sidecar.yaml:2", said)
        self.assertEqual(self.status(side)["stop"]["grace_ms"], 10000)
        os.unlink(side.dir / "sidecar.yaml")
        code, out, err = side.command("reload")
        self.assertEqual(code, 1, out + err)
        self.assertIn("sidecar.yaml", err)
        self.assertIn("reloaded: 0 changed, 0 waiting", self.reload(side, BASE))
        self.assertEqual(side.send("it goes on").status, 200)
        self.reload(side, PATIENT)
        self.assertEqual(side.terminate(), 0)

    def test_sighup_without_a_terminal_is_a_reload(self):
        side = self.start_with()
        self.rewrite(side, BASE + "stop:\n  grace: 22s\n")
        side.signal(signal.SIGHUP)
        side.wait_line(r"stop.grace: 10s -> 22s")
        self.assertEqual(self.status(side)["stop"]["grace_ms"], 22000)
        self.rewrite(side, "nonsense: true\n")
        side.signal(signal.SIGHUP)
        side.wait_line(r"refused: nothing was changed")
        self.assertEqual(self.status(side)["stop"]["grace_ms"], 22000)
        self.assertTrue(side.is_running())

    def test_the_agent_gets_its_new_environment_at_its_next_start(self):
        report = self.sub_dir() / "report"
        script = (f"import os,signal,sys; open({str(report)!r}, 'a').write(os.environ.get('COLOUR', 'none') + '\\n'); "
                  "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
        side = self.start_with(command=harness.python(script, *example_agent()[1:]))
        self.assertEqual(report.read_text(), "none\n")
        said = self.reload(side, BASE + "agent:\n  env: [COLOUR=green]\nrestart:\n  backoff: 10ms\n")
        self.assertIn("at the agent's next start", said)
        self.assertNotIn("green", said)
        os.kill(side.agent_pids()[0], signal.SIGKILL)
        eventually(lambda: report.read_text() == "none\ngreen\n", "the agent was started again with the new variable")
        side.wait_line(r"starting it again in \d?\dms")  # restart.backoff

    def test_more_places_let_those_who_wait_go(self):
        agent = "\n".join(["import http.server, os, socketserver, threading",
                           "class S(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): pass",
                           "class H(http.server.BaseHTTPRequestHandler):",
                           "    def do_GET(self): self.answer()",
                           "    def do_POST(self):",
                           "        self.rfile.read(int(self.headers['Content-Length'])); gate.wait(120); self.answer()",
                           "    def answer(self):",
                           "        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'{}')",
                           "    def address_string(self): return 'unix'",
                           "    def log_message(self, *a): pass",
                           "gate = threading.Barrier(3)",
                           "S(os.environ['MOLECULE_AGENT_SOCKET'], H).serve_forever()"])
        side = self.start_with(BASE + "forward:\n  max_in_flight: 1\n  hold_timeout: 2m\n", command=harness.python(agent))
        asked = [self.thread(side.send, f"{i}") for i in range(3)]  # the agent answers none before it has all three
        eventually(lambda: self.status(side)["forward"]["held"] == 2, "two wait for their turn")
        self.assertIn("forward.max_in_flight: 1 -> 3 (now)", self.reload(side, BASE + "forward:\n  max_in_flight: 3\n  hold_timeout: 2m\n"))
        self.assertEqual([a.result().status for a in asked], [200, 200, 200])

    def test_those_who_wait_get_the_new_time(self):
        side = self.sidecar(None, command=["sleep", "1000"], config=BASE + "forward:\n  hold_timeout: 10m\n", preexec=os.setsid)
        side.wait_probe("startupz")
        asked = self.thread(side.send, "who waits for an agent that never comes")
        eventually(lambda: self.status(side)["forward"]["held"] == 1, "it waits")
        self.reload(side, BASE + "forward:\n  hold_timeout: 100ms\n")
        self.assertEqual(asked.result().status, 503)

    def test_while_it_drains_the_configuration_stays(self):
        side = self.start_with(PATIENT)  # so long it drains
        self.assertEqual(side.command("drain", "--wait")[0], 0)
        said = self.reload(side, BASE + "stop:\n  grace: 21s\n", status=1)
        self.assertIn("drains or stops", said)
        self.assertEqual(self.status(side)["stop"]["grace_ms"], 300000)

    def test_nobody_there_is_a_sentence(self):
        side = self.start_with(PATIENT)
        self.assertEqual(side.terminate(), 0)
        code, _, err = side.command("reload")
        self.assertEqual(code, 1)
        self.assertIn("no sidecar answers at", err)

    def test_hundreds_of_reloads_under_load_lose_nothing(self):
        side = self.start_with()
        ends, answers = threading.Event(), []

        def ask():
            while not ends.is_set():
                answers.append(side.send("hello").status)
        clients = [self.thread(ask) for _ in range(2)]
        for i in range(200):
            self.rewrite(side, BASE + f"forward:\n  hold_timeout: {i + 60}s\n  response_timeout: {300 - i}s\nlisten:\n  trusted_proxies: [10.{i}.0.0/16]\n")
            self.assertEqual(harness.post(side.control, "/v1/reload").status, 200)
        ends.set()
        for c in clients:
            c.result()
        self.assertEqual(set(answers), {200})


if __name__ == "__main__":
    unittest.main()

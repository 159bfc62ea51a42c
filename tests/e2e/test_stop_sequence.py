"""stop.signal as a list, and what each phase of a stop does with the time it has."""
# ctest: long
import re
import signal
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get, stream

CAPABILITY = "abcdefghijklmnopqrstuvwxyz012345"
DRAIN = f"/drain/{CAPABILITY}"

# Writes the names of the signals it hears and ends with code 7 at the one that is named last on its command line; others keep their default.
# Of signals that came while it could not run, the lowest number is the first. It wakes up by itself: a signal that comes just before a
# pause() would not end it, and its handler would not be called.
HEARS = """
import os, select, signal, sys
for name in sys.argv[1:]:
    def hear(number, _, ends=name == sys.argv[-1]):
        os.write(1, f'heard {signal.Signals(number).name}\\n'.encode())
        if ends: os._exit(7)
    signal.signal(signal.Signals['SIG' + name], hear)
print('up', flush=True)
while True: select.select([], [], [], 0.5)
"""


def hears(*names):
    return harness.python(HEARS, *names)


class Sequence(harness.Case):
    def agent(self, sequence, command, *flags):
        side = self.sidecar(None, "--agent-protocol", "none", "--stop-grace", "60s", "--stop-signal", sequence, *flags, command=command)
        side.wait_line("^up$")
        return side

    def test_each_signal_has_its_time_and_the_agent_its_own_code(self):
        side = self.agent("INT wait 2s, USR1 wait 2s, TERM", hears("INT", "USR1", "TERM"))
        self.assertEqual(side.terminate(), 7)
        self.assertEqual([line for line in side.out if line.startswith("heard")], ["heard SIGINT", "heard SIGUSR1", "heard SIGTERM"])
        side.wait_line("has not ended: SIGUSR1")

    def test_an_agent_that_hears_the_first_one_gets_no_second(self):
        side = self.agent("USR1 wait 30s, TERM, wait 10s, KILL", hears("TERM", "USR1"))
        self.assertEqual(side.terminate(), 7)
        self.assertEqual([line for line in side.out if line.startswith("heard")], ["heard SIGUSR1"])

    def test_dying_of_a_later_signal_is_a_good_end_too(self):
        side = self.agent("USR1 wait 200ms, INT wait 30s", harness.python(
            "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGUSR1, signal.SIG_IGN); "
            "print('up', flush=True)\nwhile True: signal.pause()"))
        self.assertEqual(side.terminate(), 0)

    def test_a_signal_whose_turn_has_not_come_is_somebody_elses(self):
        side = self.agent("USR1 wait 50s, INT wait 1s", harness.python(
            "import os, select, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); "
            "signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGINT)); "
            "print('up', flush=True)\nwhile True: select.select([], [], [], 0.5)"))
        self.assertEqual(side.terminate(), 130)

    def test_kill_ends_a_sequence_that_nobody_hears(self):
        side = self.agent("USR1 wait 200ms, TERM wait 200ms, KILL", hears("USR1", "TERM", "HUP"))
        self.assertEqual(side.terminate(), 137)  # long before stop.grace
        side.wait_line("did not end in time and was killed")

    def test_a_third_term_does_not_wait_for_the_sequence(self):
        side = self.agent("USR1 wait 50s, TERM", hears("USR1", "HUP"))
        for said in ("hurry", "not waiting", "killing"):  # one before the next: two at once would be one
            side.signal(signal.SIGTERM)
            side.wait_line(f"SIGTERM: .*{said}")
        self.assertEqual(side.wait_exit(), 137)

    def test_a_text_that_makes_no_sense_is_refused_with_its_place(self):
        side = self.sidecar(None, "--stop-signal", "USR1 wait 20, TERM", command=["true"])
        self.assertEqual(side.wait_exit(), 2)
        side.wait_line("stop.signal is USR1 wait 20, TERM .*character 11, 20: a wait must be a whole number with ms, s")

    def test_waits_that_pass_the_grace_are_refused_by_run_and_plan(self):
        side = self.sidecar(None, "--stop-grace", "20s", "--stop-signal", "USR1 wait 20s, TERM wait 10s", command=["true"])
        self.assertEqual(side.wait_exit(), 2)
        side.wait_line("the waits of stop.signal .* = 30s, which is more than stop.grace 20s")
        code, _, err = side.command("plan", "--platform-enabled", "false", "--stop-grace", "20s", "--stop-signal", "TERM wait 30s", "--", "x")
        self.assertEqual(code, 2)
        self.assertIn("stop.signal", err)

    def test_a_yaml_list_and_what_check_config_and_plan_say_of_it(self):
        config = self.sub_dir() / "c.yaml"
        config.write_text("platform: {enabled: false}\nstop:\n  grace: 60s\n  signal: [USR1 wait 20s, TERM, wait 10s, KILL]\n")
        side = self.sidecar(None, command=["true"])
        code, out, err = side.command("check-config", str(config), "--", "x")
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"stop\.signal +=? ?USR1 wait 20s, TERM wait 10s, KILL")
        code, out, err = side.command("plan", "--config", str(config), "--", "x")
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"28s +48s +agent: SIGUSR1 to its process group\n +48s +58s +agent: SIGTERM to the same, then SIGKILL")


class Phases(harness.Case):
    def agent(self, *flags, command=None, env=None):
        return self.sidecar(None, *flags, command=command or example_agent(), env=env).wait_ready()

    def in_flight(self, side, text):
        t = self.thread(side.send, text)
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] >= 1, "in flight")
        return t

    def test_signal_first_kills_after_agent_grace_when_that_is_set(self):
        side = self.sidecar(None, "--agent-protocol", "none", "--stop-grace", "60s", "--stop-order", "signal-first",
                            "--stop-agent-grace", "300ms", command=harness.test_agent("family.py", "ignore"))
        side.wait_line("^up$")
        self.assertEqual(side.terminate(), 137)

    def test_signal_first_signals_while_requests_are_in_flight(self):
        side = self.agent("--stop-grace", "30s", "--stop-order", "signal-first")
        events = stream(side.port, "/", a2a("slow 2", "message/stream"))
        next(events)  # the agent is at it
        side.signal(signal.SIGTERM)
        side.wait_line("SIGTERM, then SIGKILL after")
        self.assertIn("that took 2 s", str(list(events)), "the request goes on")
        self.assertEqual(side.wait_exit(), 0)

    def test_a_drain_whose_time_is_up_says_so(self):
        side = self.agent("--stop-grace", "40s", "--stop-drain-timeout", "300ms", "--admin-drain-path", DRAIN)
        self.in_flight(side, "slow 60")
        code, _, err = side.command("drain", "--wait", "--platform-enabled", "false")
        self.assertEqual(code, 1)
        self.assertIn("the drain is over with work unfinished", err)
        hook = get(side.admin, DRAIN)
        self.assertEqual((hook.status, hook.json["drained"]), (200, False))
        self.assertIn("unfinished", hook.json["detail"])

    def test_a_hook_whose_caller_has_gone_drains_all_the_same(self):
        agent, go = self.gate()
        side = self.agent("--stop-grace", "60s", "--admin-drain-path", DRAIN, command=agent)
        slow = self.in_flight(side, "x")
        harness.raw(side.admin, f"GET {DRAIN} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), timeout=0.05)
        side.wait_probe("readyz", 503)
        go()
        self.assertEqual(slow.result().status, 200)
        side.wait_line("drained; waiting for TERM")
        self.assertEqual(get(side.admin, DRAIN).json, {"drained": True})
        self.assertEqual(side.terminate(), 0)

    def test_a_hook_and_the_term_after_it_have_one_clock(self):
        for hook in ("http", "exec"):
            with self.subTest(hook):
                agent, _ = self.gate()
                side = self.agent("--stop-grace", "6s", "--stop-agent-grace", "5s", "--stop-reserve", "500ms", "--admin-drain-path", DRAIN,
                                  command=agent)
                self.in_flight(side, "unanswered")
                if hook == "http":
                    self.assertEqual(get(side.admin, DRAIN).status, 200)
                else:
                    self.assertEqual(side.command("drain", "--wait", "--platform-enabled", "false")[0], 1)
                side.signal(signal.SIGTERM)
                line = side.wait_line("SIGTERM, then SIGKILL after")
                number, unit = re.search(r"after (\d+)(ms|s)", line).groups()
                left_ms = int(number) * (1000 if unit == "s" else 1)
                self.assertLessEqual(left_ms, 6000 - 500 - 500, "the hook's time is gone from the agent's")
                side.wait_exit()

    def test_a_hook_is_answered_when_a_term_comes_while_it_waits(self):
        agent, go = self.gate()
        side = self.agent("--stop-grace", "60s", "--admin-drain-path", DRAIN, command=agent)
        slow = self.in_flight(side, "x")
        hook = self.thread(get, side.admin, DRAIN)
        side.wait_probe("readyz", 503)
        side.signal(signal.SIGTERM)
        side.wait_line("SIGTERM: stopping")
        go()
        self.assertEqual(hook.result().json, {"drained": True})
        self.assertEqual(slow.result().status, 200, "and the work was done")
        self.assertEqual(side.wait_exit(), 0)


if __name__ == "__main__":
    unittest.main()

"""Stopping: one budget, one clock (design section 7)."""
# ctest: long
import json
import os
import signal
import time
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get, stream

BUSY = 25  # seconds that a busy machine may take on top


class Stop(harness.Case):
    def agent(self, *flags, platform=None, env=None):
        return self.sidecar(platform, *flags, command=example_agent(), env=env).wait_ready()

    def in_flight(self, side, text):
        t = self.thread(side.send, text)
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] >= 1, "in flight")
        return t

    def gated(self, *flags):
        """A sidecar with one request in flight, the request's thread, and what lets it be answered ("answer 1")."""
        agent, go = self.gate()
        side = self.sidecar(None, *flags, command=agent).wait_ready()
        t = self.thread(side.send, "x")
        side.wait_line("^asked 1")
        return side, t, go

    def test_an_idle_one_ends_at_once(self):
        side = self.agent("--stop-grace", "120s", "--stop-agent-grace", "40s")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, BUSY, "not the agent's time, nor the drain's")
        self.assertEqual(list(side.run_dir.rglob("*.sock")), [], "no socket is left")
        self.assertIn("agent: stopped", side.text(), "the agent ended in its own order")

    def test_work_in_flight_finishes(self):
        side, slow, go = self.gated("--stop-grace", "60s")
        side.signal(signal.SIGTERM)
        side.wait_probe("readyz", 503)
        refused = side.send("too late")
        self.assertEqual(refused.status, 503)
        self.assertIn("DRAINING", refused.text)
        go()
        self.assertEqual(answer_text(slow.result().json), "answer 1")
        self.assertEqual(side.wait_exit(), 0)

    def test_a_stream_finishes(self):
        side = self.agent("--stop-grace", "60s")
        events = stream(side.port, "/", a2a("count 40", "message/stream"))
        next(events)
        side.signal(signal.SIGTERM)
        self.assertEqual(len(list(events)), 41)
        self.assertEqual(side.wait_exit(), 0)

    def test_interrupt_is_a_trigger_too(self):
        side = self.agent()
        side.signal(signal.SIGINT)
        self.assertEqual(side.wait_exit(), 0)

    def test_second_term_hurries(self):
        side = self.agent("--stop-grace", "120s", "--stop-agent-grace", "100s")
        self.in_flight(side, "slow 90")
        begin = time.monotonic()
        side.signal(signal.SIGTERM)
        side.wait_probe("readyz", 503)
        side.signal(signal.SIGTERM)
        side.wait_line("SIGTERM: not waiting")
        side.signal(signal.SIGTERM)
        self.assertIn(side.wait_exit(60), (0, 137))
        self.assertLess(time.monotonic() - begin, 60)

    def test_stuck_agent_is_killed_within_the_grace(self):
        side = self.sidecar(None, "--stop-grace", "3s", command=harness.test_agent("family.py", "ignore"))
        side.wait_line("^up$")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 137)
        side.wait_line("ended: SIGTERM; the agent did not end in time and was killed")
        self.assertLess(time.monotonic() - begin, 3 + BUSY)

    def test_the_grace_is_never_passed(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, "--stop-grace", "4s", "--platform-heartbeat-interval", "200ms", command=example_agent()).wait_ready()
        self.in_flight(side, "slow 90")
        p.faults({"path": "", "hang": True})
        begin = time.monotonic()
        side.signal(signal.SIGTERM)
        side.wait_exit()
        took = time.monotonic() - begin
        self.assertLess(took, 4 + BUSY)

    def test_drain_delay_serves_and_closes_connections(self):
        side = self.agent("--stop-grace", "120s", "--stop-drain-delay", "60s")
        self.assertEqual(side.send("x").status, 200)
        side.signal(signal.SIGTERM)
        side.wait_probe("readyz", 503)
        a = side.send("still open")
        self.assertEqual(answer_text(a.json), "you said: still open")
        self.assertEqual(a.headers["Connection"], "close")
        side.signal(signal.SIGTERM)  # hurry
        self.assertEqual(side.wait_exit(), 0)

    def test_drain_delay_is_kept(self):
        side = self.agent("--stop-grace", "60s", "--stop-drain-delay", "3s")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 2.9)

    def test_drain_command_waits_and_parks(self):
        side, slow, go = self.gated("--stop-grace", "60s")
        drain = self.thread(side.command, "drain", "--wait", "--platform-enabled", "false")
        side.wait_probe("readyz", 503)
        self.assertTrue(drain.is_alive(), "it waits for the work")
        go()
        code, _, err = drain.result()
        self.assertEqual(code, 0, err)
        self.assertEqual(slow.result().status, 200)
        self.assertTrue(side.is_running())
        self.assertTrue(side.is_probe("readyz", 503))
        self.assertEqual(side.terminate(), 0)

    def test_a_drain_that_nobody_follows_up_ends(self):
        side = self.agent("--stop-grace", "4s")
        self.assertEqual(side.command("drain", "--platform-enabled", "false")[0], 0)
        side.wait_line("drained .* ago and no TERM came: serving again")
        side.wait_ready()

    def test_stop_command(self):
        side = self.agent()
        code, _, err = side.command("stop", "--platform-enabled", "false")
        self.assertEqual(code, 0, err)
        self.assertEqual(side.wait_exit(), 0)

    def test_drain_over_http_needs_its_capability(self):
        side = self.agent("--admin-drain-path", "/drain/abcdefghijklmnopqrstuvwxyz012345")
        self.assertEqual(get(side.admin, "/drain/abcdefghijklmnopqrstuvwxyz012346").status, 404)
        self.assertTrue(side.is_probe("readyz"))
        self.assertEqual(get(side.admin, "/drain/abcdefghijklmnopqrstuvwxyz012345").status, 200)
        self.assertTrue(side.is_probe("readyz", 503))
        self.assertNotIn("abcdefghijklmnopqrstuvwxyz012345", "\n".join(side.err))

    def test_signal_first(self):
        side = self.agent("--stop-grace", "60s", "--stop-order", "signal-first")
        events = stream(side.port, "/", a2a("slow 1.5", "message/stream"))
        next(events)  # the agent is at it: what it has not accepted yet is lost when it drains itself
        side.signal(signal.SIGTERM)
        self.assertIn("that took 1.5 s", str(list(events)), "the agent drains itself")
        self.assertEqual(side.wait_exit(), 0)

    def test_plan(self):
        side = self.agent()
        code, out, err = side.command("plan", "--platform-enabled", "false", "--stop-grace", "30s")
        self.assertEqual(code, 0, err)
        self.assertIn("30s", out)
        code, out, err = side.command("plan", "--platform-enabled", "false", "--stop-grace", "5s", "--stop-drain-delay", "20s")
        self.assertEqual(code, 2)
        self.assertRegex(out + err, "drain_delay")

    def test_exit_sentence(self):
        side = self.agent()
        side.terminate()
        self.assertRegex(side.exit_sentence(), "stopped")
        self.assertRegex(side.exit_sentence(), "sidecar")


if __name__ == "__main__":
    unittest.main()

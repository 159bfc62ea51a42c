"""Two things at once: a stop or a drain meets the start, a hold, a removal, a busy agent, the end of the budget."""
# ctest: long
import signal
import time
import unittest

import harness
from harness import eventually

FAST = ("--platform-heartbeat-interval", "200ms", "--platform-state-interval", "200ms")
SLOW_42 = """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: os._exit(42))
signal.signal(signal.SIGTERM, lambda *_: signal.setitimer(signal.ITIMER_REAL, 1.5))
print("up", flush=True)
while True:
    signal.pause()
"""


class Crossings(harness.Case):
    def test_a_drain_ends_when_the_last_held_request_gave_up(self):
        side = self.sidecar(None, "--stop-grace", "60s", "--forward-hold-timeout", "1s", command=["sleep", "1000"])
        side.wait_probe("startupz")
        held = self.thread(side.send, "x")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_held"] == 1, "held")
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 30, "nothing is left to wait for")
        self.assertEqual(held.result().status, 503)

    def test_a_drain_before_the_first_start_does_not_lose_the_start(self):
        p = self.platform()
        p.faults({"path": f"/workspaces/{p.id}/secrets", "hang": True})
        side = self.sidecar(p, *FAST, "--secrets-start-wait", "6s", "--stop-grace", "2s", command=harness.example_agent())
        eventually(lambda: side.control.exists() and side.command("drain")[0] == 0, "drained")
        self.assertEqual(side.agent_pids(), [])
        side.wait_line("serving again")
        side.wait_ready()

    def test_the_end_of_the_budget_is_a_kill(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, "--stop-grace", "2s", "--stop-agent-grace", "2s", "--stop-reserve", "0",
                            "--stop-drain-timeout", "0", command=harness.test_agent("stuck.py", "ignore")).wait_ready()
        self.thread(side.send, "x")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 1, "in flight")
        (pid,) = side.agent_pids()
        self.assertEqual(side.terminate(), 137)
        self.assertFalse(harness.is_alive(pid))
        self.assertRegex(side.exit_sentence(), "was killed")

    def test_a_removal_during_a_stop_does_not_change_its_status(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, "--agent-protocol", "none", command=harness.python(SLOW_42))
        side.wait_line("^up$")
        eventually(lambda: p.beat(), "registered")
        side.signal(signal.SIGTERM)
        side.wait_line("SIGTERM, then SIGKILL")
        p.call("DELETE", f"/workspaces/{p.id}")
        self.assertEqual(side.wait_exit(), 42)
        self.assertRegex(side.exit_sentence(), "word=stopped|\"word\":\"stopped\"")

    def test_a_busy_agent_that_answers_again_is_not_a_new_one(self):
        side = self.sidecar(None, "--agent-health-interval", "200ms", "--agent-health-failures", "1", "--stop-grace", "60s")
        agent = self.process("agent", harness.example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        self.assertEqual(side.command("drain", "--wait", "--platform-enabled", "false")[0], 0)
        agent.signal(signal.SIGSTOP)
        side.wait_line("does not answer")
        seen = len(side.lines)
        agent.signal(signal.SIGCONT)
        side.wait_line("answers at", after=seen)
        self.assertTrue(side.is_probe("readyz", 503), "still drained: its pod is going away")

    def test_secret_files_are_there_before_the_agent(self):
        p = self.platform("--rate-limit", "0")
        directory = self.sub_dir()
        for i in range(20):
            p.call("POST", f"/workspaces/{p.id}/secrets", {"key": f"K{i}", "value": "v"}, token=p.token)
        side = self.sidecar(p, *FAST, "--secrets-mode", "file", "--secrets-dir", str(directory), "--agent-protocol", "none",
                            command=["/bin/sh", "-c", f"echo files $(ls {directory} | wc -l); exec sleep 1000"])
        side.wait_line("^files 20$")


if __name__ == "__main__":
    unittest.main()

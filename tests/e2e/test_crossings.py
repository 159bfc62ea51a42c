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
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})  # sigwait() takes them, whenever they come
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
signal.setitimer(signal.ITIMER_REAL, 1.5)
signal.sigwait({signal.SIGALRM})
os._exit(42)
"""


class Crossings(harness.Case):
    def test_a_drain_ends_when_the_last_held_request_gave_up(self):
        config = "stop:\n  grace: 60s\nforward:\n  hold_timeout: %s\n"
        side = self.sidecar(None, command=["sleep", "1000"], config=config % "10m")
        side.wait_probe("startupz")
        begin = time.monotonic()
        held = self.thread(side.send, "x")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_held"] == 1, "held")
        (side.dir / "sidecar.yaml").write_text(config % f"{int(time.monotonic() - begin) + 3}s")  # counted from its arrival
        code, out, err = side.command("reload")
        self.assertEqual(code, 0, out + err)
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 30, "nothing is left to wait for")
        self.assertEqual(held.result().status, 503)

    def test_a_drain_before_the_first_start_does_not_lose_the_start(self):
        p = self.platform()
        p.faults({"path": f"/workspaces/{p.id}/secrets", "status": 503})
        side = self.sidecar(p, *FAST, "--secrets-start-wait", "10m", "--stop-grace", "2s", command=harness.example_agent())
        eventually(lambda: side.control.exists() and side.command("drain")[0] == 0, "drained")
        self.assertEqual(side.agent_pids(), [])
        side.wait_line("serving again")
        p.clear_faults()
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
        side = self.sidecar(p, *FAST, "--agent-protocol", "none", "--stop-grace", "90s", command=harness.python(SLOW_42))
        side.wait_line("^up$")
        eventually(lambda: p.beat(), "registered")
        side.signal(signal.SIGTERM)
        side.wait_line("SIGTERM, then SIGKILL")
        p.call("DELETE", f"/workspaces/{p.id}")
        self.assertEqual(side.wait_exit(), 42)
        self.assertRegex(side.exit_sentence(), "word=stopped|\"word\":\"stopped\"")

    def test_a_busy_agent_that_answers_again_is_not_a_new_one(self):
        side = self.sidecar(None, "--agent-health-interval", "200ms", "--agent-health-failures", "1", "--stop-grace", "10m")
        agent = self.process("agent", harness.example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        self.assertEqual(side.command("drain", "--wait", "--platform-enabled", "false")[0], 0)
        agent.signal(signal.SIGSTOP)
        eventually(lambda: [x for x in side.lines if "does not answer" in x or "answers at" in x][-1].count("does not"), "it hangs")
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
                            "--secrets-start-wait", "2m",
                            command=["/bin/sh", "-c", f"echo files $(ls {directory} | wc -l); exec sleep 1000"])
        side.wait_line("^files 20$")


if __name__ == "__main__":
    unittest.main()

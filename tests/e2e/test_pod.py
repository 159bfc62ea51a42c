"""As in a pod: the agent is another container's process. preStop, the agent's own restart, TERM after the agent has gone, and what the
agent's socket permits."""
import os
import pathlib
import signal
import time
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent, get

CAPABILITY = "abcdefghijklmnopqrstuvwxyz012345"
DRAIN = f"/drain/{CAPABILITY}"
NOBODY = 65534


class Pod(harness.Case):
    def pod(self, *flags, **kw):
        side = self.sidecar(None, "--agent-health-interval", "200ms", "--admin-drain-path", DRAIN, *flags, **kw)
        side.wait_probe("startupz")
        return side

    def agent(self, side):
        agent = self.process("agent", example_agent("agent.py", str(side.agent_socket)))
        side.wait_ready()
        return agent

    def test_pre_stop_is_answered_when_the_work_is_done(self):
        side = self.pod("--stop-grace", "20s")
        self.agent(side)
        slow = self.thread(side.send, "slow 1")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_in_flight"] == 1, "one request is in flight")
        begin = time.monotonic()
        hook = get(side.admin, DRAIN)
        self.assertEqual((hook.status, hook.json), (200, {"drained": True}))
        self.assertGreater(time.monotonic() - begin, 0.3, "it waited for the message in flight")
        self.assertEqual(answer_text(slow.result().json), "that took 1 s")
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
        side = self.pod("--stop-grace", "30s", "--stop-drain-delay", "10s")
        agent = self.agent(side)
        agent.terminate()
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 5, "no drain delay for an agent that is not there")

    def test_without_an_agent_the_drain_delay_is_skipped_but_with_one_it_is_kept(self):
        side = self.pod("--stop-grace", "30s", "--stop-drain-delay", "1s")
        self.agent(side)
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.95)

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


if __name__ == "__main__":
    unittest.main()

"""Exit statuses, from every way an agent can end to ours; the sentence that goes with them, and where Kubernetes finds it."""
# ctest: long
# ctest: timeout=600
import concurrent.futures
import os
import pathlib
import re
import signal
import socket
import subprocess
import unittest

import harness
from harness import eventually

SH = "/bin/sh"
CODES = range(256) if not harness.IS_SLOW else (0, 1, 2, 3, 42, 70, 126, 127, 128, 137, 143, 255)
# What ends nobody by default, or stops: not ways to end.
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
# 32 and 33 are the C library's own: its posix_spawn(), which make uses, leaves them ignored in what it starts.
SIGNALS = [n for n in range(1, 65) if n not in HARMLESS and n not in (32, 33)]
if harness.IS_SLOW:
    SIGNALS = [1, 2, 9, 11, 15, 34, 64]


class Matrix(harness.Case):
    """Many tiny runs, two at a time."""

    def end_of(self, script, *flags):
        where = self.sub_dir()
        side = harness.Sidecar(where, None, [SH, "-c", script], ("--restart-policy", "never", "--agent-protocol", "none", *flags),
                               {"MOLECULE_SIDECAR_ADMIN_ADDRESS": "127.0.0.1:0"}, None)
        try:
            return side.wait_exit(), side.exit_sentence()
        finally:
            side.end()

    def check(self, scripts, expected):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            ends = list(pool.map(self.end_of, scripts))
        for script, (status, sentence), want in zip(scripts, ends, expected):
            with self.subTest(script):
                self.assertEqual(status, want, sentence)
                self.assertIn('"by":"agent"', sentence)
                self.assertIn(f'"status":{want}', sentence)

    def test_every_code(self):
        self.check([f"exit {n}" for n in CODES], CODES)

    def test_every_signal(self):
        self.check([f"ulimit -c 0; kill -{n} $$; exit 1" for n in SIGNALS], [128 + n for n in SIGNALS])


class Ends(harness.Case):
    def run_to_end(self, script, *flags, policy="never", **kw):
        side = self.sidecar(None, "--restart-policy", policy, *flags, command=[SH, "-c", script], **kw)
        return side.wait_exit(), side

    def test_success_codes_become_zero(self):
        for script, codes, want in (("exit 143", "143", 0), ("exit 3", "143,3", 0), ("exit 4", "143,3", 4), ("kill -TERM $$", "143", 0),
                                    ("kill -SEGV $$", "143", 139)):
            with self.subTest(script):
                self.assertEqual(self.run_to_end("ulimit -c 0; " + script, "--stop-success-codes", codes)[0], want)

    def test_a_success_code_is_no_failure_for_on_failure(self):
        status, side = self.run_to_end("echo ran; exit 7", "--stop-success-codes", "7", policy="on-failure")
        self.assertEqual((status, side.out.count("ran")), (0, 1))

    def test_killed_by_somebody_else(self):
        side = self.sidecar(None, "--restart-policy", "never", command=["sleep", "1000"])
        (pid,) = eventually(side.agent_pids, "it runs")
        eventually(lambda: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"), "exec is done")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(side.wait_exit(), 137)
        self.assertRegex(side.exit_sentence(), 'was ended by SIGKILL.*"by":"agent"')
        self.assertNotIn("did not end in time", side.exit_sentence())

    def test_killed_by_us_after_its_grace(self):
        side = self.sidecar(None, "--stop-grace", "1s", command=harness.test_agent("family.py", "ignore"))
        side.wait_line("^up$")
        self.assertEqual(side.terminate(), 137)
        self.assertRegex(side.exit_sentence(), 'SIGTERM; the agent did not end in time and was killed.*"by":"sidecar"')

    def test_a_real_time_signal_has_a_name(self):
        side = self.sidecar(None, "--restart-policy", "never", command=["sleep", "1000"])
        (pid,) = eventually(side.agent_pids, "it runs")
        eventually(lambda: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"), "exec is done")
        os.kill(pid, signal.SIGRTMIN + 3)
        self.assertEqual(side.wait_exit(), 128 + signal.SIGRTMIN + 3)
        self.assertIn("was ended by SIGRTMIN+3", side.exit_sentence())

    def test_a_command_that_cannot_be_executed_is_ours(self):
        side = self.sidecar(None, command=["/nonexistent/agent"])
        self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(side.exit_sentence(), 'cannot exec /nonexistent/agent.*"by":"sidecar"')


class TerminationMessage(harness.Case):
    def setUp(self):
        super().setUp()
        self.message = self.dir / "termination-log"
        self.message.write_text("x" * 3000)

    def flags(self):
        return ("--log-termination-file", self.message)

    def test_the_agents_end(self):
        side = self.sidecar(None, "--restart-policy", "never", *self.flags(), command=[SH, "-c", "exit 42"])
        self.assertEqual(side.wait_exit(), 42)
        self.assertRegex(self.message.read_text(), r"^stopped: the agent exited with status 42 after \S+ \(by=agent, exit status 42\)\n$")

    def test_a_stop(self):
        side = self.sidecar(None, *self.flags(), command=["sleep", "1000"])
        side.wait_probe("startupz")
        self.assertEqual(side.terminate(), 0)
        self.assertEqual(self.message.read_text(), "stopped: SIGTERM (by=sidecar, exit status 0)\n")

    def test_the_word_of_the_platform(self):
        for word, act, flags in (("paused", "pause", ("--platform-on-paused", "exit")), ("removed", None, ("--platform-on-removed", "exit"))):
            with self.subTest(word):
                p = self.platform()
                side = self.sidecar(p, "--platform-state-interval", "200ms", *flags, *self.flags(), command=harness.example_agent())
                side.wait_ready()
                p.wait_status("online")
                if act:
                    p.call("POST", f"/workspaces/{p.id}/{act}")
                else:
                    p.call("DELETE", f"/workspaces/{p.id}?confirm=true")
                self.assertEqual(side.wait_exit(), 0)
                self.assertRegex(self.message.read_text(), rf"^{word}: .*\(by=sidecar, exit status 0\)\n$")
                self.assertIn(f'"word":"{word}"', side.exit_sentence())

    def test_max_iterations(self):
        p = self.platform()
        side = self.sidecar(p, "--platform-heartbeat-interval", "100ms", "--platform-max-iterations", "2", *self.flags(),
                            command=["sleep", "1000"])
        self.assertEqual(side.wait_exit(), 0)
        self.assertRegex(self.message.read_text(), "^max_iterations: ")

    def test_what_cannot_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            side = self.sidecar(None, "--listen-address", f"127.0.0.1:{port}", *self.flags(), command=["sleep", "1"])
            self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(self.message.read_text(), r"^stopped: cannot start: .*127\.0\.0\.1.*\(by=sidecar, exit status 2\)\n$")

    def test_nothing_is_made_where_nothing_is(self):
        self.message.unlink()
        side = self.sidecar(None, "--restart-policy", "never", *self.flags(), command=["true"])
        self.assertEqual(side.wait_exit(), 0)
        self.assertFalse(self.message.exists())

    def test_a_link_is_not_followed(self):
        target = self.dir / "target"
        target.write_text("mine")
        self.message.unlink()
        self.message.symlink_to(target)
        side = self.sidecar(None, "--restart-policy", "never", *self.flags(), command=["true"])
        self.assertEqual(side.wait_exit(), 0)
        self.assertEqual(target.read_text(), "mine")

    def test_a_bad_configuration_is_told_at_the_default_place(self):
        """Nobody knows yet which file the configuration would have named: Kubernetes' own, put into a /dev of the test's."""
        new_dev = ["unshare", "--user", "--map-root-user", "--mount", SH, "-c",
                   "mount -t tmpfs none /dev && : >/dev/termination-log && :>/dev/null && \"$@\"; status=$?; cat /dev/termination-log; exit $status", SH]
        if subprocess.run([*new_dev, "true"], capture_output=True, timeout=120, check=False).returncode != 0:
            self.skipTest("no mount namespaces here")
        side = self.sidecar(None, "--stop-grace", "soon", command=["true"], program=[*new_dev, harness.SIDECAR])
        self.assertEqual(side.wait_exit(), 2)
        self.assertTrue(any(re.match(r"stopped: cannot start: .*stop.grace.*\(by=sidecar, exit status 2\)$", line) for line in side.out), side.text())


if __name__ == "__main__":
    unittest.main()

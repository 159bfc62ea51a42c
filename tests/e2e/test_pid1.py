"""As the first process of a container: a PID namespace of the test's own."""
import os
import shutil
import subprocess
import unittest

import harness

UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
if os.geteuid() != 0:
    UNSHARE[1:1] = ["--user", "--map-root-user"]


def is_possible():
    return shutil.which("unshare") and subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10).returncode == 0


@unittest.skipUnless(is_possible(), "no PID namespaces here")
class Pid1(harness.Case):
    def run_as_pid1(self, script, *flags):
        side = self.sidecar(None, *flags, command=["sh", "-c", script], program=[*UNSHARE, harness.SIDECAR])
        return side, side.wait_exit()

    def test_the_agents_status_becomes_the_containers(self):
        side, status = self.run_as_pid1('case $(cat /proc/1/comm) in molecule-*) exit 42;; esac; exit 9', "--restart-policy", "never")
        self.assertEqual(status, 42, side.text())

    def test_orphans_of_others_are_reaped_and_nothing_stays_a_zombie(self):
        script = r"""
            for i in 1 2 3 4 5 6 7 8 9 10; do ( ( exec true ) & ) ; done
            tries=0
            while [ -n "$(cat /proc/[0-9]*/stat 2>/dev/null | grep ') Z ')" ]; do
                tries=$((tries + 1)); [ $tries -lt 2000 ] || exit 9
            done
            exit 0"""
        side, status = self.run_as_pid1(script)
        self.assertEqual(status, 0, side.text())

    def test_term_reaches_the_agent_and_its_code_counts(self):
        script = "trap 'exit 7' TERM; kill -TERM 1; while :; do read -r line < /proc/uptime; done"
        side, status = self.run_as_pid1(script, "--stop-grace", "10s")
        self.assertEqual(status, 7, side.text())


if __name__ == "__main__":
    unittest.main()

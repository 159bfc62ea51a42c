"""At the end nobody below us survives: daemons, stopped ones, grandchildren with groups of their own, storms of forks. As child
subreaper, as PID 1 of a PID namespace, and with a control group of the agent's own; and orphans while all is well."""
# ctest: long
# ctest: timeout=600
# ctest: serial
import os
import pathlib
import signal
import subprocess
import time
import unittest

import harness
from harness import eventually

FAMILY = ("daemon", "deaf-daemon", "stopped", "grandchild", "deaf-parent")
GRACE = ("--stop-grace", "8s", "--stop-agent-grace", "5s")  # what hears TERM has to come to it within that; what is deaf takes it all
NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Endings:
    """The tests of both ways to be the parent of orphans; `self.run_clan` says which."""

    def end(self, side, first, agent_status=0):
        family = harness.descendants(first)
        os.kill(first, signal.SIGTERM)
        self.assertEqual(side.wait_exit(60), agent_status)
        left = [pid for pid, started in family if harness.start_time(pid) == started and harness.is_alive(pid)]
        self.assertEqual(left, [], "somebody survives")
        eventually(lambda: not side.is_reading(), "everybody who had its output has gone, also who came later")
        return family

    def test_every_kind_of_descendant_ends(self):
        side, first = self.run_clan(*GRACE, command=harness.test_agent("clan.py", "family"))
        for name in FAMILY:
            side.wait_line(f"^born {name}$")
        eventually(lambda: any(state_of(pid) == "T" for pid, _ in harness.descendants(first)), "one of them is stopped")
        family = self.end(side, first)
        self.assertGreaterEqual(len(family), 1 + len(FAMILY))
        for name in ("daemon", "stopped", "grandchild"):
            self.assertIn(f"{name} got TERM", side.out, "it was asked first")

    def test_a_storm_of_forks_ends(self):
        side, first = self.run_clan(*GRACE, command=harness.test_agent("clan.py", "storm", "400"))
        side.wait_line("^storm$")
        eventually(lambda: len(harness.descendants(first)) > 20, "it is under way")
        self.end(side, first)
        self.assertFalse(any("survives" in line for line in side.err), side.text())

    def test_the_agents_own_code_is_kept_while_its_clan_is_killed(self):
        side, first = self.run_clan(*GRACE, "--restart-policy", "never",
                                    command=["/bin/sh", "-c", 'trap "exit 42" TERM; "$@" & while :; do wait; done', "sh",
                                             *harness.test_agent("clan.py", "family")])
        for name in FAMILY:
            side.wait_line(f"^born {name}$")
        self.end(side, first, 42)


class AsSubreaper(Endings, harness.Case):
    def run_clan(self, *flags, command):
        side = self.sidecar(None, *flags, command=command)
        side.wait_probe("startupz")
        return side, side.pid

    def test_nobody_survives_the_end_of_the_budget(self):
        """A third TERM, while the clan is deaf: KILL at once, and we are gone only when it is."""
        side, first = self.run_clan("--stop-grace", "60s", command=harness.test_agent("clan.py", "family"))
        for name in FAMILY:
            side.wait_line(f"^born {name}$")
        family = harness.descendants(first)
        side.signal(signal.SIGTERM)
        side.wait_line("grandchild got TERM")
        begin = time.monotonic()
        side.signal(signal.SIGTERM)
        side.wait_line("not waiting")
        side.signal(signal.SIGTERM)
        side.wait_exit()
        self.assertLess(time.monotonic() - begin, 25, "not the whole grace")
        self.assertEqual([pid for pid, started in family if harness.start_time(pid) == started and harness.is_alive(pid)], [])


class AsFirstProcess(Endings, harness.Case):
    def run_clan(self, *flags, command):
        if subprocess.run([*NAMESPACE, "true"], capture_output=True, timeout=60, check=False).returncode != 0:
            self.skipTest("no PID namespaces here")
        side = self.sidecar(None, *flags, command=command, program=[*NAMESPACE, harness.SIDECAR])
        side.wait_probe("startupz")
        (first,) = harness.children(side.pid)
        return side, first


class Orphans(harness.Case):
    def test_many_are_counted_and_named(self):
        side = self.sidecar(command=harness.test_agent("clan.py", "orphans", "150"))
        side.wait_line("^forked$", 60)
        eventually(lambda: side.metrics()["molecule_sidecar_reaped_children_total"] >= 150, "all are reaped")
        line = side.wait_line("many orphans are reaped, 100 within")
        self.assertRegex(line, r"litter \d+, chaff \d+")
        eventually(lambda: len(side.agent_pids()) == 1, "none is left as a zombie")
        _, status, _ = side.command("status", "--json")
        self.assertRegex(status, r'"orphans_often": ?"litter \d+, chaff \d+')

    def test_few_are_not_worth_a_line(self):
        side = self.sidecar(command=harness.test_agent("clan.py", "orphans", "20"))
        side.wait_line("^forked$", 60)
        eventually(lambda: side.metrics()["molecule_sidecar_reaped_children_total"] >= 20, "all are reaped")
        side.terminate()
        self.assertNotIn("many orphans", side.text())


class ControlGroup(harness.Case):
    """Where version 2 groups can be made: the agent has one of its own, and one write ends all in it."""

    def group(self):
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            ours = pathlib.Path(mount) / f"molecule-test-{os.getpid()}"
            try:
                if (pathlib.Path(mount) / "cgroup.controllers").exists():
                    ours.mkdir()
                    self.addCleanup(self.remove, ours)
                    return ours
            except OSError:
                continue
        return self.skipTest("no version 2 control group that may be divided here")

    def remove(self, group):
        def is_removed():
            for inner in (group / "agent", group):
                if inner.exists():
                    inner.rmdir()
            return not group.exists()
        eventually(is_removed, "the groups are empty and gone")

    def test_the_agent_runs_and_ends_in_a_group_of_its_own(self):
        group = self.group()
        if not (group / "cgroup.kill").exists():
            self.skipTest("no cgroup.kill here")
        # not below us in the tree of processes: only the group knows it
        stranger = self.start(harness.Process("stranger", ["sleep", "1000"], harness.clean_environment(self.dir), self.dir))
        side = self.sidecar(None, "--stop-grace", "5s", "--log-level", "debug", command=harness.test_agent("clan.py", "stubborn"),
                            env={"INVOCATION_ID": None},
                            preexec=lambda: (group / "cgroup.procs").write_text("0"))
        side.wait_line("^born deaf-daemon$")
        side.wait_line("control group of its own")
        for pid, _ in harness.descendants(side.pid):
            self.assertIn(f"{group.name}/agent\n", pathlib.Path(f"/proc/{pid}/cgroup").read_text())
        (group / "agent" / "cgroup.procs").write_text(str(stranger.pid))
        self.assertEqual(side.terminate(), 0)
        self.assertEqual(stranger.wait_exit(), -signal.SIGKILL, "ended with the group")

    def test_systemd_must_have_delegated_it(self):
        group = self.group()
        side = self.sidecar(None, "--log-level", "debug", command=["sleep", "1000"], env={"INVOCATION_ID": "0" * 32},
                            preexec=lambda: (group / "cgroup.procs").write_text("0"))
        side.wait_line("has not delegated")
        self.assertFalse((group / "agent").exists())
        self.assertEqual(side.terminate(), 0)

    def test_a_group_with_others_in_it_is_not_ours(self):
        side = self.sidecar(None, "--log-level", "debug", command=["sleep", "1000"], env={"INVOCATION_ID": None})
        side.wait_line("no control group of the agent's own")
        self.assertEqual(side.terminate(), 0)


if __name__ == "__main__":
    unittest.main()

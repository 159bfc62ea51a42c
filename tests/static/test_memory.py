"""What the static program takes of the memory at rest: alone, and registered with the platform next to an agent that answers. The bars are those
of the sizing tables; what is measured is in docs/performance.md. Only here: other builds have their libraries, or a sanitizer, in it."""
import os
import pathlib
import unittest

import harness
from harness import example_agent

MIB = 1024  # KiB, as smaps_rollup counts
RESIDENT_MAX_KIB = 8 * MIB
PRIVATE_DIRTY_MAX_KIB = 2 * MIB


def rollup(pid):
    """{name: KiB} of /proc/PID/smaps_rollup."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}


def is_readable():
    try:
        return "Private_Dirty" in rollup(os.getpid())
    except OSError:
        return False


@unittest.skipUnless(is_readable(), "/proc/PID/smaps_rollup cannot be read here")
class Memory(harness.Case):
    def assert_small(self, side):
        now = rollup(side.pid)
        if now.get("AnonHugePages"):
            self.skipTest("this kernel gives pages of 2 MiB unasked (transparent_hugepage: always)")
        said = f"{now['Rss']} KiB resident, {now['Private_Dirty']} KiB of it private and dirty"
        self.assertGreater(now["Rss"], now["Private_Dirty"], said)
        self.assertLessEqual(now["Rss"], RESIDENT_MAX_KIB, said)
        self.assertLessEqual(now["Private_Dirty"], PRIVATE_DIRTY_MAX_KIB, said)

    def agent(self):
        port = harness.free_port()
        self.process("agent", example_agent(), env={"PORT": port})
        return "--agent-address", f"http://127.0.0.1:{port}"

    def test_without_a_platform(self):
        side = self.sidecar(None, "--platform-enabled", "false", *self.agent())
        side.wait_ready()
        self.assert_small(side)

    def test_registered(self):
        platform = self.platform()
        side = self.sidecar(platform, *self.agent())
        side.wait_ready()
        platform.wait_status("online")
        platform.wait_call(f"/workspaces/{platform.id}/activity", "GET", status=200)  # it polls: the journal is open
        self.assert_small(side)


if __name__ == "__main__":
    unittest.main()

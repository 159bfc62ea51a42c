"""At rest nothing wakes the process but the timers that are due."""
import pathlib
import socket
import time
import unittest

import harness
from harness import eventually

REST_S = 4         # how long nothing may happen
WATCHDOG_MS = 300  # a service manager's; we feed it twice in that time
FED = 20


def wake_ups(pid):
    """A thread goes to sleep once more after each wake-up; being pushed off a busy core does not count."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


class AtRest(harness.Case):
    FLAGS = ("--agent-protocol", "none")

    def test_nothing_is_due_and_nothing_happens(self):
        """After the start, silence: something that came back every few seconds would never let it last."""
        side = self.sidecar(None, *self.FLAGS, command=["sleep", "1000"])
        side.wait_probe("readyz")
        seen = [None, 0.0]  # the count, and since when it stands

        def is_silent():
            now, count = time.monotonic(), wake_ups(side.pid)
            if count != seen[0]:
                seen[:] = [count, now]
            return now - seen[1] > REST_S

        eventually(is_silent, f"{REST_S} silent seconds after the start", 60)

    def test_a_watchdog_is_one_wake_up_each_time(self):
        path = self.sub_dir() / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(path))
            manager.settimeout(harness.PATIENCE)
            side = self.sidecar(None, *self.FLAGS, command=["sleep", "1000"],
                                env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": WATCHDOG_MS * 1000, "WATCHDOG_PID": None})
            side.wait_probe("readyz")

            def fed():
                while "WATCHDOG=1" not in manager.recv(4096).decode():
                    pass

            for _ in range(FED // 2):  # by then the start is over
                fed()
            before = wake_ups(side.pid)
            for _ in range(FED):
                fed()
            # it may not be asleep again at either look
            self.assertAlmostEqual(wake_ups(side.pid) - before, FED, delta=1)


if __name__ == "__main__":
    unittest.main()

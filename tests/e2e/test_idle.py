"""At rest nothing wakes the process but the timers that are due."""
import contextlib
import pathlib
import select
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
            manager.setblocking(False)
            side = self.sidecar(None, *self.FLAGS, command=["sleep", "1000"],
                                env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": WATCHDOG_MS * 1000, "WATCHDOG_PID": None})
            side.wait_probe("readyz")

            watched = Watched(side.pid, manager)
            watched.wait(FED // 2)  # by then the start is over
            end = time.monotonic() + harness.PATIENCE
            while True:
                watched.was_full = False
                before = watched.look()
                watched.wait(FED)
                fed, woken = (now - then for now, then in zip(watched.look(), before))
                if not watched.was_full:
                    break
                self.assertLess(time.monotonic(), end, "we are never in time to read what it says")
            # it may not be asleep again at either look
            self.assertAlmostEqual(woken, fed, delta=1)


class Watched:
    """What a watchdog was told, and how often the process woke up."""

    ROOM = 8  # the socket has room for ten: who finds so many may have made the process wait, or miss one

    def __init__(self, pid, manager):
        self.pid, self.manager, self.count, self.was_full = pid, manager, 0, False

    def take(self):
        """All that was said by now; how many it was."""
        waiting = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.count += "WATCHDOG=1" in self.manager.recv(4096).decode()
                waiting += 1
        self.was_full |= waiting >= self.ROOM
        return waiting

    def wait(self, more):
        until = self.count + more
        while self.count < until:
            if not select.select([self.manager], [], [], harness.PATIENCE)[0]:
                raise AssertionError("it is not fed any more")
            self.take()

    def look(self):
        """(times it was fed, wake-ups): of one moment."""
        self.take()
        while True:
            found = self.count, wake_ups(self.pid)
            if self.take() == 0:
                return found


if __name__ == "__main__":
    unittest.main()

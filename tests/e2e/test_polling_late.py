# ctest: long
# ctest: timeout=480
"""An answer that was lost, found out by the silence of the feed: that takes more than two minutes."""
import unittest

import test_polling
from harness import PATIENCE, eventually

LATE = 130 + 6 * PATIENCE  # the silence of the feed is believed 130 s after the sidecar found the answer


class Late(test_polling.Polling):
    def test_killed_while_answering_and_it_had_not_arrived(self):
        side = self.run_fast()
        self.person("same 0")
        self.wait_state(side, "answered")
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "hang": True, "count": 1})
        self.person("same 1")
        self.wait_state(side, "answered", "answering")
        test_polling.killed(side)
        side = self.run_fast()
        eventually(lambda: len(self.answers()) == 2, "the second answer", LATE)
        self.wait_state(side, "answered", "answered")
        self.assertEqual(self.answers(), ["the same words"] * 2)
        self.assertEqual(self.heard(), ["same 0", "same 1"])


if __name__ == "__main__":
    unittest.main()

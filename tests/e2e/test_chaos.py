"""Polled messages while sidecar, agent and platform are killed: none is lost, none is answered twice (tests/support/chaos.py).

CHAOS_MESSAGES, CHAOS_KILLS and CHAOS_SEED make it longer or another one; `make chaos` does.
"""
# ctest: long
# ctest: timeout=480
import os

import chaos
import harness


class Chaos(harness.Case):
    def test_nothing_is_lost_and_nothing_is_doubled(self):
        run = chaos.Chaos(self, seed=int(os.environ.get("CHAOS_SEED", "1")), messages=int(os.environ.get("CHAOS_MESSAGES", "240")),
                          kills=int(os.environ.get("CHAOS_KILLS", "40")))
        run.run()

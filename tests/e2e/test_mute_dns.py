"""A name server that takes questions and never answers: nothing of ours waits for it. Needs a network namespace (an unprivileged one will do)."""
# ctest: long
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import unittest
import uuid

import harness
from harness import example_agent

LONG_S = 25  # for what takes milliseconds on a machine that does nothing else
NAMESPACE = ["unshare", "--map-root-user", "--user", "--net", "--mount"]


def namespaces_work():
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@unittest.skipUnless("INSIDE_NAMESPACE" in os.environ or namespaces_work(), "no user namespaces here")
class MuteNameServer(harness.Case):
    """The test runs itself again inside the namespace, where 127.0.0.1:53 is ours."""

    def test_from_outside(self):
        resolv = self.dir / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:2\n")
        script = f'ip link set lo up && mount --bind {resolv} /etc/resolv.conf && exec "$@"'
        env = {**os.environ, "INSIDE_NAMESPACE": "1"}
        r = subprocess.run([*NAMESPACE, "sh", "-c", script, "sh", sys.executable, "-B", "-m", "unittest", "-v", "test_mute_dns.Inside"],
                           env=env, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, timeout=800)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertNotIn("skipped", r.stderr)


if os.environ.get("INSIDE_NAMESPACE"):
    class Inside(harness.Case):
        def test_nothing_waits_for_it(self):
            mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(mute.close)
            mute.bind(("127.0.0.1", 53))
            mute.settimeout(harness.PATIENCE)
            side = self.sidecar(None, "--platform-enabled", "true", "--platform-url", "http://platform.example:8080",
                                "--platform-heartbeat-interval", "500ms", "--secrets-start-wait", "300ms", "--stop-grace", "60s",
                                command=example_agent(), env={"WORKSPACE_ID": str(uuid.uuid4()), "MOLECULE_WORKSPACE_TOKEN": harness.TOKEN})
            self.assertIn(b"platform", mute.recv(4096), "it was asked")
            # before the first heartbeat gives up, after which the next one is late
            end = time.monotonic() + 5.5
            side.wait_ready()
            slowest = 0
            while time.monotonic() < end:
                begin = time.monotonic()
                self.assertEqual(side.send("x").status, 200)
                slowest = max(slowest, time.monotonic() - begin)
            self.assertLess(slowest, LONG_S, "a lookup that blocked would take 60 seconds")
            code, out, err = side.command("status", "--json")
            self.assertEqual(code, 0, err)
            self.assertLessEqual(json.loads(out)["platform"]["heartbeat"]["worst_late_ms"], LONG_S * 1000)
            begin = time.monotonic()
            self.assertEqual(side.terminate(), 0)
            self.assertLess(time.monotonic() - begin, LONG_S, "nor does the end wait for one")


if __name__ == "__main__":
    unittest.main()

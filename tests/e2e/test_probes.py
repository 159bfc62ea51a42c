"""The probes in every state of design section 6: started, ready, live, and the agent's own health."""
# ctest: long
import json
import os
import pathlib
import signal
import unittest

import harness
from harness import eventually, example_agent, get, python

FAST = ("--agent-health-interval", "200ms", "--platform-state-interval", "200ms", "--platform-heartbeat-interval", "200ms")


class Probes(harness.Case):
    def shape(self, side, **expected):
        for name, status in expected.items():
            self.assertEqual(get(side.admin, f"/{name}").status, status, name)

    def test_answers_are_one_line_of_json(self):
        side = self.sidecar(None, *FAST, command=example_agent()).wait_ready()
        for name in ("startupz", "readyz", "livez", "healthz", "agentz"):
            a = get(side.admin, f"/{name}")
            self.assertEqual((a.status, a.text.strip().count("\n")), (200, 0), name)
            self.assertIsInstance(a.json, dict)
            verbose = get(side.admin, f"/{name}?verbose")
            self.assertGreaterEqual(len(verbose.text), len(a.text))
            self.assertEqual(harness.call(side.admin, "HEAD", f"/{name}").status, 200)
        self.assertEqual(get(side.admin, "/nothing-here").status, 404)
        self.assertNotEqual(get(side.port, "/healthz").status, 200, "not on the A2A port: paths there are the agent's")

    def test_starting(self):
        side = self.sidecar(None, *FAST, command=["sleep", "1000"])
        side.wait_probe("startupz")
        self.shape(side, readyz=503, livez=200, healthz=200, agentz=503)
        self.assertTrue(side.probe("readyz")[1], "with a reason")

    def test_without_a_child(self):
        side = self.sidecar(None, *FAST)
        side.wait_probe("startupz")
        self.shape(side, readyz=503, livez=200, agentz=503)

    def test_platform_down_from_the_start(self):
        side = self.sidecar(None, *FAST, "--platform-enabled", "true", "--platform-url", f"http://127.0.0.1:{harness.free_port()}",
                            "--secrets-start-wait", "200ms", command=example_agent(),
                            env={"WORKSPACE_ID": "6f1c3a52-0d1e-4b7e-9a35-0c8f1f5a2b10", "MOLECULE_WORKSPACE_TOKEN": harness.TOKEN})
        side.wait_ready()
        self.shape(side, startupz=200, readyz=200, livez=200)

    def test_a_hung_agent_is_not_ready_and_wedged(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, *FAST, "--agent-health-failures", "2", command=harness.test_agent("hangs.py")).wait_ready()
        (pid,) = side.agent_pids()
        os.kill(pid, signal.SIGUSR1)
        side.wait_line("^hangs$")
        side.wait_probe("readyz", 503)
        self.shape(side, livez=200, agentz=503)
        eventually(lambda: p.beat().get("runtime_state") == "wedged", "wedged is told")
        os.kill(pid, signal.SIGUSR1)
        side.wait_ready()
        eventually(lambda: p.beat().get("runtime_state", "") == "", "and its end")

    def test_held_is_live_but_not_ready(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, *FAST, command=example_agent()).wait_ready()
        p.call("POST", f"/workspaces/{p.id}/pause")
        side.wait_probe("readyz", 503)
        self.shape(side, startupz=200, livez=200)

    def test_draining_is_live_but_not_ready(self):
        agent, go = self.gate()
        side = self.sidecar(None, *FAST, "--stop-grace", "60s", command=agent).wait_ready()
        slow = self.thread(side.send, "x")
        side.wait_line("^asked 1")
        side.signal(signal.SIGTERM)
        side.wait_probe("readyz", 503)
        self.shape(side, livez=200)
        go()
        self.assertEqual(slow.result().status, 200)
        self.assertEqual(side.wait_exit(), 0)

    def test_an_agent_lost_for_good_ends_the_wrapper(self):
        side = self.sidecar(None, *FAST, "--restart-backoff", "20ms", "--restart-max", "2", command=["/bin/sh", "-c", "exit 9"])
        self.assertEqual(side.wait_exit(), 9)

    def test_health_command(self):
        side = self.sidecar(None, *FAST, command=example_agent()).wait_ready()
        flags = ("--admin-address", f"127.0.0.1:{side.admin}", "--platform-enabled", "false")
        for word in ((), ("started",), ("ready",), ("live",)):
            code, out, err = side.command("health", *word, *flags)
            self.assertEqual((code, out.strip().count("\n")), (0, 0), (word, out, err))
        side.terminate()
        code, out, err = side.command("health", *flags)
        self.assertEqual(code, 1)
        self.assertTrue(out + err)

    def test_status_command(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, command=example_agent()).wait_ready()
        p.wait_status("online")
        code, out, err = side.command("status", "--json")
        self.assertEqual(code, 0, err)
        status = json.loads(out)
        self.assertEqual((status["state"], status["workspace"]), ("running", p.id))
        self.assertNotIn(p.token, out)
        code, out, err = side.command("status")
        self.assertEqual(code, 0, err)
        self.assertIn(p.id, out)

    def test_metrics(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, command=example_agent()).wait_ready()
        p.wait_status("online")
        for _ in range(3):
            self.assertEqual(side.send("x").status, 200)
        eventually(lambda: side.metrics()['molecule_sidecar_requests_total{outcome="ok"}'] == 3, "three are counted")
        m = side.metrics()
        self.assertEqual(m['molecule_sidecar_state{state="running"}'], 1)
        eventually(lambda: side.metrics()["molecule_sidecar_registered"] == 1, "registered")
        self.assertTrue(any(k.startswith("molecule_sidecar_build_info{") for k in m))
        self.assertTrue(any(k.startswith("molecule_sidecar_request_duration_seconds_bucket{") for k in m))


if __name__ == "__main__":
    unittest.main()

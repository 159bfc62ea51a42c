"""Answers that a platform, or what stands before it, gives on bad days. None of them stops the agent or creates anything."""
# ctest: timeout=300
# ctest: long
import unittest

import harness
from harness import answer_text, example_agent

FAST = ("--stop-grace", "30s", "--platform-heartbeat-interval", "200ms", "--platform-state-interval", "200ms")


class Odd(harness.Case):
    def start_all(self, *flags, faults=(), token=harness.TOKEN, **kw):
        self.p = self.platform("--rate-limit", "0", token=token)
        if faults:
            self.p.faults(*faults)
        self.side = self.sidecar(self.p, *FAST, *flags, command=example_agent(), **kw).wait_ready()

    def assert_serving(self):
        self.assertEqual(answer_text(self.side.send("x").json), "you said: x")

    def test_state_that_says_deleted(self):
        self.start_all()
        self.p.wait_status("online")
        self.p.faults({"path": f"/workspaces/{self.p.id}/state", "status": 404,
                       "body": {"workspace_id": self.p.id, "deleted": True, "status": "removed"}})
        self.assertEqual(self.side.wait_exit(), 0)
        self.assertRegex(self.side.exit_sentence(), "removed")

    def test_success_in_html(self):
        html = {"status": 200, "body": "<!doctype html><title>sign in</title>", "content_type": "text/html"}
        self.start_all(faults=[{"path": "/registry/", **html}, {"path": "/workspaces/", **html}])
        self.p.wait_call(f"/workspaces/{self.p.id}", count=2)
        self.assert_serving()
        self.assertEqual(self.side.metrics()["molecule_sidecar_registered"], 0)
        self.p.clear_faults()
        self.p.wait_status("online")

    def test_redirects_are_not_followed(self):
        self.start_all(faults=[{"path": "/registry/", "status": 307}])
        self.p.wait_call("/registry/register")
        self.assert_serving()

    def test_empty_404_of_a_tenant_guard_is_no_removal(self):
        self.start_all()
        self.p.wait_status("online")
        self.p.faults({"path": "/workspaces/", "status": 404, "body": "", "content_type": "text/plain"})
        seen = self.p.last_seq()
        self.p.wait_call(f"/workspaces/{self.p.id}/state", since=seen, count=3)
        self.assert_serving()
        self.assertTrue(self.side.is_running())

    def test_the_minting_answer_is_lost(self):
        self.p = self.platform("--rate-limit", "0", token="")
        self.p.faults({"path": "/registry/register", "drop": True, "after": True, "count": 1})
        side = self.sidecar(self.p, *FAST, command=example_agent())
        self.p.wait_call("/registry/register", count=2)
        side.wait_line("token")
        tries = len(self.p.log("/registry/register"))
        self.assertLessEqual(tries, 3, "register is not looped on 401")
        if not side.is_running():
            self.assertEqual(side.wait_exit(), 3)

    def test_garbage_instead_of_json(self):
        self.start_all()
        self.p.wait_status("online")
        self.p.faults({"path": "/registry/heartbeat", "status": 200, "body": "{\"status\":", "count": 3},
                      {"path": f"/workspaces/{self.p.id}/state", "status": 200, "body": "[]", "count": 3})
        seen = self.p.last_seq()
        self.p.wait_call("/registry/heartbeat", since=seen, count=5)
        self.assert_serving()

    def test_server_errors_back_off_and_recover(self):
        self.start_all()
        self.p.wait_status("online")
        self.p.faults({"path": "/registry/heartbeat", "status": 500, "body": {"error": "failed to update"}, "count": 2})
        seen = self.p.last_seq()
        self.p.wait_call("/registry/heartbeat", since=seen, status=200)
        self.assert_serving()

    def test_limits_of_an_edge(self):
        self.start_all()
        self.p.wait_status("online")
        seen = self.p.last_seq()
        self.p.faults({"path": "/registry/heartbeat", "status": 429, "retry_after": 2, "count": 1, "body": {"error": "rate limit exceeded", "retry_after": 2}})
        (limited,) = self.p.wait_call("/registry/heartbeat", since=seen, status=429)
        later = self.p.wait_call("/registry/heartbeat", since=limited["seq"])[0]
        self.assertGreaterEqual(later["at_ms"] - limited["at_ms"], 1900, "Retry-After is a floor")

    def test_secrets_that_cannot_be_decrypted(self):
        self.start_all(faults=[{"path": "/workspaces/*/secrets/values", "status": 500,
                                "body": {"error": "failed to decrypt", "failed_keys": ["workspace:OPENAI_KEY"]}}])
        self.side.wait_line("OPENAI_KEY")
        self.assert_serving()

    def test_a_shrunken_set_of_secrets_is_asked_for_twice(self):
        self.p = self.platform("--rate-limit", "0")
        for key in ("K", "L"):
            self.p.call("POST", f"/workspaces/{self.p.id}/secrets", {"key": key, "value": "one"}, token=self.p.token)
        self.side = self.sidecar(self.p, *FAST, "--secrets-refresh", "300ms", "--secrets-on-change", "restart",
                                 command=harness.test_agent("show_secrets.py"))
        self.side.wait_line("^K=one")
        seen = self.p.last_seq()
        self.p.faults({"path": "/workspaces/*/secrets/values", "status": 200, "body": {}, "count": 1})
        self.p.wait_call(f"/workspaces/{self.p.id}/secrets/values", since=seen, count=4)
        self.assertEqual([l for l in self.side.out if l.startswith("K=-")], [], "one empty answer does not restart the agent")

    def test_the_workspace_is_another_ones_now(self):
        """Another instance registers with another URL while we run: we do not fight for it."""
        self.start_all()
        self.p.wait_status("online")
        registrations = self.p.state()["registrations"]
        self.p.call("POST", "/registry/register", {"id": self.p.id, "agent_card": {"name": "other"}, "delivery_mode": "poll"}, token=self.p.token)
        seen = self.p.last_seq()
        self.p.wait_call("/registry/heartbeat", since=seen, count=5)
        self.assertLessEqual(self.p.state()["registrations"], registrations + 2)

    def test_paused_then_removed(self):
        self.start_all()
        self.p.wait_status("online")
        self.p.call("POST", f"/workspaces/{self.p.id}/pause")
        self.side.wait_probe("readyz", 503)
        self.p.call("DELETE", f"/workspaces/{self.p.id}")
        self.assertEqual(self.side.wait_exit(), 0)
        self.assertRegex(self.side.exit_sentence(), "removed")

    def test_failed_is_lifted_by_register(self):
        self.start_all()
        self.p.wait_status("online")
        self.p.call("POST", f"/workspaces/{self.p.id}/pause")
        self.p.call("POST", f"/workspaces/{self.p.id}/resume")
        self.p.wait_status("online")

    def test_a_second_sidecar_waits_its_turn(self):
        """One state directory, two starts one after the other: the kept token is used, none is minted."""
        where = self.sub_dir()
        self.start_all(token="", directory=where)
        self.p.wait_status("online")
        self.assertEqual(self.side.terminate(), 0)
        for _ in range(3):
            side = self.sidecar(self.p, *FAST, command=example_agent(), directory=where).wait_ready()
            self.assertEqual(side.terminate(), 0)
        self.assertEqual(self.p.state()["live_tokens"], 1)


if __name__ == "__main__":
    unittest.main()

"""The sidecar and its platform: registering, beating, pausing, removal, lost tokens, outages, secrets."""
# ctest: timeout=300
import json
import os
import signal
import stat
import time
import unittest
import uuid

import harness
from harness import answer_text, eventually, example_agent, get, python

FAST = ("--platform-heartbeat-interval", "200ms", "--platform-state-interval", "200ms")


class Registering(harness.Case):
    def test_bootstrap_mints_and_keeps_a_token(self):
        p = self.platform(token="")
        where = self.sub_dir()
        side = self.sidecar(p, *FAST, "--stop-grace", "90s", command=example_agent(), directory=where)
        side.wait_ready()
        p.wait_status("online")
        eventually(lambda: [f for f in side.state_dir.rglob("*") if f.name == ".auth_token"], "the token is written")
        kept = [f for f in side.state_dir.rglob("*") if f.is_file() and "token" in f.name]
        self.assertEqual(len(kept), 1, kept)
        self.assertEqual(stat.S_IMODE(kept[0].stat().st_mode), 0o600)
        token = kept[0].read_text().strip()
        self.assertEqual(p.call("GET", f"/workspaces/{p.id}/state", token=token).status, 200)
        self.assertEqual(side.terminate(), 0)
        self.assertNotIn(token, side.text(), "never in the log")
        again = self.sidecar(p, *FAST, command=example_agent(), directory=where)
        again.wait_ready()
        p.wait_call("/registry/register", count=2, status=200)
        self.assertEqual(p.state()["live_tokens"], 1, "the kept one was used")

    def test_what_is_registered(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, command=example_agent(), push=True).wait_ready()
        port = side.port
        card = eventually(lambda: (p.state()["agent_card"] or {}).get("name") == "echo" and p.state()["agent_card"], "the agent's card")
        self.assertEqual((p.state()["delivery_mode"], p.state()["url"]), ("push", f"http://localhost:{port}"))
        for url in [card.get("url", "")] + [i["url"] for i in card.get("supportedInterfaces", [])]:
            self.assertNotIn("http://localhost/", url + "/" if url == "http://localhost" else url.replace(f":{port}", ""), "not the agent's own")
        body = p.log("/registry/register")[0]["body"]
        self.assertEqual((body["id"], body["delivery_mode"]), (p.id, "push"))
        entry = p.log("/registry/register")[0]
        self.assertEqual(entry["origin"], p.url)
        self.assertTrue(entry["token"].startswith(p.token[:4]), "the bearer is sent whenever one is held")

    def test_poll_mode_warns(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, command=example_agent())
        side.wait_ready()
        p.wait_status("online")
        self.assertEqual(p.state()["delivery_mode"], "poll")
        side.wait_line("poll")

    def test_a_paused_workspace_is_not_registered(self):
        p = self.platform()
        p.call("POST", f"/workspaces/{p.id}/pause")
        side = self.sidecar(p, *FAST, command=example_agent())
        side.wait_probe("startupz")
        p.wait_call(f"/workspaces/{p.id}/state", count=3)
        self.assertEqual(p.status(), "paused")
        self.assertEqual(p.log("/registry/register"), [])
        p.call("POST", f"/workspaces/{p.id}/resume")
        p.wait_status("online")
        side.wait_ready()

    def test_refused_bootstrap_is_fatal(self):
        p = self.platform()
        p.call("POST", f"/workspaces/{p.id}/secrets", {"key": "K", "value": "v"})
        side = self.sidecar(p, command=["sleep", "1000"], env={"MOLECULE_WORKSPACE_TOKEN": None})
        self.assertEqual(side.wait_exit(), 3)
        self.assertRegex(side.text(), "rotate|token")

    def test_organisation(self):
        p = self.platform("--org", "org-7")
        side = self.sidecar(p, *FAST, command=example_agent(), env={"MOLECULE_ORG_ID": "org-7"})
        side.wait_ready()
        p.wait_status("online")
        p.wait_call(f"/workspaces/{p.id}/state", status=200)
        self.assertTrue(all(e["org"] == "org-7" for e in p.log()))


class Inbound(harness.Case):
    """Later platforms send the inbound secret with what they push."""

    def start_all(self, *flags):
        p = self.platform("--send-inbound-secret")
        side = self.sidecar(p, *FAST, *flags, command=harness.test_agent("mirror.py"), push=True).wait_ready()
        p.wait_status("online")
        eventually((side.state_dir / ".platform_inbound_secret").exists, "the sidecar has the secret")
        eventually(lambda: p.send("x").status == 200, "a pushed message arrives")
        return p, side

    def names(self, answer):
        return {name.lower() for name, _ in answer.json["headers"]}

    def test_the_secret_is_removed(self):
        p, side = self.start_all()
        self.assertNotIn("authorization", self.names(p.send("x")))
        self.assertIn("authorization", self.names(side.send("x", headers={"Authorization": "Bearer of-somebody"})))

    def test_it_can_be_required(self):
        p, side = self.start_all("--listen-inbound-auth", "require")
        self.assertEqual(p.send("x").status, 200)
        self.assertEqual(side.send("x").status, 401)
        self.assertEqual(side.send("x", headers={"Authorization": "Bearer wrong"}).status, 401)
        self.assertEqual(get(side.port, "/agent/card").status in (200, 404), True, "the card is public")


class Heartbeats(harness.Case):
    def start_all(self, *flags, command=None):
        self.p = self.platform("--rate-limit", "0")
        self.side = self.sidecar(self.p, *FAST, *flags, command=command or example_agent()).wait_ready()
        self.p.wait_status("online")

    def test_contents(self):
        agent, go = self.gate()
        self.start_all(command=agent)
        beat = eventually(lambda: self.p.beat() if self.p.beat().get("current_task") == "idle" else None, "an idle beat")
        self.assertEqual((beat["workspace_id"], beat["active_tasks"], beat["error_rate"]), (self.p.id, 0, 0))
        self.assertIs(type(beat["active_tasks"]), int)
        self.assertIs(type(beat["uptime_seconds"]), int)
        slow = self.thread(self.side.send, "x")
        beat = eventually(lambda: self.p.beat() if self.p.beat()["active_tasks"] == 1 else None, "one request is told")
        self.assertEqual(beat["current_task"], "1 request")
        go()
        slow.result()
        eventually(lambda: self.p.beat()["active_tasks"] == 0, "and its end")

    def test_errors_are_told(self):
        self.p = self.platform("--rate-limit", "0")
        side = self.sidecar(self.p, *FAST, command=harness.test_agent("failing.py")).wait_ready()
        self.assertEqual(side.send("x").status, 500)
        beat = eventually(lambda: self.p.beat() if self.p.beat().get("error_rate") else None, "the failure is told")
        self.assertEqual(beat["error_rate"], 1.0)
        self.assertIn("500", beat["sample_error"])
        self.p.wait_status("degraded")

    def test_an_agent_that_dies_is_an_error(self):
        self.start_all("--restart-policy", "on-failure", "--restart-backoff", "30s")
        for pid in self.side.agent_pids():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.p.beat().get("error_rate") == 1.0, "error_rate 1.0 while the agent is down")
        self.p.wait_status("degraded")

    def test_last_beat(self):
        self.start_all("--stop-grace", "90s", "--stop-reserve", "30s")
        self.assertEqual(self.side.terminate(), 0)
        beat = self.p.beat()
        self.assertEqual((beat["active_tasks"], beat["current_task"]), (0, "stopped"))

    def test_origin_rule_is_survived(self):
        self.p = self.platform("--rate-limit", "0")
        side = self.sidecar(self.p, *FAST, "--platform-origin", "http://elsewhere.example", command=example_agent()).wait_ready()
        self.p.wait_status("online")
        refused = [e for e in self.p.log() if e["status"] == 403]
        self.assertTrue(refused, "it was refused first")
        self.assertTrue(any(e["origin"] == "" and e["status"] == 200 for e in self.p.log()), "then without Origin")
        self.assertTrue(side.is_running())

    def test_rate_limit_is_respected(self):
        self.p = self.platform("--rate-limit", "12")
        side = self.sidecar(self.p, *FAST, command=example_agent()).wait_ready()
        limited = self.p.wait_call("", status=429)
        self.assertTrue(side.is_running())
        self.assertEqual(answer_text(side.send("x").json), "you said: x")
        refused = [e["at_ms"] for e in self.p.wait_call("/registry/heartbeat", status=429, count=1)]
        self.assertEqual(len(refused), 1, "it waits for what Retry-After said")


class Lifecycle(harness.Case):
    def start_all(self, *flags, env=None, command=None):
        self.p = self.platform("--rate-limit", "0")
        self.side = self.sidecar(self.p, *FAST, "--stop-grace", "90s", *flags, command=command or example_agent(), env=env, push=True).wait_ready()
        self.p.wait_status("online")

    def test_pause_and_resume(self):
        record = self.dir / "record"
        self.start_all(command=harness.test_agent("tasks.py", str(record)))
        pids = self.side.agent_pids()
        slow = self.thread(self.side.send, "wait")
        eventually(lambda: self.side.metrics()["molecule_sidecar_requests_in_flight"] == 1, "in flight")
        self.p.call("POST", f"/workspaces/{self.p.id}/pause")
        self.side.wait_probe("readyz", 503)
        self.assertTrue(self.side.is_probe("livez"))
        a = self.side.send("x")
        self.assertEqual(a.status, 503)
        self.assertIn("PAUSED", a.text)
        self.assertTrue(a.headers["Retry-After"])
        self.assertEqual(get(self.side.port, "/agent/card").status, 200, "the card is never held")
        (self.dir / "record.go").touch()
        self.assertEqual(answer_text(slow.result().json), "re: wait", "work in flight finishes")
        seen = self.p.last_seq()
        self.p.wait_call(f"/workspaces/{self.p.id}/state", since=seen)
        self.assertEqual(self.p.log("/registry/register", since=seen), [])
        self.assertEqual(self.p.status(), "paused")
        self.p.call("POST", f"/workspaces/{self.p.id}/resume")
        self.side.wait_ready()
        self.p.wait_status("online")
        self.assertEqual(answer_text(self.p.send("back?").json), "re: back?")
        self.assertEqual(self.side.agent_pids(), pids, "the process was left alone")

    def test_on_paused_forward(self):
        self.start_all("--platform-on-paused", "forward")
        self.p.call("POST", f"/workspaces/{self.p.id}/pause")
        seen = self.p.last_seq()
        self.p.wait_call(f"/workspaces/{self.p.id}/state", since=seen, count=2)
        self.assertEqual(answer_text(self.side.send("x").json), "you said: x")

    def test_on_paused_exit(self):
        self.start_all("--platform-on-paused", "exit")
        self.p.call("POST", f"/workspaces/{self.p.id}/pause")
        self.assertEqual(self.side.wait_exit(), 0)
        self.assertRegex(self.side.exit_sentence(), "paused")

    def test_removed_ends_a_wrapper(self):
        self.start_all()
        self.p.call("DELETE", f"/workspaces/{self.p.id}")
        self.assertEqual(self.side.wait_exit(), 0)
        self.assertRegex(self.side.exit_sentence(), "removed")

    def test_purged_ends_a_wrapper_and_creates_nothing(self):
        self.start_all()
        self.p.call("DELETE", f"/workspaces/{self.p.id}?purge=true")
        self.assertEqual(self.side.wait_exit(2 * harness.PATIENCE), 0, "two confirmations, five seconds apart")
        self.assertRegex(self.side.exit_sentence(), "removed")
        self.assertEqual(self.p.call("GET", f"/workspaces/{self.p.id}").status, 404)

    def test_removed_under_kubernetes_is_held(self):
        self.start_all(env={"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"})
        self.p.call("DELETE", f"/workspaces/{self.p.id}")
        self.side.wait_probe("readyz", 503)
        self.assertTrue(self.side.is_probe("livez"))
        eventually(lambda: "does not have workspace" in get(self.side.admin, "/readyz").text, "and says why")
        self.assertTrue(self.side.is_running())

    def test_auth_lost_keeps_everything_running(self):
        self.start_all()
        eventually(lambda: (self.p.state()["agent_card"] or {}).get("name") == "echo", "registered with the agent's card: not once more for that")
        registrations = self.p.state()["registrations"]
        self.p.faults(lose_tokens=self.p.id)
        self.p.call("POST", f"/workspaces/{self.p.id}/tokens")  # another live token: now ours is a wrong one
        self.side.wait_line("auth|token")
        eventually(lambda: "auth" in self.side.command("status")[1], "status says so")
        self.assertEqual(answer_text(self.side.send("x").json), "you said: x")
        self.assertTrue(self.side.is_probe("readyz"))
        self.assertEqual(self.p.state()["registrations"], registrations, "register is never looped on 401")

    def test_a_new_token_in_the_file_is_taken(self):
        p = self.platform("--rate-limit", "0")
        file = self.dir / "token"
        file.write_text(p.token + "\n")
        file.chmod(0o600)
        side = self.sidecar(p, *FAST, command=example_agent(), env={"MOLECULE_WORKSPACE_TOKEN": None, "MOLECULE_WORKSPACE_TOKEN_FILE": file})
        side.wait_ready()
        p.wait_status("online")
        new = p.call("POST", f"/workspaces/{p.id}/external/rotate", token=p.token).json["connection"]["auth_token"]
        p.wait_call("/registry/heartbeat", status=401)
        (self.dir / "token.new").write_text(new + "\n")
        (self.dir / "token.new").chmod(0o600)
        os.rename(self.dir / "token.new", file)
        seen = p.last_seq()
        p.wait_call("/registry/heartbeat", since=seen, status=200, timeout=3 * harness.PATIENCE)


class Outages(harness.Case):
    def test_platform_down_from_the_start(self):
        port = harness.free_port()
        side = self.sidecar(None, *FAST, "--platform-enabled", "true", "--platform-url", f"http://127.0.0.1:{port}",
                            "--secrets-start-wait", "300ms", "--stop-grace", "90s", command=example_agent(),
                            env={"WORKSPACE_ID": str(uuid.uuid4()), "MOLECULE_WORKSPACE_TOKEN": harness.TOKEN})
        side.wait_ready()
        self.assertEqual(answer_text(side.send("x").json), "you said: x")
        self.assertIn("false", json.dumps(get(side.admin, "/readyz?verbose").json), "registration is a named check")
        self.assertEqual(side.terminate(), 0)

    def test_required_registration_gates_ready(self):
        p = self.platform("--rate-limit", "0")
        p.faults({"path": "/registry/register", "status": 503})
        side = self.sidecar(p, *FAST, "--platform-required", "true", command=example_agent())
        p.wait_call("/registry/register", count=2)
        eventually(lambda: get(side.port, "/agent/card").status == 200, "the agent answers")
        self.assertTrue(side.is_probe("readyz", 503))
        p.clear_faults()
        side.wait_ready(3 * harness.PATIENCE)  # it asks less and less often

    def test_database_down_in_the_middle(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, *FAST, command=example_agent()).wait_ready()
        p.wait_status("online")
        p.faults(database_down=True)
        seen = p.last_seq()
        p.wait_call(f"/workspaces/{p.id}/state", since=seen, count=2, status=401)
        p.wait_call(f"/workspaces/{p.id}", since=seen, status=500)
        self.assertTrue(side.is_probe("readyz"), "nothing is concluded")
        self.assertEqual(answer_text(side.send("x").json), "you said: x")
        p.clear_faults()
        seen = p.last_seq()
        p.wait_call("/registry/heartbeat", since=seen, status=200, timeout=3 * harness.PATIENCE)
        self.assertTrue(side.is_running())

    def test_a_platform_that_hangs_or_drops(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, *FAST, "--stop-grace", "90s", command=example_agent()).wait_ready()
        p.wait_status("online")
        p.faults({"path": f"/workspaces/{p.id}/state", "hang": True}, {"path": "/registry/", "drop": True})
        seen = p.last_seq()
        p.wait_call("/registry/heartbeat", since=seen, count=2)
        self.assertEqual(answer_text(side.send("x").json), "you said: x")
        p.clear_faults()
        seen = p.last_seq()
        p.wait_call("/registry/heartbeat", since=seen, status=200, timeout=3 * harness.PATIENCE)
        self.assertEqual(side.terminate(), 0)

    def test_a_hanging_platform_does_not_delay_the_end(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, *FAST, "--stop-grace", "90s", command=example_agent()).wait_ready()
        p.wait_status("online")
        p.faults({"path": "", "hang": True})
        begin = time.monotonic()
        self.assertEqual(side.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 30)

    def test_html_of_an_edge_is_no_removal(self):
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, *FAST, command=example_agent()).wait_ready()
        p.wait_status("online")
        p.faults({"path": f"/workspaces/{p.id}", "status": 404, "body": "<html>not found</html>", "content_type": "text/html"})
        seen = p.last_seq()
        p.wait_call(f"/workspaces/{p.id}/state", since=seen, count=2)
        self.assertTrue(side.is_running())
        self.assertTrue(side.is_probe("readyz"))


class Secrets(harness.Case):
    SHOW = harness.test_agent("show_secrets.py")

    def save(self, p, key, value):
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/secrets", {"key": key, "value": value}, token=p.token).status, 200)

    def test_in_the_environment(self):
        p = self.platform()
        self.save(p, "K", "very secret value")
        self.save(p, "PATH", "/evil")
        self.save(p, "LD_PRELOAD", "/evil.so")
        self.save(p, "not a name", "x")
        side = self.sidecar(p, *FAST, "--secrets-start-wait", "5m", command=self.SHOW)
        line = side.wait_line("^K=")
        self.assertIn("K=very secret value", line)
        self.assertNotIn("/ev", line)
        side.terminate()
        self.assertNotIn("very secret value", "\n".join(side.err))

    def test_the_start_waits_only_so_long(self):
        p = self.platform()
        p.faults({"path": f"/workspaces/{p.id}/secrets", "hang": True})
        side = self.sidecar(p, *FAST, "--secrets-start-wait", "500ms", command=self.SHOW)
        self.assertIn("K=-", side.wait_line("^K="))

    def test_a_change_restarts_when_asked_to(self):
        p = self.platform("--rate-limit", "0")
        self.save(p, "K", "one")
        side = self.sidecar(p, *FAST, "--secrets-start-wait", "5m", "--secrets-refresh", "200ms", "--secrets-on-change", "restart", command=self.SHOW)
        side.wait_line("^K=one")
        self.save(p, "K", "two")
        side.wait_line("^K=two")

    def test_off(self):
        p = self.platform()
        self.save(p, "K", "one")
        side = self.sidecar(p, *FAST, "--secrets-mode", "off", command=self.SHOW)
        self.assertIn("K=-", side.wait_line("^K="))


if __name__ == "__main__":
    unittest.main()

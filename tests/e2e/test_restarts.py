"""An agent that fails again and again: who hears of it, in which words, and how it ends."""
# ctest: long
import json
import pathlib
import re
import unittest

import harness
from harness import eventually, example_agent
from test_notify import Manager

SH = "/bin/sh"
FAST = ("--platform-heartbeat-interval", "200ms", "--platform-state-interval", "200ms")
NEXT = r"next start at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

# Fails until a file appears, then serves.
MENDED = 'test -e "$0" || exit 7; exec "$@"'


class CrashLoop(harness.Case):
    def failing(self, *flags, platform=None, **kw):
        self.mended = pathlib.Path(self.dir) / "mended"
        for flag, value in (("--restart-max", "0"), ("--restart-backoff", "10ms")):
            flags += () if flag in flags else (flag, value)
        return self.sidecar(platform, *flags, command=[SH, "-c", MENDED, str(self.mended), *example_agent()], **kw)

    def test_readiness_names_count_and_time(self):
        side = self.failing("--restart-backoff", "1h", "--restart-backoff-max", "1h", "--restart-max", "9")
        eventually(lambda: "next start" in str(side.probe("readyz")[1]), "the reason")
        status, answer = side.probe("readyz")
        self.assertEqual(status, 503)
        self.assertRegex(str(answer["reasons"]), rf"agent_answers: the agent exited with status 7 after \S+; failure 1 in a row \(restart.max 9\); {NEXT}")

    def test_a_request_is_held_and_then_refused_with_the_reason(self):
        side = self.failing("--restart-backoff", "1h", "--restart-backoff-max", "1h", "--forward-hold-timeout", "300ms")
        eventually(lambda: "next start" in str(side.probe("readyz")[1]), "it waits")
        answer = side.send("x")
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.text, r"exited with status 7 after \S+; failure 1 in a row; " + NEXT)

    def test_a_request_is_held_across_a_crash_loop(self):
        side = self.failing("--forward-hold-timeout", "60s")
        eventually(lambda: side.metrics().get("molecule_sidecar_agent_crash_loop") == 1, "a crash loop")
        held = self.thread(side.send, "patience")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_held"] == 1, "it is held")
        self.mended.touch()
        self.assertEqual(harness.answer_text(held.result().json), "you said: patience")

    def test_the_platform_hears_of_it_and_of_its_end(self):
        p = self.platform()
        side = self.failing(*FAST, "--restart-backoff-max", "50ms", "--restart-reset-after", "7s", platform=p)
        p.wait_status("degraded")
        beat = eventually(lambda: (b := p.beat()).get("error_rate") == 1 and "in a row" in b["sample_error"] and b, "the beat says why")
        self.assertRegex(beat["sample_error"], r"exited with status 7 after")
        self.assertEqual(beat["runtime_state"], "", "it is down, not stuck")
        eventually(lambda: side.metrics()["molecule_sidecar_agent_crash_loop"] == 1, "it has failed twice")
        since = p.last_seq()
        eventually(lambda: len(p.log("/registry/heartbeat", since=since)) >= 5, "some more beats")
        for entry in p.log("/registry/heartbeat", since=since):
            self.assertEqual(entry["body"]["error_rate"], 1, "also while the next process starts")
        self.mended.touch()
        side.wait_ready()
        p.wait_status("online")
        self.assertEqual(p.beat()["error_rate"], 0)
        entries = p.log("/registry/heartbeat", since=since)
        self.assertTrue(any("answers again, after" in e["body"]["sample_error"] for e in entries), "up, but not trusted yet")
        self.assertEqual(side.metrics()["molecule_sidecar_agent_crash_loop"], 0)
        self.assertEqual(side.metrics()["molecule_sidecar_agent_failures_in_a_row"], 0)

    def test_systemd_hears_of_it(self):
        m = Manager(self.sub_dir() / "notify")
        self.addCleanup(m.close)
        side = self.failing("--restart-backoff-max", "50ms", env={"NOTIFY_SOCKET": m.path})
        eventually(lambda: any(re.search(r"^STATUS=running; agent down: the agent exited with status 7 .*failure (?:[3-9]|\d\d+) in a row; " + NEXT, x) or
                               re.search(r"^STATUS=starting; agent down: the agent exited with status 7 .*failure (?:[3-9]|\d\d+) in a row; " + NEXT, x)
                               for x in m.lines()), "STATUS= names it")
        self.assertNotIn("READY=1", m.lines())
        self.mended.touch()
        side.wait_ready()
        m.wait("READY=1")
        eventually(lambda: any("agent answers, after" in x for x in m.lines()), "and that it is over for now")

    def test_status_shows_it(self):
        side = self.failing("--restart-backoff", "1h", "--restart-backoff-max", "1h", "--restart-max", "3")
        eventually(lambda: side.metrics().get("molecule_sidecar_agent_failures_in_a_row") == 1, "one failure")
        code, out, _ = side.command("status", "--json")
        self.assertEqual(code, 0)
        agent = json.loads(out)["agent"]
        self.assertEqual((agent["failures_in_a_row"], agent["failures_max"], agent["crash_loop"]), (1, 3, False))
        self.assertGreater(agent["next_start_in_ms"], 20 * 60 * 1000)
        self.assertRegex(agent["last_exit"], r"^exited with status 7 after \S+$")

    def test_status_in_words(self):
        side = self.sidecar(None, "--restart-max", "0", "--restart-backoff", "10ms", "--restart-backoff-max", "1h",
                            command=[SH, "-c", "exit 7"])

        def told():
            return re.search(r"last end: exited with status 7 after .*\n *crash loop: \d+ failures in a row, next start in \d+", side.command("status")[1])
        eventually(told, "each pause is longer: one is long enough to ask", 120)


class Lost(harness.Case):
    def test_restart_max_ends_it_with_its_status_and_says_so(self):
        p = self.platform()
        may_fail = self.dir / "go"
        side = self.sidecar(p, *FAST, "--restart-backoff", "300ms", "--restart-backoff-max", "300ms", "--restart-max", "4",
                            "--forward-hold-timeout", "10m", "--stop-grace", "60s", "--stop-reserve", "30s",
                            command=[SH, "-c", 'echo ran; until [ -e "$0" ]; do sleep 0.05; done; exit 9', may_fail])
        side.wait_probe("startupz")
        held = self.thread(side.send, "in vain")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_held"] == 1, "it waits")
        may_fail.touch()
        self.assertEqual(side.wait_exit(), 9)
        self.assertEqual(side.out.count("ran"), 4)
        self.assertRegex(side.exit_sentence(), r'ended: the agent exited with status 9 after \S+, 4 failures in a row \(restart.max\)".*"by":"agent"')
        last = p.log("/registry/heartbeat")[-1]["body"]
        self.assertEqual((last["error_rate"], last["current_task"], last["active_tasks"]), (1, "stopped", 0))
        self.assertRegex(last["sample_error"], r"^the agent exited with status 9 after \S+, 4 failures in a row \(restart.max\)$")
        self.assertEqual(p.status(), "degraded")
        self.assertEqual(held.result().status, 503)

    def test_an_agent_that_hangs_at_its_start_is_lost_too(self):
        side = self.sidecar(None, "--agent-start-timeout", "200ms", "--agent-on-start-timeout", "restart", "--restart-backoff", "10ms",
                            "--restart-reset-after", "100ms", "--restart-max", "2", command=["sleep", "1000"])
        self.assertEqual(side.wait_exit(), 70, "our signal has ended it, and that is no success")
        self.assertRegex(side.exit_sentence(), r"2 failures in a row \(restart.max\)")

    def test_a_good_end_is_no_failure(self):
        p = self.platform()
        may_end = self.dir / "go"
        side = self.sidecar(p, *FAST, command=[SH, "-c", 'until [ -e "$0" ]; do sleep 0.05; done; exit 0', may_end])
        p.wait_call("/registry/heartbeat")
        may_end.touch()
        self.assertEqual(side.wait_exit(), 0)
        self.assertEqual(p.log("/registry/heartbeat")[-1]["body"]["error_rate"], 0)


class Stuck(harness.Case):
    def test_an_agent_that_never_answers_is_told_after_its_start_timeout(self):
        p = self.platform()
        side = self.sidecar(p, *FAST, "--agent-start-timeout", "8s", command=["sleep", "1000"])
        p.wait_call("/registry/heartbeat", count=1)
        self.assertEqual(p.log("/registry/heartbeat")[0]["body"]["error_rate"], 0, "it may still be starting")
        eventually(lambda: p.beat().get("error_rate") == 1 and p.beat()["runtime_state"] == "wedged", "it runs and does not answer")
        self.assertTrue(side.is_running())


if __name__ == "__main__":
    unittest.main()

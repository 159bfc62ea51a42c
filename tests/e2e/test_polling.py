# ctest: timeout=420
"""Polled messages, end to end: a message in, an answer out, each once, whoever is killed meanwhile."""
import json
import os
import resource
import signal
import time
import unittest
import uuid

from harness import PATIENCE, Case, a2a, call, eventually, example_agent, free_port, test_agent

FAST = ("--platform-poll-interval", "100ms", "--log-level", "debug")
SETTLE = 15 * PATIENCE / 5  # an echo is looked for ten seconds after the call at the earliest


class Polling(Case):
    def setUp(self):
        super().setUp()
        self.peer = str(uuid.uuid4())
        self.me = str(uuid.uuid4())
        self.p = self.platform(workspaces=[f"{self.me}:me-token-0123456789abcdefghijklmnopqrstuvwxyz",
                                           f"{self.peer}:peer-token-0123456789abcdefghijklmnopqrstuvwxyz"])
        self.p.id, self.p.token = self.me, "me-token-0123456789abcdefghijklmnopqrstuvwxyz"
        a = self.p.call("POST", "/registry/register", {"id": self.peer, "agent_card": {"name": "peer"}, "delivery_mode": "poll"},
                        token="peer-token-0123456789abcdefghijklmnopqrstuvwxyz")
        self.assertEqual(a.status, 200, a)
        self.home = self.sub_dir()
        self.agent_port = free_port()

    def run_fast(self, *flags):
        side = self.sidecar(self.p, *FAST, "--agent-address", f"127.0.0.1:{self.agent_port}", *flags, command=test_agent("gate.py"),
                            directory=self.home, env={"PORT": self.agent_port})
        side.wait_ready()
        self.p.wait_status("online")
        return side

    def heard(self):
        path = self.home / "heard"
        text_so_far = path.read_text() if path.exists() else ""
        return [json.loads(line)[1] for line in text_so_far.splitlines(True) if line.endswith("\n")]  # the last one may be in the making

    def shut(self):
        (self.home / "gate").touch()

    def open(self):
        (self.home / "gate").unlink()

    def person(self, text):
        a = self.p.send(text)
        self.assertEqual(a.json["status"], "queued", a)

    def peer_says(self, text, **message):
        return self.p.rows([{"text": text, "source_id": self.peer, **message}])[0]

    def answers(self):
        return [a["text"] for a in self.p.answers()]

    def wait_answers(self, texts, timeout=PATIENCE):
        eventually(lambda: sorted(self.answers()) == sorted(texts) or len(self.answers()) > len(texts), f"answers {texts}", timeout)
        self.assertEqual(sorted(self.answers()), sorted(texts))

    def inbox(self, side, *args):
        """What it says; a question is asked again when the sidecar, or its disk, had no time for an answer."""
        def said():
            r = side.command("inbox", *args, "--json")
            if r[0] != 0 and args[0] in ("list", "show"):
                raise OSError(*r)  # eventually() tells it
            self.assertEqual(r[0], 0, r)
            return [json.loads(r[1])]
        return eventually(said, f"inbox {args}")[0]

    def states(self, side):
        return {m["row_id"]: m["state"] for m in self.inbox(side, "list", "--state", "seen,delivered,answering,answered,parked,dead")["messages"]}

    def wait_state(self, side, *states, timeout=PATIENCE):
        """Until the journal's unfinished and finished messages are in these states."""
        eventually(lambda: sorted(self.states(side).values()) == sorted(states), f"states {states}", timeout)


class Usual(Polling):
    def test_a_person_and_a_peer_get_their_answers_once(self):
        side = self.run_fast()
        self.person("hello")
        row = self.peer_says("hi")
        self.wait_answers(["re: hello", "re: " + self.heard_from_peer(side)])
        to_person, to_peer = sorted(self.p.answers(), key=lambda a: a["kind"] != "notify")
        self.assertEqual((to_person["kind"], to_person["text"]), ("notify", "re: hello"))
        self.assertEqual(to_peer["to"], self.peer)
        self.assertTrue(to_peer["message_id"] and to_peer["in_reply_to"])
        self.wait_state(side, "answered", "answered")
        shown = self.inbox(side, "show", row)
        self.assertEqual((shown["state"], shown["sender"]), ("answered", self.peer))
        line = side.wait_line('"answered"')
        self.assertNotIn("hello", line, "no text in the log")
        eventually(lambda: side.metrics()['molecule_sidecar_inbox_messages_total{step="answered"}'] == 2, "both are counted")
        eventually(lambda: side.metrics()["molecule_sidecar_inbox_in_work"] == 0, "nothing is in work")
        self.assertEqual(side.metrics()["molecule_sidecar_journal_ok"], 1)
        self.assertIn("2 answered", side.command("status")[1])

    def heard_from_peer(self, side):
        """As the agent heard it: between the marks of what others say."""
        eventually(lambda: [t for t in self.heard() if "hi" in t], "the agent hears the peer")
        text = next(t for t in self.heard() if "hi" in t)
        self.assertTrue(text.startswith("[A2A_RESULT_FROM_PEER]"), text)
        return text

    def test_long_answers_come_in_numbered_parts_and_silence_makes_no_call(self):
        side = self.run_fast()
        self.person("silence")
        self.person("long")
        eventually(lambda: len(self.answers()) >= 3, "three parts")
        self.wait_state(side, "answered", "answered")
        parts = self.answers()
        self.assertEqual([p.partition("\n")[0] for p in parts], [f"({n}/{len(parts)})" for n in range(1, len(parts) + 1)])
        self.assertIn("paragraph 29", parts[-1])
        self.assertTrue(all(len(p.encode()) <= 65536 for p in parts))

    def test_replies_get_no_replies(self):
        side = self.run_fast()
        body = a2a("thanks")
        body["params"]["message"].update(role="agent", metadata={"reply": True})
        self.p.rows([{"request_body": body, "source_id": self.peer}])
        self.wait_state(side, "answered")
        self.assertEqual(self.answers(), [])
        self.assertEqual(len(self.heard()), 1, "the agent has heard it")
        self.assertIn("not sent", self.inbox(side, "list", "--state", "answered")["messages"][0]["why"])

    def test_poll_and_push_side_by_side_give_the_same_answers(self):
        side = self.run_fast()
        pushed = side.send("hello")
        self.person("hello")
        self.wait_answers(["re: hello"])
        self.assertEqual(pushed.json["result"]["parts"][0]["text"], self.answers()[0])

    def test_work_is_told_while_the_agent_has_it(self):
        side = self.run_fast("--platform-heartbeat-interval", "200ms")
        self.shut()
        self.person("hello")
        eventually(lambda: (beat := self.p.beat()).get("active_tasks") == 1 and "1 message" in beat["current_task"], "a beat with the message")
        self.assertEqual([m["step"] for m in self.inbox(side, "list")["messages"]], ["with the agent"])
        self.open()
        self.wait_answers(["re: hello"])
        eventually(lambda: self.p.beat()["active_tasks"] == 0, "a beat without")

    def test_a_paused_workspace_gets_its_messages_when_it_is_resumed(self):
        side = self.run_fast("--platform-state-interval", "200ms")
        self.p.call("POST", f"/workspaces/{self.me}/pause")
        side.wait_probe("readyz", 503)
        self.person("hello")
        self.wait_state(side, "seen")
        self.assertEqual(self.heard(), [])
        self.p.call("POST", f"/workspaces/{self.me}/resume")
        self.wait_answers(["re: hello"])


class Drain(Polling):
    def test_a_stop_waits_for_the_message_and_its_answer(self):
        side = self.run_fast("--stop-grace", "60s")
        self.shut()
        self.person("hello")
        eventually(self.heard, "the agent has it")
        side.p.send_signal(signal.SIGTERM)
        side.wait_line("waiting for 1 polled message")
        self.person("later")
        self.open()
        self.assertEqual(side.p.wait(PATIENCE * 3), 0)
        self.assertEqual(self.answers(), ["re: hello"])
        self.assertEqual(self.heard(), ["hello"], "nothing new is fetched")
        status, out, err = side.command("inbox", "verify")
        self.assertEqual(status, 0, (out, err))
        side = self.run_fast()
        self.wait_answers(["re: hello", "re: later"])

    def test_a_drain_that_was_not_the_end_goes_on_fetching(self):
        side = self.run_fast("--stop-grace", "3s")
        self.assertEqual(side.command("drain", "--wait")[0], 0)
        self.person("hello")
        side.wait_line("serving again")
        self.wait_answers(["re: hello"])


    def stopped_in_doubt(self, **fault):
        """TERM while nobody knows whether the answer arrived; the rest of the drain would be two minutes."""
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "drop": True, "count": 1, **fault})
        side = self.run_fast("--stop-grace", "180s", "--stop-drain-timeout", "150s")
        self.person("hello")
        side.wait_line("it is not known whether the answer arrived")
        side.p.send_signal(signal.SIGTERM)
        self.assertEqual(side.p.wait(120), 0)
        self.assertNotIn("time is up", side.text())
        return side

    def test_the_feed_is_asked_about_an_answer_in_doubt(self):
        side = self.stopped_in_doubt(after=True)
        side.wait_line("the answer whose fate was unknown has arrived")
        side = self.run_fast()
        self.wait_state(side, "answered")
        self.assertEqual(len(self.p.log(f"/workspaces/{self.me}/notify")), 1)

    def test_what_the_feed_does_not_show_is_left_to_the_next_run(self):
        side = self.stopped_in_doubt()
        side.wait_line("1 answer may or may not have arrived: not waited for")
        side = self.run_fast()
        self.wait_state(side, "answering")
        side.wait_line("it is not known whether the answer arrived")
        self.assertEqual((self.answers(), self.heard()), ([], ["hello"]))


def killed(side):
    for pid in side.agent_pids():
        os.kill(pid, signal.SIGSTOP)  # its agent goes with it, whatever it was about to do
    agents = side.agent_pids()
    side.p.kill()
    side.p.wait()
    for pid in agents:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Killed(Polling):
    """SIGKILL with the message in each state of the journal."""

    def test_seen_and_with_the_agent(self):
        side = self.run_fast()
        self.shut()
        self.person("hello")
        eventually(self.heard, "the agent has it")
        self.wait_state(side, "seen")
        killed(side)
        self.open()
        side = self.run_fast()
        self.wait_answers(["re: hello"])
        self.assertEqual(self.heard(), ["hello", "hello"], "at least once to the agent")

    def test_delivered_with_an_answer_that_waits(self):
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "status": 429, "retry_after": 10})
        side = self.run_fast()
        self.person("hello")
        self.p.wait_call(f"/workspaces/{self.me}/notify", status=429)
        self.wait_state(side, "delivered")
        killed(side)
        self.p.clear_faults()
        side = self.run_fast()
        self.wait_answers(["re: hello"])
        self.assertEqual(self.heard(), ["hello"], "not again to the agent")

    def test_answering_a_person_and_it_had_arrived(self):
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "hang": True, "after": True, "count": 1})
        side = self.run_fast()
        self.person("hello")
        self.wait_answers(["re: hello"])
        self.wait_state(side, "answering")
        killed(side)
        side = self.run_fast()
        self.wait_state(side, "answered", timeout=SETTLE)
        self.assertEqual((self.answers(), self.heard()), (["re: hello"], ["hello"]))

    def test_answering_a_peer_is_parked_and_the_operator_decides(self):
        self.p.faults({"path": f"/workspaces/{self.peer}/a2a", "hang": True, "count": 1})
        side = self.run_fast()
        row = self.peer_says("hi")
        self.wait_state(side, "answering")
        killed(side)
        side = self.run_fast()
        self.wait_state(side, "parked")
        first = self.inbox(side, "list")["messages"][0]
        self.assertEqual((first["row_id"], first["state"]), (row, "parked"))
        self.assertIn("nobody knows", first["why"])
        self.assertIn(row, side.command("inbox")[1])
        self.assertIn("1 parked", side.command("status")[1])
        self.assertEqual(self.inbox(side, "retry", row)["state"], "delivered")
        self.wait_state(side, "answered")
        self.assertEqual(len(self.answers()), 1)


class Unknown(Polling):
    def test_a_lost_answer_of_the_platform_is_not_sent_twice(self):
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "drop": True, "after": True, "count": 1})
        side = self.run_fast()
        self.person("hello")
        self.wait_state(side, "answered", timeout=SETTLE)
        self.assertEqual(self.answers(), ["re: hello"])
        self.assertEqual(len(self.p.log(f"/workspaces/{self.me}/notify")), 1)

    def test_a_peers_is_sent_again_if_the_operator_wants_that(self):
        self.p.faults({"path": f"/workspaces/{self.peer}/a2a", "drop": True, "count": 1})
        side = self.run_fast("--inbox-on-unknown", "resend")
        self.peer_says("hi")
        self.wait_state(side, "answered")
        self.assertEqual(len(self.answers()), 1)

    def test_what_is_refused_for_good_is_parked_and_can_be_dropped(self):
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "status": 403, "body": {"error": "talk_to_user_disabled"}})
        side = self.run_fast()
        self.person("hello")
        self.wait_state(side, "parked")
        row = self.inbox(side, "list")["messages"][0]["row_id"]
        self.assertEqual(self.inbox(side, "drop", row)["state"], "skipped")
        self.assertEqual(self.inbox(side, "list")["messages"], [])
        self.assertEqual(side.command("inbox", "retry", row)[0], 1)
        self.assertIn("only parked and dead", side.command("inbox", "retry", row)[2])


class Disk(Polling):
    def test_what_the_disk_refuses_waits_and_is_told(self):
        side = self.run_fast()
        self.person("one")
        self.wait_answers(["re: one"])
        resource.prlimit(side.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        self.person("two")
        eventually(lambda: side.metrics()["molecule_sidecar_journal_ok"] == 0, "the metric says so")
        status = json.loads(side.command("status", "--json")[1])["inbox"]
        self.assertIn("inbox.db", status["problem"])
        self.assertIn(status["problem"].split(":")[0], side.command("status")[1])
        ready, checks = side.probe("readyz", "?verbose")
        self.assertEqual(ready, 200, "requests pass all the same")
        self.assertEqual([(c["ok"], c["counts"]) for c in checks["checks"] if c["name"] == "journal"], [(False, False)])
        self.assertEqual(self.heard(), ["one"], "a message that is not written down is not handed over")
        resource.prlimit(side.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.wait_answers(["re: one", "re: two"], timeout=PATIENCE * 3)
        eventually(lambda: side.metrics()["molecule_sidecar_journal_ok"] == 1, "and that it works again")


    def parked(self):
        """A sidecar with one message that is parked; (side, its row)."""
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "status": 403, "body": {"error": "talk_to_user_disabled"}, "count": 1})
        side = self.run_fast()
        self.person("parked")
        self.wait_state(side, "parked")
        return side, self.inbox(side, "list")["messages"][0]["row_id"]

    def refuse(self, side, on):
        most = 1024 if on else resource.RLIM_INFINITY
        resource.prlimit(side.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def works_again(self, side):
        self.refuse(side, False)
        eventually(lambda: side.metrics()["molecule_sidecar_journal_ok"] == 1, "the journal is written again", timeout=PATIENCE * 3)

    def test_orders_are_refused_while_it_refuses_and_do_not_run_later(self):
        side, row = self.parked()
        self.refuse(side, True)
        self.person("two")
        eventually(lambda: side.metrics()["molecule_sidecar_journal_ok"] == 0, "the metric says so")
        for args in (("list",), ("show", row), ("retry", row), ("drop", row), ("verify",)):
            status, _, err = side.command("inbox", *args)
            self.assertEqual(status, 1, args)
            self.assertIn("inbox.db", err)
            self.assertEqual("nothing was changed" in err, args[0] in ("retry", "drop"), err)
        self.works_again(side)
        self.wait_answers(["re: two"], timeout=PATIENCE * 3)
        self.wait_state(side, "answered", "parked")

    def test_an_order_that_finds_it_out_says_that_it_will_be_carried_out(self):
        side, row = self.parked()
        self.refuse(side, True)
        status, _, err = side.command("inbox", "drop", row)
        self.assertEqual(status, 1)
        self.assertIn("inbox.db", err)
        self.assertIn("will be carried out as soon as", err)
        self.works_again(side)
        eventually(lambda: self.inbox(side, "show", row)["state"] == "skipped", "the order is carried out")


class Command(Polling):
    def test_what_it_refuses(self):
        side = self.run_fast()
        for args, status, words in ((("inbox", "show", str(uuid.uuid4())), 1, "no message with this row id"),
                                    (("inbox", "show"), 2, "takes the row id"),
                                    (("inbox", "show", "../x"), 2, "is no row id"),
                                    (("inbox", "list", "--state", "odd"), 1, "no such state"),
                                    (("inbox", "frob"), 2, "inbox takes list, show"),
                                    (("inbox", "verify", "now"), 2, "takes nothing more")):
            r = side.command(*args)
            self.assertEqual((r[0], words in r[2]), (status, True), (args, r))
        self.assertEqual(side.command("inbox")[0], 0)
        self.assertIn("nothing", side.command("inbox")[1])
        self.assertEqual(side.command("inbox", "verify")[0], 0)

    def test_a_sidecar_that_has_no_time_for_a_while_is_waited_for(self):
        side = self.run_fast()
        side.signal(signal.SIGSTOP)
        asked = self.thread(side.command, "inbox", "list")
        eventually(lambda end=time.monotonic() + 6: time.monotonic() >= end, "longer than other commands wait")
        self.assertTrue(asked.is_alive())
        side.signal(signal.SIGCONT)
        self.assertEqual(asked.result()[0], 0)

    def test_another_parameter_changes_nothing(self):
        self.p.faults({"path": f"/workspaces/{self.me}/notify", "status": 403, "body": {"error": "talk_to_user_disabled"}})
        side = self.run_fast()
        self.person("hello")
        self.wait_state(side, "parked")
        row = self.inbox(side, "list")["messages"][0]["row_id"]
        for method, path in (("POST", f"drop?state={row}"), ("POST", f"drop?{row}"), ("POST", f"drop?x={row}"), ("POST", "drop?row="), ("POST", "drop"),
                             ("POST", f"drop?row={row}&x=1"), ("POST", f"retry?rows={row}"), ("GET", f"show?id={row}"), ("POST", "verify?row=1"),
                             ("GET", "?row=parked"), ("GET", "?parked")):
            a = call(side.control, method, f"/v1/inbox/{path}".replace("/?", "?"))
            self.assertEqual(a.status, 400, (path, a))
        self.assertEqual(list(self.states(side).values()), ["parked"])
        self.assertEqual(call(side.control, "POST", f"/v1/inbox/drop?row={row}").status, 200)

    def test_who_is_pushed_to_has_no_inbox(self):
        side = self.sidecar(self.p, *FAST, command=example_agent(), push=True)
        side.wait_ready()
        r = side.command("inbox")
        self.assertEqual(r[0], 1)
        self.assertIn("no messages are polled here", r[2])


if __name__ == "__main__":
    unittest.main()

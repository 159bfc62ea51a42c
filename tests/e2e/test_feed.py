"""Fetching messages: each rule of the feed's cursor, its sweeps, its event stream and its files, provoked by the development platform."""
# ctest: long
# ctest: timeout=300
import collections
import json
import time
import uuid

import harness
from harness import eventually, example_agent

FAST = ("--platform-heartbeat-interval", "1s", "--platform-state-interval", "500ms", "--platform-poll-interval", "100ms")
POLLS = (*FAST, "--platform-events", "false")  # with a stream, polls are rare
SLOW_POLLS = ("--platform-heartbeat-interval", "1s", "--platform-poll-interval", "10m")


class Feed(harness.Case):
    def open(self, *flags, platform=(), before=None, directory=None, **kw):
        self.p = self.platform("--rate-limit", "0", *platform)
        if before:
            before()
        return self.run_sidecar(*flags, directory=directory, **kw)

    def run_sidecar(self, *flags, directory=None, config=None):
        self.side = self.sidecar(self.p, "--stop-grace", "60s", *(flags or POLLS), command=example_agent(), directory=directory, config=config)
        return self.side

    def answered(self):
        """What people were told: text -> how often."""
        return collections.Counter(a["text"] for a in self.p.answers())

    def expect(self, *texts, timeout=harness.PATIENCE):
        """The echo agent has answered each of these once, and nothing else."""
        want = collections.Counter(f"you said: {t}" for t in texts)
        harness.gathered(lambda: sum(self.answered().values()), len(texts), "answers", timeout)
        self.assertEqual(self.answered(), want)

    def polls(self, since=0):
        return [e for e in self.p.log(f"/workspaces/{self.p.id}/activity", "GET", since)]

    def inbox(self):
        code, out, _ = self.side.command("status", "--json")
        return json.loads(out)["inbox"] if code == 0 else {}

    def skipped(self):
        return self.side.metrics().get('molecule_sidecar_inbox_messages_total{step="skipped"}')

    def say(self, *texts, **batch):
        return self.p.rows([{"text": t} for t in texts], **batch)

    def first(self):
        """A message that is answered: from here on there is a cursor."""
        self.say("first")
        self.expect("first")


class Cursor(Feed):
    def test_a_message_is_fetched_and_answered(self):
        self.open()
        self.p.wait_status("online")
        self.assertEqual(self.p.send("hello").status, 200)
        self.expect("hello")

    def test_a_backlog_comes_in_order(self):
        texts = [f"m{k:03}" for k in range(130)]
        self.open(before=lambda: self.say(*texts, apart_us=1000, age_ms=60000))
        self.expect(*texts)
        self.assertEqual([a["text"] for a in self.p.answers()], [f"you said: {t}" for t in texts])

    def test_more_than_a_page_at_once(self):
        self.open()
        self.first()
        texts = [f"m{k:03}" for k in range(230)]
        self.say(*texts, apart_us=1)
        self.expect("first", *texts)
        self.assertEqual([a["text"] for a in self.p.answers()][1:], [f"you said: {t}" for t in texts])

    def test_equal_times(self):
        self.open()
        self.first()
        texts = [f"m{k:03}" for k in range(30)]
        for k in range(0, 30, 10):
            self.say(*texts[k:k + 10])
        self.expect("first", *texts)

    def test_late_commits_are_found_after_a_reconnect(self):
        self.open(*FAST)
        self.first()
        self.say("second")
        self.expect("first", "second")
        eventually(lambda: self.inbox().get("stream"), "the stream")
        self.say("late", age_ms=20000)  # behind the cursor
        self.p.faults(events="end")
        self.expect("first", "second", "late")

    def test_lost_cursors(self):
        self.open()
        self.first()
        since = self.p.last_seq()
        self.p.faults(lose_cursors=True)
        eventually(lambda: [e for e in self.polls(since) if e["status"] == 410], "a 410")
        self.say("second")
        self.expect("first", "second")
        self.p.faults(forget_rows=0)
        self.say("third")
        self.expect("first", "second", "third")

    def test_500_with_a_cursor(self):
        self.open()
        self.first()
        self.p.faults({"path": f"/workspaces/{self.p.id}/activity", "status": 500, "body": '{"error":"cursor lookup failed"}', "count": 3})
        self.say("second")
        self.expect("first", "second")
        self.side.wait_line("three times 500")

    def test_a_server_without_cursors(self):
        self.open(platform=("--feed", "old"))
        self.first()
        self.say("second", "third", apart_us=1)
        self.expect("first", "second", "third")
        self.side.wait_line("knows no cursors")

    def test_later_servers_are_told_what_was_seen(self):
        self.open(platform=("--feed", "later"))
        self.first()
        self.p.wait_call(f"/workspaces/{self.p.id}/activity/ack", "POST", status=200)

    def test_servers_that_take_no_acknowledgement_are_left_alone(self):
        self.open()
        self.first()
        self.assertEqual(self.p.log(f"/workspaces/{self.p.id}/activity/ack"), [], "no row has a seq")

    def test_long_messages(self):
        self.open()
        self.first()
        long = "x" * 300000
        for k in range(12):  # more than one answer may be long
            self.say(f"{k} {long}")
        harness.gathered(lambda: self.inbox().get("fetched", 0), 13, "fetched")


class Trouble(Feed):
    def test_an_outage_of_the_database(self):
        self.open()
        self.first()
        since = self.p.last_seq()
        self.p.faults(database_down=True)
        eventually(lambda: [e for e in self.polls(since) if e["status"] == 401], "a 401")
        self.say("second")
        self.p.faults(database_down=False)
        self.expect("first", "second")

    def test_cut_and_slow_answers(self):
        self.open()
        self.first()
        path = f"/workspaces/{self.p.id}/activity"
        self.p.faults({"path": path, "cut_body": True, "count": 2}, {"path": path, "drop": True, "count": 2},
                      {"path": path, "slow_body_ms": 300, "count": 2})
        self.say("second")
        self.expect("first", "second")

    def test_retry_after_is_kept(self):
        self.open()
        self.first()
        since = self.p.last_seq()
        self.p.faults({"path": f"/workspaces/{self.p.id}/activity", "method": "GET", "status": 429, "retry_after": 2, "count": 1,
                       "body": '{"error":"rate limit exceeded"}'})
        self.say("second")
        self.expect("first", "second")
        calls = self.polls(since)
        at = next(k for k, e in enumerate(calls) if e["status"] == 429)
        self.assertEqual(len([e for e in calls if e["status"] == 429]), 1)
        self.assertGreater(len(calls), at + 1)

    def test_odd_rows_hide_no_others(self):
        self.open()
        self.first()
        deep = "x"
        for _ in range(100):
            deep = [deep]
        self.p.rows([{"request_body": deep}, {"request_body": 7}, {"request_body": "[[[["}, {"method": "tasks/get", "request_body": {}},
                     {"text": "own", "source_id": self.p.id}, {"text": "pushed", "duration_ms": 3, "response_body": {}},
                     {"text": "second"}, {"method": "delegate_result", "text": "x"}], apart_us=1)
        self.say("third")
        self.expect("first", "[[[[", "second", "third")

    def test_killed_and_started_again(self):
        where = self.sub_dir()
        self.open(directory=where)
        self.first()
        self.side.signal(9)
        self.side.wait_exit()
        self.say("second")
        self.run_sidecar(directory=where)
        self.expect("first", "second")
        self.assertEqual(self.side.terminate(), 0)
        self.say("third")
        self.run_sidecar(directory=where)
        self.expect("first", "second", "third")

    def test_a_hand_over_answers_once(self):
        """The old one ends before the new one starts, on a disk that both use: a rollout with one replica."""
        where = self.sub_dir()
        self.open(directory=where)
        texts = [f"m{k}" for k in range(40)]
        self.say(*texts[:20], apart_us=1)
        eventually(lambda: len(self.p.answers()) >= 5, "some answers")
        self.assertEqual(self.side.terminate(), 0)
        self.say(*texts[20:], apart_us=1)
        self.run_sidecar(directory=where)
        self.expect(*texts)

    def test_first_start_skip(self):
        self.open(before=lambda: self.say("old", age_ms=5000), config="inbox:\n  first_start: skip\n")
        eventually(lambda: self.skipped(), "the old one is passed")
        self.say("new")
        self.expect("new")


class Stream(Feed):
    def test_events_make_polls(self):
        self.open(*SLOW_POLLS)
        self.p.wait_status("online")
        eventually(lambda: self.inbox().get("stream"), "the stream")
        for k in range(3):
            self.p.send(f"m{k}")
            self.expect(*[f"m{n}" for n in range(k + 1)])
        self.assertLess(len(self.polls()), 60)

    def test_streams_that_end_come_back(self):
        self.open(*SLOW_POLLS)
        self.p.wait_status("online")
        eventually(lambda: self.inbox().get("stream"), "the stream")
        since = self.p.last_seq()
        self.p.faults(events="reset")
        self.p.wait_call(f"/workspaces/{self.p.id}/events/stream", since=since)
        eventually(lambda: self.inbox().get("stream"), "the stream again")
        self.p.send("after")
        self.expect("after")

    def test_without_streams_polls_do(self):
        self.p = self.platform("--rate-limit", "0")
        self.p.faults({"path": f"/workspaces/{self.p.id}/events/stream", "status": 404, "body": "404 page not found"})
        self.run_sidecar(*FAST)
        self.first()
        self.assertIs(eventually(self.inbox, "the status")["stream"], False)

    def test_a_pause_is_seen_at_once(self):
        self.open("--platform-heartbeat-interval", "1s", "--platform-state-interval", "10m", "--platform-poll-interval", "100ms")
        eventually(lambda: self.inbox().get("stream"), "the stream")
        self.p.call("POST", f"/workspaces/{self.p.id}/pause")
        self.side.wait_line("paused")


class Rate(Feed):
    def test_below_a_tenth_of_the_limit_messages_come_and_beats_keep_their_share(self):
        """Each row is an event, and each event would be a poll or two: more than is left for a dozen of them."""
        self.open("--platform-heartbeat-interval", "5s", "--platform-poll-interval", "10m", platform=("--rate-limit", "200"))
        eventually(lambda: self.inbox().get("stream"), "the stream")
        self.first()
        path = f"/workspaces/{self.p.id}"
        while True:  # somebody else of the organisation is busy
            a = self.p.call("GET", f"{path}/activity?limit=1", token=self.p.token)
            self.assertEqual(a.status, 200, a)
            if int(a.headers["X-RateLimit-Remaining"]) < 20:
                break
        since = self.p.last_seq()
        self.p.wait_call("/registry/heartbeat", since=since, status=200)  # it knows now
        for n in range(16):
            if n in (5, 11):
                self.p.send(f"m{n}")
            else:
                self.p.rows([{"method": "notify", "response_body": {"result": "said by the agent itself"}}])
            eventually(lambda end=time.monotonic() + 1: time.monotonic() >= end, "the next one's time: together they would be one event")
        self.expect("first", "m5", "m11", timeout=3 * harness.PATIENCE)  # the limit's next minute, at the latest
        self.p.wait_call("/registry/heartbeat", since=self.p.last_seq(), status=200)
        refused = [e["path"] for e in self.p.log(since=since) if e["status"] == 429]
        self.assertEqual(refused, [], "nothing was asked for that there was no room for")


class Files(Feed):
    def upload(self, *files):
        edge = "----edge"
        body = b"".join(f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{n}"\r\nContent-Type: text/plain\r\n\r\n'.encode()
                        + b + b"\r\n" for n, b in files) + f"--{edge}--\r\n".encode()
        a = self.p.call("POST", f"/workspaces/{self.p.id}/chat/uploads", body, token=self.p.token,
                        Content_Type=f"multipart/form-data; boundary={edge}")
        self.assertEqual(a.status, 200, a)
        return [f["uri"] for f in a.json["files"]]

    def test_files_are_there_before_the_message_that_speaks_of_them(self):
        where = self.sub_dir() / "files"
        self.open(*FAST, "--forward-uploads-dir", str(where))
        self.p.wait_status("online")
        files = [(f"f{k}.txt", b"content %d" % k) for k in range(4)]
        uris = self.upload(*files)
        self.p.send(" ".join(uris))
        eventually(self.p.answers, "an answer")
        told = self.p.answers()[0]["text"].split()[-4:]
        self.assertTrue(all(t.startswith(f"workspace:{where}/") for t in told), told)
        for path, (name, content) in zip(told, files):
            path = path.removeprefix("workspace:")
            self.assertTrue(path.endswith("-" + name), path)
            with open(path, "rb") as f:
                self.assertEqual(f.read(), content)
        self.p.wait_call(f"/workspaces/{self.p.id}/pending-uploads/", "POST", count=4, status=200)

    def test_files_that_are_gone_do_not_hold_messages_up(self):
        self.open(*FAST, "--forward-uploads-dir", str(self.sub_dir() / "files"))
        self.p.wait_status("online")
        self.p.faults({"path": f"/workspaces/{self.p.id}/pending-uploads/", "status": 404, "body": '{"error":"not found"}'})
        uri = self.upload(("a.txt", b"x"))[0]
        self.p.send(uri)
        eventually(self.p.answers, "an answer")
        self.assertIn(uri, self.p.answers()[0]["text"])


class Peers(Feed):
    def test_a_peer_is_answered_and_named(self):
        peer = str(uuid.uuid4())
        self.p = self.platform("--rate-limit", "0", workspaces=[f"{uuid.uuid4()}:token-1234567890", f"{peer}:token-0987654321"])
        self.run_sidecar(*FAST)
        self.p.rows([{"text": "from a peer", "source_id": peer, "message_id": "m-1", "context_id": "c-1"}])
        answer = eventually(self.p.answers, "an answer")[0]
        self.assertEqual(answer["to"], peer)


if __name__ == "__main__":
    import unittest
    unittest.main()

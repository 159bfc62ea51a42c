"""People and peers write to a polling agent while everybody is killed: what chaos does, and how its books are checked.

    chaos = Chaos(case, seed=7, messages=10000, kills=1000)
    chaos.run()

Conversations each have a writer that goes on when the platform has taken its message, and repeats it under the same messageId until
then. Meanwhile sidecar, agent and platform are killed and started again, and the platform is slow, drops connections before and after
a call took effect, and loses cursors, by a plan that the seed decides. Then all is left in peace until nothing is in work, and:

    each message reached the agent                     the agent's own book
    in order, within each conversation                 the same
    each was answered once                             the platform's list of answers
    but for those the sidecar lists itself             `molecule-sidecar inbox list`: parked, with why
    and of these, that its outcome was unknown         the journal at each kill, and the faults that were asked for

People's answers leave echoes, and no two texts are the same: none of them may end as unknown. Of a peer's answer nothing tells; it may,
if a kill of sidecar or platform found it under way, or a fault of the platform hit it.
"""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import harness

PEERS = 4             # peers that write
PEOPLE = 16           # conversations of people
PEER_TALKS = 2        # conversations of each peer
TASKS = 0.02          # of the messages make the agent work on a task
PAUSE = 0.2           # seconds between two kills, on average
PATIENT = 0.8         # of them wait until the one before is up again; the others may hit its start
FAULTS = 0.5          # so many kills come with a fault of the platform
ANSWERING = 3         # of docs/journal.md: the call may or may not have been made
UNKNOWN = "nobody knows whether the answer arrived"
# Seconds for the rest, once all is left in peace, and a tenth of a second for each message. What did not arrive is believed to be lost
# 130 s later at the earliest.
ENDING = 130 + 90


class Chaos:
    def __init__(self, case, seed, messages, kills):
        self.case, self.seed, self.messages, self.kills = case, seed, messages, kills
        self.plan = random.Random(seed)
        self.dir = case.sub_dir()
        self.port, self.control = harness.free_port(), None
        self.peers = [str(uuid.UUID(int=self.plan.getrandbits(128), version=4)) for _ in range(PEERS)]
        self.me = str(uuid.UUID(int=self.plan.getrandbits(128), version=4))
        self.book = self.dir / "book"
        self.book.touch()
        self.is_over = threading.Event()
        self.share, self.moved = 0.0, threading.Condition()  # of the kills that are done; messages are let go in step
        self.taken = collections.Counter()  # messages of each conversation that the platform has taken
        self.killed = collections.Counter()
        self.caught = set()    # messages of peers whose answer was under way when sidecar or platform was killed
        self.hits = 0          # answers to peers that the faults may have left unknown, at most
        self.running = {}

    # ---- who plays ----

    def start(self, name):
        argv = {"platform": self.platform_argv, "agent": self.agent_argv, "sidecar": self.sidecar_argv}[name]()
        log = open(self.dir / f"{name}.log", "ab")
        with contextlib.closing(log):
            self.running[name] = subprocess.Popen(argv, env=self.environment(), cwd=self.dir, stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log)

    def platform_argv(self):
        workspaces = [f"{w}:{harness.TOKEN}{i}" for i, w in enumerate([self.me, *self.peers])]
        return [harness.DEVPLATFORM, "--listen", f"127.0.0.1:{self.port}", "--data", self.dir / "platform.db", "--rate-limit", "0",
                "--quiet", *(a for w in workspaces for a in ("--workspace", w))]

    def agent_argv(self):
        return harness.test_agent("ledger.py", self.dir / "agent.sock", self.book)

    def sidecar_argv(self):
        return [harness.SIDECAR, "run", "--listen-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--log-level", "info",
                "--agent-address", f"unix:{self.dir}/agent.sock", "--platform-poll-interval", "100ms", "--inbox-concurrency", "16",
                "--inbox-peer-replies", "0", "--inbox-retry-max", "2s", "--inbox-max-attempts", "100", "--platform-heartbeat-interval", "2s",
                "--agent-health-interval", "500ms"]

    def environment(self):
        return harness.clean_environment(self.dir, {
            "WORKSPACE_ID": self.me, "PLATFORM_URL": f"http://127.0.0.1:{self.port}", "MOLECULE_WORKSPACE_TOKEN": f"{harness.TOKEN}0",
            "RUNTIME_DIRECTORY": self.dir / "run", "CONFIGS_DIR": self.dir / "state"})

    def is_up(self, name):
        """It answers; an OSError says no."""
        if name == "platform":
            return harness.get(self.port, "/health", timeout=5).status == 200
        if name == "sidecar":
            return harness.get(self.dir / "run" / "control.sock", "/v1/status", timeout=5).status == 200
        return harness.get(self.dir / "agent.sock", "/", timeout=5).status == 200

    def kill(self, name):
        p = self.running[name]
        p.kill()
        p.wait()
        self.killed[name] += 1

    def kill_and_note(self, name):
        """With the sidecar stopped first, so that its journal shows what was under way at the moment of the kill."""
        if name != "agent":
            self.freeze()
        self.kill(name)
        if name != "agent":
            self.caught |= self.under_way()
            if name != "sidecar":
                self.running["sidecar"].send_signal(signal.SIGCONT)

    def freeze(self):
        p = self.running["sidecar"]
        p.send_signal(signal.SIGSTOP)

        def is_still():
            tasks = list(pathlib.Path(f"/proc/{p.pid}/task").glob("*/stat")) if p.poll() is None else []
            with contextlib.suppress(OSError):
                return all(t.read_text().rpartition(")")[2].split()[0] in "TtZX" for t in tasks)
        harness.eventually(is_still, "the sidecar stands still", 60, every=0.001)

    def under_way(self):
        """Of a copy: looking at a journal without its owner changes it."""
        with tempfile.TemporaryDirectory(dir=self.dir) as copy:
            for tail in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(self.journal() + tail, os.path.join(copy, "inbox.db" + tail))
            with contextlib.suppress(sqlite3.OperationalError):  # it is being made
                with contextlib.closing(sqlite3.connect(os.path.join(copy, "inbox.db"))) as db:
                    return {m for m, in db.execute("SELECT message_id FROM message WHERE state = ? AND sender <> ''", (ANSWERING,))}
        return set()

    def journal(self):
        return str(next((self.dir / "state").rglob("inbox.db"), self.dir / "state" / "inbox.db"))

    def register_peers(self):
        """They poll as well: what is sent to them waits there."""
        for i, peer in enumerate(self.peers):
            a = harness.post(self.port, "/registry/register", {"id": peer, "delivery_mode": "poll", "url": "", "agent_card": {"name": f"peer{i}"}},
                             headers={"Authorization": f"Bearer {harness.TOKEN}{i + 1}"})
            self.case.assertEqual(a.status, 200, a)

    # ---- who writes ----

    def conversations(self):
        for i in range(PEOPLE):
            yield f"person{i}", None
        for p in range(PEERS):
            for i in range(PEER_TALKS):
                yield f"peer{p}-{i}", p

    def write(self, name, peer, texts):
        """One conversation: each message until the platform has it."""
        headers = {} if peer is None else {"X-Workspace-ID": self.peers[peer], "Authorization": f"Bearer {harness.TOKEN}{peer + 1}"}
        for text in texts:
            with self.moved:
                self.moved.wait_for(lambda t=text: self.share >= int(t.split(" ")[1]) / self.messages or self.is_over.is_set())
            body = harness.a2a(text, contextId=name, messageId=self.ids[text])
            while not self.is_over.is_set():
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                    a = harness.post(self.port, f"/workspaces/{self.me}/a2a", body, headers=headers, timeout=5)
                    if a.status == 200 and a.json.get("status") == "queued":
                        self.taken[name] += 1
                        break
                self.is_over.wait(0.05)  # it is down, or does not say

    # ---- what happens to them ----

    def fault(self):
        """One that hits a few calls."""
        path = self.plan.choice(["/notify", "/a2a", "/activity", "/registry/heartbeat", "/state"])
        kind = self.plan.choice([{"drop": True}, {"drop": True, "after": True}, {"drop": True, "after": True}, {"latency_ms": 300},
                                 {"status": 500}, {"status": 502, "body": "<html>bad gateway</html>", "content_type": "text/html"},
                                 {"status": 429, "retry_after": 1}, {"lose": True}])
        count = self.plan.randint(1, 4)
        if "lose" in kind:
            return {"lose_cursors": True}
        where = path if path.startswith("/registry") else f"/workspaces/*{path}"
        return {"faults": [{"path": where, "count": count, **kind}]}

    def disturb(self):
        """The plan: who is killed next, when, and what else goes wrong. Written down first, so that the seed alone decides."""
        for _ in range(self.kills):
            pause = self.plan.expovariate(1 / PAUSE)
            victim = self.plan.choice(["sidecar", "sidecar", "agent", "platform"])
            fault = self.fault() if self.plan.random() < FAULTS else None
            yield pause, victim, fault, self.plan.random() < PATIENT

    def note_fault(self, fault):
        for f in fault.get("faults", ()):
            if f["path"].endswith("/a2a") and (f.get("drop") or f.get("status", 0) >= 500):
                self.hits += f["count"]

    def go_on(self, share):
        with self.moved:
            self.share = share
            self.moved.notify_all()

    def run(self):
        (self.dir / "run").mkdir(exist_ok=True)
        (self.dir / "state").mkdir(exist_ok=True)
        plan = list(self.disturb())
        threads = self.writers()
        try:
            for name in ("platform", "agent", "sidecar"):
                self.start(name)
                harness.eventually(lambda n=name: self.is_up(n), f"{name} is up", 60)
            self.register_peers()
            for t in threads:
                t.start()
            began = time.monotonic()
            for n, (pause, victim, fault, waits) in enumerate(plan):
                self.go_on((n + 1) / len(plan))
                self.is_over.wait(pause)
                if fault:
                    self.note_fault(fault)
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        harness.post(self.port, "/dev/faults", fault, timeout=2)
                self.kill_and_note(victim)
                self.start(victim)
                if waits:
                    harness.eventually(lambda v=victim: self.is_up(v), f"{victim} is back", 60)
            self.disturbed_s = time.monotonic() - began
            self.settle(threads)
            self.check()
        except BaseException:
            self.tell()
            raise
        finally:
            self.is_over.set()
            self.go_on(1.0)
            for name in list(self.running):
                self.kill(name)
            for t in threads:
                t.join(10)

    def writers(self):
        talks = list(self.conversations())
        texts = {name: [] for name, _ in talks}
        for n in range(self.messages):
            name = talks[n % len(talks)][0]
            texts[name].append(f"{name} {n} {'task' if self.plan.random() < TASKS else 'text'}")
        self.texts = texts
        self.ids = {t: str(uuid.UUID(int=self.plan.getrandbits(128), version=4)) for some in texts.values() for t in some}
        return [threading.Thread(target=self.write, args=(name, peer, texts[name]), daemon=True) for name, peer in talks]

    # ---- the end ----

    def orders(self, *args):
        r = subprocess.run([harness.SIDECAR, "inbox", *args, "--json"], env=self.environment(), cwd=self.dir, capture_output=True, text=True,
                           timeout=30)
        return json.loads(r.stdout) if r.returncode == 0 else None

    def listed(self, state):
        return harness.eventually(lambda: self.orders("list", "--state", state), f"a list of what is {state}")

    def answers(self):
        found = []
        while page := harness.get(self.port, f"/dev/answers?since={len(found)}").json["answers"]:
            found += page
        return found

    def tell(self):
        """What a failed run is judged by."""
        for words in (["inbox", "list"], ["status"]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                r = subprocess.run([harness.SIDECAR, *words], env=self.environment(), cwd=self.dir, capture_output=True, text=True, timeout=30)
                print(f"---- {' '.join(words)}: {r.returncode}\n{r.stdout[-6000:]}{r.stderr[-2000:]}", file=sys.stderr)
        for name in self.running:
            lines = (self.dir / f"{name}.log").read_text(errors="replace").splitlines()
            print(f"---- {name}", *lines[-60:], sep="\n", file=sys.stderr)

    def settle(self, threads):
        """In peace: until each message is answered or parked."""
        for name in self.running:
            harness.eventually(lambda n=name: self.is_up(n), f"{name} is back", 60)
        harness.call(self.port, "DELETE", "/dev/faults")
        end = time.monotonic() + ENDING + self.messages / 10
        for t in threads:
            t.join(max(0, end - time.monotonic()))
            self.case.assertFalse(t.is_alive(), "a writer has not got rid of its messages")

        def is_done():
            counts = (self.orders("list") or {}).get("counts", {})
            self.counts = counts
            return (counts and counts["answered"] + counts["parked"] + counts["dead"] >= self.messages
                    and counts["seen"] + counts["delivered"] + counts["answering"] == 0)
        harness.eventually(is_done, f"all {self.messages} are answered or parked", max(1, end - time.monotonic()), every=0.5)

    def check(self):
        case, wanted = self.case, [t for texts in self.texts.values() for t in texts]
        received = [line.partition(" ")[2] for line in self.book.read_text().splitlines()]
        times = collections.Counter(a["text"].removeprefix("re: ") for a in self.answers())
        listed = self.listed("parked")
        case.assertFalse(listed["more"], "more parked than one list shows")
        parked = {m["message_id"]: m["why"] for m in listed["messages"]}
        text_of = {i: t for t, i in self.ids.items()}
        by_fault = sorted(text_of[i] for i in parked if i not in self.caught)
        self.report = (f"seed {self.seed}: {len(wanted)} messages, {sum(self.killed.values())} kills ({dict(self.killed)}) in "
                       f"{self.disturbed_s:.0f} s; received {len(received)} times, answered {sum(times.values())}, parked {len(parked)}: "
                       f"{len(parked) - len(by_fault)} of {len(self.caught)} that a kill found under way, {len(by_fault)} of at most {self.hits} hit by a fault")
        print(self.report, file=sys.stderr)
        case.assertEqual(set(wanted) - set(received), set(), "never reached the agent")
        for name, texts in self.texts.items():
            first = list(dict.fromkeys(r for r in received if r.split(" ")[0] == name))
            case.assertEqual(first, texts, f"the order of {name}")
        case.assertEqual({t: n for t, n in times.items() if n > 1}, {}, "answered more than once")
        case.assertEqual([t for t in wanted if times[t] == 0 and self.ids[t] not in parked], [], "never answered, and not listed")
        case.assertEqual({text_of[i]: why for i, why in parked.items() if not why.startswith(UNKNOWN)}, {}, "parked for another reason")
        case.assertEqual([text_of[i] for i in parked if not text_of[i].startswith("peer")], [], "a person's: the feed tells")
        case.assertLessEqual(len(by_fault), self.hits, f"parked, though no kill found them under way: {by_fault}")
        case.assertEqual(self.listed("dead")["messages"], [], "dead letters")

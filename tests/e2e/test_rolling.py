"""An agent that is killed again and again under load: nothing is lost that it had not got, nothing is done twice, nobody is lied to."""
# ctest: timeout=240
import collections
import http.client
import json
import os
import signal
import threading
import unittest

import harness
from harness import eventually

CLIENTS = 6
KILLS = 5
BETWEEN = 30  # answers from one kill to the next
FLAGS = ("--restart-policy", "always", "--restart-backoff", "20ms", "--restart-backoff-max", "50ms", "--restart-max", "0",
         "--forward-hold-timeout", "120s", "--stop-grace", "5s")


class Client(threading.Thread):
    """Posts on a kept connection, one request after the other, each with a number of its own."""

    def __init__(self, port, name, stop):
        super().__init__(daemon=True)
        self.port, self.name, self.stop = port, name, stop
        self.outcomes = {}  # number -> (status, text)
        self.problems = []

    def run(self):
        connection = harness.connection(self.port, timeout=150)
        while not self.stop.is_set():
            number = f"{self.name}-{len(self.outcomes)}"
            body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "message/send"}, separators=(",", ":"))
            try:
                connection.request("POST", "/", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                self.outcomes[number] = (response.status, response.read().decode())
            except (OSError, http.client.HTTPException) as problem:
                self.problems.append((number, problem))
                return
        connection.close()


class Case(harness.Case):
    is_unix = True  # then it can be known whether a request was read

    def roll(self, signals, *flags, gently=(), kills=KILLS):
        log = self.dir / "seen.log"
        side = self.sidecar(None, *FLAGS, *flags, command=harness.test_agent("witness.py", log, *gently)).wait_ready()
        stop = threading.Event()
        clients = [Client(side.port, f"c{n}", stop) for n in range(CLIENTS)]
        for c in clients:
            c.start()

        def answered():
            return sum(len(c.outcomes) for c in clients)

        def an_agent():
            self.assertEqual([c.problems for c in clients if c.problems], [], "each gets an answer")
            return [pid for pid in side.agent_pids() if pid != killed]

        killed = None
        for n in range(kills):
            before = answered()
            eventually(lambda: answered() >= before + BETWEEN, "the clients get answers", 60)
            (pid,) = eventually(an_agent, "an agent runs", 60)
            os.kill(pid, signals[n % len(signals)])
            killed = pid
            eventually(lambda: an_agent(), "another agent is started", 60)
        before = answered()
        eventually(lambda: answered() >= before + BETWEEN, "the last agent answers", 60)
        stop.set()
        for c in clients:
            c.join(150)
            self.assertFalse(c.is_alive())
        an_agent()
        self.judge({k: v for c in clients for k, v in c.outcomes.items()}, log)
        self.assertGreaterEqual(side.metrics()["molecule_sidecar_agent_restarts_total"], kills)
        side.terminate()

    def judge(self, outcomes, log):
        did = collections.defaultdict(list)  # number -> what agents did with it
        for line in log.read_text().splitlines():
            word, number, _ = line.split()
            did[number].append(word)
        for number, words in did.items():
            self.assertEqual(len(words), len(set(words)), f"{number} was given to an agent twice: {words}")
            self.assertIn(number, outcomes)
        for number, (status, text) in outcomes.items():
            words = did.get(number, [])
            if status == 200:
                self.assertEqual(json.loads(text)["id"], number)
                self.assertEqual(words[:2], ["seen", "read"])
                continue
            answer = json.loads(text)
            self.assertEqual(status, 502, text)
            self.assertIn("AGENT_CONNECTION_LOST", text, "nothing else can happen to it")
            if "had reached it" not in text:  # else the id was still on its way to us
                self.assertEqual(answer["id"], number, text)
            if "may have been handled" in text:
                self.assertTrue("seen" in words or not self.is_unix, f"no agent has ever read {number}, but: {text}")
            else:
                self.assertRegex(text, "before (it had read the whole request|the whole request had reached it)")
                self.assertNotIn("read", words, f"an agent has read {number}, but: {text}")
        lost = sum(status != 200 for status, _ in outcomes.values())
        self.assertLessEqual(lost, KILLS * CLIENTS * 2, "what was not with the agent when it was killed waits for the next one")


class Rolling(Case):
    def test_killed_under_load(self):
        self.roll([signal.SIGKILL, signal.SIGTERM])

    def test_killed_under_load_with_a_limit(self):
        self.roll([signal.SIGKILL], "--forward-max-in-flight", "3")

    def test_ended_gently_under_load(self):
        self.roll([signal.SIGTERM], gently=("gently",))


class RollingTcp(Case):
    is_unix = False

    def test_killed_under_load(self):
        self.roll([signal.SIGKILL, signal.SIGTERM], "--agent-address", f"http://127.0.0.1:{harness.free_port()}", kills=3)


class RollingLocalhost(Case):
    is_unix = False

    def test_ended_under_load(self):
        self.roll([signal.SIGTERM, signal.SIGKILL], "--agent-address", f"http://localhost:{harness.free_port()}", kills=3)


if __name__ == "__main__":
    unittest.main()

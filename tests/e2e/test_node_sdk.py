"""The real JavaScript SDK as agent and as client: what each call of its client gets through the sidecar equals what it gets from the
agent itself, in both protocol versions and both bindings."""
# ctest: long
# ctest: timeout=600
import json
import pathlib
import subprocess
import unittest

import harness

BUILD = pathlib.Path(harness.SIDECAR).resolve().parent.parent / "node"
DIALECTS = ("jsonrpc-1.0", "rest-1.0", "jsonrpc-0.3", "rest-0.3")
EXAMPLE_DIALECTS = DIALECTS[:3]  # what examples/node speaks
INSTALL_SECONDS = 500  # all tries of both packages; ends sooner without a registry
CLIENT_SECONDS = 240  # starting node is most of it, on a machine that has much to do


def prepare():
    """The node to use, and the directory with SDK, agents and client; skips by name when they cannot be had."""
    made = subprocess.run([harness.SOURCE / "tests/node/setup", BUILD], capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if made.returncode == 3:
        raise unittest.SkipTest(made.stderr.strip().splitlines()[-1])
    if made.returncode != 0:
        raise AssertionError(made.stderr)
    return made.stdout.strip()


class NodeSdk(harness.Case):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node = prepare()

    def agent(self, name):
        return [self.node, str(BUILD / name)]

    def client(self, base, mode, *dialects):
        """{dialect: {call: what it gave}}."""
        done = subprocess.run([self.node, BUILD / "client.mjs", base, mode, *dialects], capture_output=True, text=True, timeout=CLIENT_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def direct(self, name):
        """The agent alone on a port, started by nobody but us."""
        port = harness.free_port()
        agent = self.process("agent alone", self.agent(name), env={"PORT": str(port)})
        agent.wait_line("listening on")
        return f"http://127.0.0.1:{port}"

    def through(self, *flags, command=None):
        side = self.sidecar(None, *flags, command=command)
        side.wait_ready()
        return f"http://127.0.0.1:{side.port}"

    def compared(self, direct, through, mode, dialects):
        """(dialect, what the agent gave, what the sidecar gave) for each."""
        want, got = self.client(direct, mode, *dialects), self.client(through, mode, *dialects)
        return [(dialect, want[dialect], got[dialect]) for dialect in dialects]

    def assert_same(self, got, want):
        """Call by call, so that a difference is shown with its name. The advertised addresses are what is meant to differ."""
        self.assertEqual(list(got), list(want))
        for call in want:
            if call != "advertised":
                self.assertEqual(got[call], want[call], call)

    def assert_front_door(self, urls, through):
        self.assertTrue(urls)
        for url in urls:
            self.assertTrue(url.startswith(through), url)

    def test_every_call_gives_the_same_with_and_without_the_sidecar(self):
        direct, through = self.direct("agent_full.mjs"), self.through(command=self.agent("agent_full.mjs"))
        for dialect, want, got in self.compared(direct, through, "all", DIALECTS):
            with self.subTest(dialect=dialect):
                self.assert_front_door(got["advertised"]["card"], through)
                self.assert_same(got, want)
                self.assert_successes(got, dialect)

        # the same agent behind a second sidecar, on a port of its own
        rewriting = self.through("--agent-address", direct, "--card-rewrite-extended", "true")
        for dialect, want, got in self.compared(direct, rewriting, "cards", DIALECTS):
            with self.subTest(dialect=dialect, rewrite_extended=True):
                for urls in got["advertised"].values():
                    self.assert_front_door(urls, rewriting)
                self.assertEqual(len(got.pop("wire")), len(want.pop("wire")))  # a changed card has another tag, and says that it varies
                self.assert_same(got, want)

    def assert_successes(self, got, dialect):
        """The calls did what they are for, and did not just fail alike."""
        self.assertEqual(len([e for e in got["stream"] if e["payload"]["$case"] == "artifactUpdate"]), 20)
        self.assertEqual(len(got["resubscribeRest"]), 4, "three artifacts and the end")
        self.assertEqual([c["id"] for c in got["configListAfter"]["configs"]], ["two"])
        self.assertEqual([s["id"] for s in got["extendedCard"]["skills"]], ["shout", "whisper"])
        self.assertEqual(got["streamAborted"]["name"], "AbortError")
        self.assertEqual(got["tokenGiven"]["parts"][0]["content"]["value"], "WITH A TOKEN")
        if dialect.endswith("1.0"):
            self.assertEqual(got["list"]["totalSize"], 4)
            self.assertEqual((len(got["listPage"]["tasks"]), len(got["listNextPage"]["tasks"])), (3, 1))

    def test_every_refusal_is_the_same_with_and_without_the_sidecar(self):
        direct, through = self.direct("agent.mjs"), self.through(command=self.agent("agent.mjs"))
        for dialect, want, got in self.compared(direct, through, "refusals", EXAMPLE_DIALECTS):
            with self.subTest(dialect=dialect):
                self.assert_same(got, want)
                self.assertIn("refused", got["configSet"])
                self.assertIn("refused", got["extendedCard"])


if __name__ == "__main__":
    unittest.main()

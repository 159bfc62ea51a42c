"""The real JavaScript SDK as agent and as client: what its client gets through the sidecar equals what it gets from the agent itself,
in every dialect it speaks."""
import json
import pathlib
import subprocess
import unittest

import harness

BUILD = pathlib.Path(harness.SIDECAR).resolve().parent.parent / "node"
DIALECTS = ("jsonrpc-1.0", "rest-1.0", "jsonrpc-0.3")
INSTALL_SECONDS = 120
CLIENT_SECONDS = 60


def prepare():
    """The node to use, and the directory with SDK, agent and client; skips by name when they cannot be had."""
    made = subprocess.run([harness.SOURCE / "tests/node/setup", BUILD], capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if made.returncode == 3:
        raise unittest.SkipTest(made.stderr.strip().splitlines()[-1])
    if made.returncode != 0:
        raise AssertionError(made.stderr)
    return made.stdout.strip()


class NodeSdk(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node = prepare()

    def client(self, base, dialect):
        done = subprocess.run([self.node, BUILD / "client.mjs", base, dialect], capture_output=True, text=True, timeout=CLIENT_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def direct(self):
        """The agent alone on a port, started by nobody but us."""
        port = harness.free_port()
        agent = self.process("agent alone", [self.node, str(BUILD / "agent.mjs")], env={"PORT": str(port)})
        agent.wait_line("listening on")
        return f"http://127.0.0.1:{port}"

    def test_every_dialect_gives_the_same_with_and_without_the_sidecar(self):
        direct = self.direct()
        side = self.sidecar(command=[self.node, str(BUILD / "agent.mjs")])
        side.wait_ready()
        through = f"http://127.0.0.1:{side.port}"
        for dialect in DIALECTS:
            with self.subTest(dialect=dialect):
                want, got = self.client(direct, dialect), self.client(through, dialect)
                # the card's addresses are the one thing that is meant to differ: each names its own front door
                for url in got.pop("advertised"):
                    self.assertTrue(url.startswith(through), url)
                want.pop("advertised")
                self.assertEqual(got, want)
                self.assertEqual(len([e for e in got["stream"] if e["payload"]["$case"] == "artifactUpdate"]), 20)

    def test_an_agent_on_a_port_of_its_own_works_as_well(self):
        port = harness.free_port()
        side = self.sidecar(None, "--agent-address", f"http://127.0.0.1:{port}", command=[self.node, str(BUILD / "agent.mjs")])
        side.wait_ready()
        got = self.client(f"http://127.0.0.1:{side.port}", "jsonrpc-1.0")
        self.assertEqual(got["send"]["parts"][0]["content"]["value"], "HELLO THERE")


if __name__ == "__main__":
    unittest.main()

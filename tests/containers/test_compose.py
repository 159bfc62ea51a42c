"""docker/compose.yaml as a person would use it: a message through the platform and back, and a stop that loses nothing.

The file is driven by podman-compose, docker compose or docker-compose, whatever is here and knows the file. Ports of the host are free ones.
"""
import datetime
import http.client
import json
import os
import re
import shutil
import socket
import threading
import time
import unittest
import uuid

import engine

FILE = engine.SOURCE / "docker/compose.yaml"
STOP_S = 10  # what `docker stop` gives


def setUpModule():
    engine.need()


def find_compose():
    """The words of a compose for this engine, or None."""
    if engine.engine == "docker" and engine.run("compose", "version").returncode == 0:
        return ["docker", "compose"]
    for name in ("podman-compose",) if engine.engine == "podman" else ("docker-compose",):
        if shutil.which(name):
            return [name]
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Compose(engine.Case):
    """One project of its own per test."""

    def setUp(self):
        self.tool = self.project = self.env = None
        self.addCleanup(self.compose, "down", "-v", check=False)  # first to be said, last to be done
        super().setUp()
        self.tool = find_compose()
        if not self.tool:
            self.skipTest(f"no compose for {engine.engine} (podman-compose, docker compose)")
        for target in ("sidecar", "devplatform", "agent", "wrapped"):
            engine.image(target)
        self.project = f"{engine.RUN}-{uuid.uuid4().hex[:6]}"
        self.id = str(uuid.uuid4())
        self.port, self.agent_port = free_port(), free_port()
        self.env = {**os.environ, "WORKSPACE_ID": self.id, "PLATFORM_PORT": str(self.port), "AGENT_PORT": str(self.agent_port)}
        if engine.engine == "podman" and "HOST_GATEWAY" not in os.environ:  # podman of Debian 12 does not know the word host-gateway
            self.env["HOST_GATEWAY"] = re.search(r'"gateway": "([^"]+)"', engine.must("network", "inspect", "podman"))[1]

    def compose(self, *words, check=True):
        if not self.project:
            return None
        done = engine.command(*self.tool, "-f", FILE, "-p", self.project, *words, env=self.env, timeout=300)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def up(self, *services):
        self.compose("up", "-d", "--no-build", *services)
        for service in services:
            self.names.append(self.container(service))

    def container(self, service):
        """podman-compose joins names with _, docker compose with -."""
        names = engine.must("ps", "-a", "--format", "{{.Names}}").split()
        return next(n for n in names if re.fullmatch(rf"{self.project}[-_]{service}[-_]1", n))

    def send(self, text):
        """As a person at the canvas: the text of the agent's answer."""
        status, answer = engine.call(self.port, "POST", f"/workspaces/{self.id}/a2a", engine.a2a(text), timeout=60)
        self.assertEqual(status, 200, answer)
        return json.dumps(answer)

    def wait_online(self):
        engine.eventually(lambda: engine.call(self.port, "GET", f"/workspaces/{self.id}")[1]["status"] == "online", "the agent is on the platform")

    def healthy(self, service):
        """What the engine's own look says; podman looks by itself only with systemd's timers, so it is asked to."""
        name = self.container(service)
        if engine.engine == "podman":
            return engine.run("healthcheck", "run", name).returncode == 0
        return self.state(name)["Health"]["Status"] == "healthy"

    def no_message_is_lost_by_a_stop(self, service):
        """Requests of two seconds each, four a second, while `stop` comes: each that began before is answered. The exit status."""
        begun, answered, broken, is_over = [], [], [], threading.Event()

        def ask():
            began = time.time()
            try:
                status, answer = engine.call(self.agent_port, "POST", "/", engine.a2a("slow 2"), timeout=60)
            except (OSError, http.client.HTTPException):
                broken.append(began)
                return
            (answered if status == 200 and "that took 2 s" in json.dumps(answer) else broken).append(began)

        def keep_asking():
            while not is_over.wait(0.25):
                begun.append(threading.Thread(target=ask))
                begun[-1].start()

        asking = threading.Thread(target=keep_asking)
        asking.start()
        engine.eventually(lambda: answered, "the first answer")
        _, code = self.stop(self.container(service), STOP_S)  # kills after that time, which the exit status would tell
        is_over.set()
        asking.join()
        for thread in begun:
            thread.join()
        lines = [json.loads(line) for line in self.logs(self.container(service)).splitlines() if line.startswith("{")]
        draining = next(i for i, line in enumerate(lines) if line["msg"] == "running -> draining")
        since = datetime.datetime.fromisoformat(lines[draining]["time"].replace("Z", "+00:00")).timestamp()
        self.assertEqual([began for began in broken if began < since - 0.5], [], "begun before the stop and not answered")
        self.assertTrue([line for line in lines[draining:] if line["msg"] == "request" and line["status"] == 200], "answered during the drain")
        return code

    def test_two_containers(self):
        self.up("platform", "agent", "sidecar")
        self.wait_online()
        for service in ("platform", "sidecar"):
            engine.eventually(lambda: self.healthy(service), f"{service} is healthy")
        self.assertIn("you said: through and back", self.send("through and back"))
        self.everything_is_locked()
        self.the_host_has_a_name()
        self.assertEqual(self.no_message_is_lost_by_a_stop("sidecar"), 0)
        state = engine.call(self.port, "GET", "/dev/state")[1]
        self.assertIn("stopped", json.dumps(state), "the last beat")
        for service in ("agent", "platform"):
            self.assertNotEqual(self.stop(self.container(service))[1], 137, f"{service} had to be killed")

    def test_the_token_survives_new_containers(self):
        self.up("platform", "agent", "sidecar")
        self.wait_online()
        self.stop(self.container("sidecar"))
        engine.must("rm", self.container("sidecar"))
        self.up("sidecar")
        self.wait_online()
        engine.eventually(lambda: "you said: again" in self.send("again"), "a message after the restart")
        self.assertNotIn("refused", self.logs(self.container("sidecar")))

    def test_one_container(self):
        self.up("platform", "wrapped")
        self.wait_online()
        engine.eventually(lambda: self.healthy("wrapped"), "healthy")
        self.assertIn("you said: through and back", self.send("through and back"))
        self.assertEqual(self.no_message_is_lost_by_a_stop("wrapped"), 0)

    def everything_is_locked(self):
        for service in ("platform", "agent", "sidecar"):
            facts = json.loads(engine.must("inspect", self.container(service)))[0]
            self.assertTrue(facts["HostConfig"]["ReadonlyRootfs"], service)
            self.assertFalse(facts.get("EffectiveCaps"), service)
            self.assertIn("65532", facts["Config"]["User"], service)
            self.assertNotRegex(json.dumps([facts.get("Args"), facts["Config"].get("Cmd")]), r"(?i)token|bearer", service)
        self.assertIn("NoNewPrivs:\t1", engine.must("exec", self.container("agent"), "cat", "/proc/1/status"))

    def the_host_has_a_name(self):
        """host.docker.internal, which Linux engines do not know by themselves."""
        with open(json.loads(engine.must("inspect", self.container("sidecar")))[0]["HostsPath"], encoding="utf-8") as f:
            self.assertRegex(f.read(), r"(?m)^[0-9a-f.:]+\s.*host\.docker\.internal")


if __name__ == "__main__":
    unittest.main()

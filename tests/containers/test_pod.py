"""The pod that the chart renders (mode native), played by podman: agent and sidecar in two containers with shared volumes, a message through
the platform and back, and a stop that loses nothing.

podman is no kubelet: its `play kube` knows no init containers that stay, no preStop, no probes by a port, no fsGroup, and no emptyDir (before
4.4). So the rendered pod is rewritten here, in as_plain_containers(): the sidecar becomes a plain container that starts first, volumes become
directories with a kubelet's contents and owners. Images, arguments, environment, users, locks and mount points stay the chart's. What the
kubelet would do is done by the test, at the rendered paths and ports: the probes are asked once, and the drain is asked for before the pod
is stopped.
"""
import base64
import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
import unittest
import uuid

import engine

CHART = engine.SOURCE / "helm/molecule-sidecar"
KUBERNETES = "1.31.0"
STOP_S = 10  # after the drain nothing is left to wait for
SLOW_S = 5   # of the message that the drain waits for: it must be seen under way, also on a machine that does much else
TOKEN = "pod-token-0123456789abcdefghijklmnopqrstuvwxyz"
try:
    import yaml
except ImportError:
    yaml = None


def setUpModule():
    engine.need()
    if engine.engine != "podman":
        raise unittest.SkipTest("no pod: `play kube` is podman's")
    if not yaml:
        raise unittest.SkipTest("no pod: python3-yaml is not installed")
    if not helm():
        raise unittest.SkipTest("no pod: helm is not here (`make test-kube` fetches it; or HELMS=PATH, or on PATH)")
    problem = engine.pods_work()
    if problem and "cgroup" in problem and os.geteuid() == 0:
        leave = engine.into_own_cgroups()
        if leave:
            unittest.addModuleCleanup(leave)
            problem = engine.pods_work()
    if problem:
        raise unittest.SkipTest(f"no pod: podman cannot start one here: {problem}")


def helm():
    """The helm to render with, or None."""
    found = [*os.environ.get("HELMS", "").split(":"), engine.SOURCE / "build/kube/bin/helm4", shutil.which("helm")]
    return next((path for path in found if path and os.access(path, os.X_OK)), None)


class Pod(engine.Case):
    """One release of the chart, with a development platform in a network that both share."""

    def setUp(self):
        self.pod = f"{engine.RUN}-{uuid.uuid4().hex[:6]}"
        self.addCleanup(engine.run, "network", "rm", "-f", self.pod)  # first to be said, last to be done
        self.addCleanup(engine.run, "pod", "rm", "-f", self.pod)
        super().setUp()
        for target in ("sidecar", "devplatform", "agent"):
            engine.image(target)
        directory = tempfile.TemporaryDirectory(prefix="molecule-pod-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.dir.chmod(0o755)
        self.id = str(uuid.uuid4())
        engine.must("network", "create", self.pod)

    def platform(self):
        """Starts the development platform; its port on this machine."""
        name = self.start(f"platform-{self.id[:6]}", "molecule-devplatform", "--workspace", f"{self.id}:{TOKEN}",
                          flags=[f"--network={self.pod}", "--network-alias=platform", "-p", "127.0.0.1::8080"])
        return int(engine.must("port", name, "8080").rsplit(":", 1)[1])

    def rendered(self):
        """The chart's objects by kind and name."""
        values = {"agent.image": "localhost/molecule-agent:latest", "sidecar.image.repository": "localhost/molecule-sidecar",
                  "sidecar.image.tag": "latest", "workspace.id": self.id, "platform.url": "http://platform:8080", "platform.token": TOKEN,
                  "platform.delivery": "push", "platform.reportedUrl": f"http://{self.pod}:8000"}
        done = engine.command(helm(), "template", self.pod, CHART, "--kube-version", KUBERNETES, *(w for k, v in values.items() for w in ("--set", f"{k}={v}")))
        self.assertEqual(done.returncode, 0, done.stderr)
        objects = {}
        for item in yaml.safe_load_all(done.stdout):
            if item:
                objects.setdefault(item["kind"], {})[item["metadata"]["name"]] = item
        return objects

    def as_plain_containers(self, objects):
        """The Deployment's pod as podman can play it; the rendered one is left as it is."""
        (deployment,) = objects["Deployment"].values()
        spec = json.loads(json.dumps(deployment["spec"]["template"]["spec"]))
        spec["containers"] = [*spec.pop("initContainers"), *spec["containers"]]
        spec["restartPolicy"] = "Never"  # so that a container that ended by itself is seen
        user = {key: spec["securityContext"][key] for key in ("runAsUser", "runAsGroup")}
        for container in spec["containers"]:
            for key in ("restartPolicy", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
                container.pop(key, None)
            container["imagePullPolicy"] = "Never"
            container["securityContext"].update(user)
            for variable in container.get("env", []):
                if reference := variable.pop("valueFrom", None):
                    variable["value"] = self.secret(objects, reference["secretKeyRef"]["name"])[reference["secretKeyRef"]["key"]]
        spec["volumes"] = [self.as_directory(volume, objects) for volume in spec["volumes"]]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.pod}, "spec": spec}

    def secret(self, objects, name):
        return {key: base64.b64decode(value).decode() for key, value in objects["Secret"][name]["data"].items()}

    def as_directory(self, volume, objects):
        """What a kubelet makes of a volume, below our own directory: files of a ConfigMap or a Secret, or nothing yet; the group is fsGroup."""
        where = self.dir / volume["name"]
        where.mkdir()
        if "configMap" in volume:
            files = objects["ConfigMap"][volume["configMap"]["name"]]["data"]
        elif "secret" in volume:
            data = self.secret(objects, volume["secret"]["secretName"])
            files = {item["path"]: data[item["key"]] for item in volume["secret"]["items"]}
        else:
            self.assertIn("emptyDir", volume)
            files = {}
        for name, text in files.items():
            (where / name).write_text(text, encoding="utf-8")
            os.chown(where / name, 0, 65532)
            (where / name).chmod(0o440)
        os.chown(where, 0, 65532)
        where.chmod(0o2775)
        return {"name": volume["name"], "hostPath": {"path": str(where), "type": "Directory"}}

    def play(self, pod):
        """Starts the pod; the address it has in its network."""
        path = self.dir / "pod.yaml"
        path.write_text(yaml.safe_dump(pod), encoding="utf-8")
        self.names += [f"{self.pod}-{c['name']}" for c in pod["spec"]["containers"]]
        engine.must("play", "kube", "--network", self.pod, path)
        infra = json.loads(engine.must("pod", "inspect", self.pod))["InfraContainerID"]
        return json.loads(engine.must("inspect", infra))[0]["NetworkSettings"]["Networks"][self.pod]["IPAddress"]

    def ask(self, address, check):
        """The status of what the kubelet would ask for, by its rendered words."""
        return engine.call(int(check["httpGet"]["port"]), "GET", check["httpGet"]["path"], host=address, timeout=60)[0]

    def in_flight(self, address, sidecar):
        """Requests with the agent, as the admin port's metrics have it: one HTTP call, where `podman exec` takes seconds on a busy machine."""
        status, text = engine.call(int(sidecar["livenessProbe"]["httpGet"]["port"]), "GET", "/metrics", host=address)
        self.assertEqual(status, 200)
        return int(re.search(r"(?m)^molecule_sidecar_requests_in_flight (\d+)$", text)[1])

    def test_a_message_passes_and_the_stop_loses_none(self):
        port, objects = self.platform(), self.rendered()
        (deployment,) = objects["Deployment"].values()
        (sidecar,) = deployment["spec"]["template"]["spec"]["initContainers"]
        (agent,) = deployment["spec"]["template"]["spec"]["containers"]
        self.assertEqual(sidecar["restartPolicy"], "Always", "a native sidecar")
        address = self.play(self.as_plain_containers(objects))
        for probe in (sidecar["startupProbe"], sidecar["livenessProbe"], sidecar["readinessProbe"], agent["startupProbe"], agent["livenessProbe"]):
            engine.eventually(lambda: self.ask(address, probe) == 200, f"{probe['httpGet']['path']} is answered by 200")
        engine.eventually(lambda: engine.call(port, "GET", f"/workspaces/{self.id}")[1]["status"] == "online", "the agent is on the platform")
        engine.eventually(lambda: "you said: through and back" in self.send(port, "through and back"), "a message through the platform and back")

        answers = []
        asking = threading.Thread(target=lambda: answers.append(self.send(port, f"slow {SLOW_S}")))
        asking.start()
        ours, theirs = f"{self.pod}-{sidecar['name']}", f"{self.pod}-{agent['name']}"
        engine.eventually(lambda: self.in_flight(address, sidecar) == 1, "the message is with the agent", every=0.02)
        self.assertEqual(self.ask(address, agent["lifecycle"]["preStop"]), 200, "drained")
        self.assertNotEqual(self.ask(address, sidecar["readinessProbe"]), 200, "not ready once drained")
        self.assertIn("draining", json.dumps(engine.call(port, "GET", "/dev/state")[1]), "a beat says so")
        engine.must("pod", "stop", "-t", STOP_S, self.pod)
        asking.join()
        self.assertIn(f"that took {SLOW_S} s", answers[0])
        # Not the last beat: podman ends the network's own container together with ours.
        self.assertEqual([self.state(name)["ExitCode"] for name in (ours, theirs)], [0, 0], "both ended by TERM, none by KILL")

    def send(self, port, text):
        """As a person at the canvas: the text of the agent's answer."""
        status, answer = engine.call(port, "POST", f"/workspaces/{self.id}/a2a", engine.a2a(text), timeout=60)
        return f"{status} {json.dumps(answer)}"


if __name__ == "__main__":
    unittest.main()

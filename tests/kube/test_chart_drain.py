"""The drain's capability: the same for the hook and for the sidecar of each pod, drawn anew for each release, and kept when the cluster has it.
The cluster is a server of this test that knows what `lookup` asks for."""
import base64
import http.server
import json
import re
import threading
import unittest

import tools

VALUES = {
    "workspace": {"id": "6f1c2a34-0b5d-4e8f-9a71-3c2d1e0f4b5a"},
    "platform": {"url": "https://platform.example.com", "existingSecret": {"name": "my-token"}},
    "agent": {"image": "my-agent:1"},
}
SECRET = "/api/v1/namespaces/agents/secrets/my-agent-molecule-sidecar-drain"


def kinds(version, **plurals):
    """Discovery's list of the kinds of one version."""
    return {"kind": "APIResourceList", "groupVersion": version, "resources": [
        {"name": name, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["get"]} for name, kind in plurals.items()]}


def group(name):
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


# What helm asks before it renders: the version, and whether the kinds of the chart are there.
DISCOVERY = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group("apps"), group("networking.k8s.io")]},
    "/api/v1": kinds("v1", secrets="Secret", configmaps="ConfigMap", services="Service", serviceaccounts="ServiceAccount", pods="Pod"),
    "/apis/apps/v1": kinds("apps/v1", deployments="Deployment"),
    "/apis/networking.k8s.io/v1": kinds("networking.k8s.io/v1", networkpolicies="NetworkPolicy"),
}


class Cluster(http.server.ThreadingHTTPServer):
    """Answers discovery, and the Secret when it has one."""
    daemon_threads = True

    def __init__(self, drain_path):
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects = dict(DISCOVERY)
        if drain_path is not None:
            data = {"drain-path": base64.b64encode(drain_path.encode()).decode()}
            owner = {"labels": {"app.kubernetes.io/managed-by": "Helm"},
                     "annotations": {"meta.helm.sh/release-name": "my-agent", "meta.helm.sh/release-namespace": "agents"}}
            self.objects[SECRET] = {"apiVersion": "v1", "kind": "Secret", "data": data,
                                    "metadata": {"name": SECRET.rsplit("/", 1)[1], "namespace": "agents", **owner}}

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.server.objects.get(self.path.split("?")[0])
        failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or failure).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def paths(text):
    """(the hook's, the sidecar's, what the Secret keeps): lists."""
    hook = re.findall(r" path: (/drain/\S+)", text)
    sidecar = re.findall(r'name: MOLECULE_SIDECAR_ADMIN_DRAIN_PATH\n +value: "([^"]*)"', text)
    kept = [base64.b64decode(word).decode() for word in re.findall(r"drain-path: (\S+)", text)]
    return hook, sidecar, kept


def drain_path(text):
    """The one path that hook, sidecar and Secret agree on."""
    hook, sidecar, kept = paths(text)
    if hook != sidecar or hook != kept or len(hook) != 1:
        raise AssertionError(f"the hook says {hook}, the sidecar hears {sidecar}, the Secret keeps {kept}")
    return hook[0]


def rendered(which, cluster):
    return drain_path(tools.template(which, VALUES, extra=[
        "--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", f"http://127.0.0.1:{cluster.server_port}"]))


@tools.needs_packages
class Drain(unittest.TestCase):
    def test_the_capability_is_drawn_anew_for_each_release(self):
        drawn = [drain_path(tools.template(which, VALUES)) for which in (*tools.HELMS, tools.HELMS[0])]
        self.assertEqual(len(set(drawn)), len(drawn))
        for path in drawn:
            self.assertRegex(path, r"^/drain/[A-Za-z0-9]{32}$")

    def test_the_capability_of_a_release_is_kept(self):
        for which in tools.HELMS:
            with self.subTest(which), Cluster("/drain/kept-from_the-release-before") as cluster:
                self.assertEqual(rendered(which, cluster), "/drain/kept-from_the-release-before")

    def test_hook_and_sidecar_are_one_object_whatever_becomes_of_others(self):
        """A pod's specification never changes, so while another capability is rolled out nothing parts the two in an old pod."""
        for capability in ("a" * 16, "b" * 16):
            for values in ({}, {"mode": "classic"}, {"workload": {"kind": "StatefulSet"}, "state": {"type": "pvc"}}, {"workload": {"kind": "Job"}}):
                text = tools.template("helm4", tools.merged(VALUES, values, {"termination": {"drainCapability": capability}}))
                with self.subTest(values=values):
                    self.assertEqual(paths(text), ([f"/drain/{capability}"], [f"/drain/{capability}"], []), "and nobody needs a Secret")
                    self.assertNotIn("secretKeyRef", text)

    def test_what_is_no_capability_is_not_kept(self):
        for which, path in zip(tools.HELMS, ("/drain/short", None)):
            with self.subTest(which), Cluster(path) as cluster:
                self.assertRegex(rendered(which, cluster), r"^/drain/[A-Za-z0-9]{32}$")


if __name__ == "__main__":
    unittest.main()

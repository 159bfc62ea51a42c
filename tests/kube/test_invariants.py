"""The promises of invariants.py: the golden renderings keep them, and each way to break one is found by the one it belongs to."""
import base64
import copy
import json
import re
import unittest

import invariants
import test_golden
import tools

NATIVE, WRAPPER = "native Deployment on 1.36.0", "wrapper Deployment on 1.25.16"
SCALED, MONITORED = "push, autoscaled", "monitors"
SECRET = "a-token-that-nobody-may-read"
POD = "Deployment.spec.template.spec."
AGENT, SIDE = POD + "containers.[agent].", POD + "initContainers.[molecule-sidecar]."


def golden(name):
    return tools.documents(test_golden.golden_of(name).read_text())


def step_into(at, step):
    if isinstance(at, list):
        name = step.strip("[]")
        return next(one for one in at if one.get("name") == name) if step.startswith("[") else at[int(step)]
    return at[step]


def put(things, path, value):
    """Sets what the path names, `Kind.a.b.[name of a list's entry].c`; None takes it away; a function changes it."""
    kind, *way, last = path.split(".")
    at = next(thing for thing in things if thing["kind"] == kind)
    for step in way:
        at = step_into(at, step)
    if callable(value):
        value = value(at.get(last) if isinstance(at, dict) else at[int(last)])
    if value is None:
        del at[last]
    else:
        at[last if isinstance(at, dict) else int(last)] = value


def with_config(change):
    """A change of the text of config.yaml: (pattern, replacement)."""
    def changed(data):
        text, count = re.subn(change[0], change[1], data["config.yaml"], flags=re.M)
        assert count, f"{change[0]} is not in config.yaml"
        return {"config.yaml": text}
    return changed


def mount(name, path):
    return lambda mounts: mounts + [{"name": name, "mountPath": path}]


def without(name):
    return lambda entries: [entry for entry in entries if entry["name"] != name]


def out_of_a_secret(name):
    """The variable as it would be read at each start of the container."""
    entry = {"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    return lambda entries: [entry if one["name"] == name else one for one in entries]


# promise, golden, path, value
BROKEN = (
    ("the_operators_socket_is_not_in_the_agent", NATIVE, AGENT + "volumeMounts", mount("molecule-runtime", "/run/molecule")),
    ("the_operators_socket_is_not_in_the_agent", NATIVE, AGENT + "volumeMounts", mount("molecule-runtime", "/elsewhere")),
    ("the_agent_sees_neither_token_nor_journal", NATIVE, AGENT + "volumeMounts", mount("molecule-token", "/t")),
    ("the_agent_sees_neither_token_nor_journal", NATIVE, AGENT + "volumeMounts", mount("molecule-state", "/s")),
    ("sockets_and_secrets_are_in_memory", NATIVE, POD + "volumes.[molecule-agent].emptyDir", {}),
    ("sockets_and_secrets_are_in_memory", NATIVE, POD + "volumes.[molecule-runtime].emptyDir", {}),
    ("the_journal_is_on_a_disk", NATIVE, POD + "volumes.[molecule-state].emptyDir", {"medium": "Memory"}),
    ("both_see_the_same_sockets", NATIVE, AGENT + "volumeMounts", without("molecule-api")),
    ("one_user_and_one_group", NATIVE, AGENT + "securityContext.runAsUser", 1000),
    ("one_user_and_one_group", NATIVE, SIDE + "securityContext.runAsGroup", 1000),
    ("one_user_and_one_group", NATIVE, POD + "securityContext.runAsUser", None),
    ("the_sidecars_root_is_read_only", NATIVE, SIDE + "securityContext.readOnlyRootFilesystem", False),
    ("nothing_of_the_cluster_is_handed_in", NATIVE, POD + "automountServiceAccountToken", None),
    ("nothing_of_the_cluster_is_handed_in", NATIVE, POD + "enableServiceLinks", True),
    ("one_grace", NATIVE, POD + "terminationGracePeriodSeconds", 30),
    ("one_grace", NATIVE, "ConfigMap.data", with_config((r"grace: 120s", "grace: 2h"))),
    ("one_grace", NATIVE, AGENT + "env.[TERMINATION_GRACE_PERIOD_SECONDS].value", "30"),
    ("one_drain_path", NATIVE, AGENT + "lifecycle", None),
    ("one_drain_path", NATIVE, AGENT + "lifecycle.preStop.httpGet.path", "/drain/fedcba9876543210"),
    ("one_drain_path", NATIVE, AGENT + "lifecycle.preStop.httpGet.port", 8000),
    ("one_drain_path", NATIVE, SIDE + "env", without("MOLECULE_SIDECAR_ADMIN_DRAIN_PATH")),
    ("one_drain_path", NATIVE, SIDE + "env.[MOLECULE_SIDECAR_ADMIN_DRAIN_PATH].value", "/drain/fedcba9876543210"),
    ("one_drain_path", NATIVE, SIDE + "env", out_of_a_secret("MOLECULE_SIDECAR_ADMIN_DRAIN_PATH")),
    ("one_drain_path", WRAPPER, AGENT + "lifecycle", {"preStop": {"httpGet": {"path": "/drain/x", "port": 8081}}}),
    ("probes_ask_the_admin_port", NATIVE, AGENT + "livenessProbe.httpGet.port", 8000),
    ("probes_ask_the_admin_port", NATIVE, SIDE + "readinessProbe.httpGet.path", "/ready"),
    ("probes_ask_the_admin_port", NATIVE, SIDE + "startupProbe", None),
    ("ports_are_those_that_are_listened_to", NATIVE, SIDE + "ports.0.containerPort", 8001),
    ("ports_are_those_that_are_listened_to", WRAPPER, AGENT + "ports", []),
    ("a_native_sidecar_is_one", NATIVE, SIDE + "restartPolicy", None),
    ("config_is_read_from_the_file", NATIVE, SIDE + "args", ["run"]),
    ("config_is_read_from_the_file", NATIVE, SIDE + "args", ["run", "--config", "/run/molecule/config.yaml"]),
    ("polling_has_one_pod", NATIVE, "Deployment.spec.replicas", 2),
    ("polling_has_one_pod", NATIVE, "Deployment.spec.strategy", {"type": "RollingUpdate"}),
    ("selectors_find_the_agents_pods", NATIVE, "Service.spec.selector", {"app": "other"}),
    ("selectors_find_the_agents_pods", NATIVE, "NetworkPolicy.spec.podSelector", {"matchLabels": {"app": "other"}}),
    ("selectors_find_the_agents_pods", NATIVE, "Pod.metadata.labels", lambda labels: {**labels, "app.kubernetes.io/name": "molecule-sidecar"}),
    ("selectors_find_the_agents_pods", SCALED, "PodDisruptionBudget.spec.selector", {"matchLabels": {"app": "other"}}),
    ("the_admin_port_is_on_no_service_for_requests", NATIVE, "Service.spec.ports", lambda ports: ports + [{"name": "admin", "port": 8081}]),
    ("the_admin_port_is_on_no_service_for_requests", NATIVE, "Service.spec.ports.0.targetPort", 9999),
    ("the_admin_port_is_on_no_service_for_requests", NATIVE, "Service.spec.ports.0.targetPort", 8081),
    ("one_grace", NATIVE, "ConfigMap.data", with_config((r"grace: ", "graze: "))),
    ("service_monitors_find_a_service", MONITORED, "ServiceMonitor.spec.selector.matchLabels", {"app": "other"}),
    ("service_monitors_find_a_service", MONITORED, "ServiceMonitor.spec.endpoints.0.port", "http"),
    ("references_are_there", SCALED, "HorizontalPodAutoscaler.spec.scaleTargetRef.name", "other"),
    ("references_are_there", SCALED, "Deployment.spec.replicas", 3),
    ("references_are_there", "native StatefulSet on 1.36.0", "StatefulSet.spec.serviceName", "other"),
    ("objects_carry_the_common_labels", NATIVE, "ServiceAccount.metadata.labels", {}),
    ("secrets_are_in_secrets_only", NATIVE, AGENT + "env", lambda env: env + [{"name": "X", "value": SECRET}]),
    ("secrets_are_in_secrets_only", NATIVE, SIDE + "args", lambda args: args + [f"--platform-token={SECRET}"]),
    ("secrets_are_in_secrets_only", NATIVE, "ConfigMap.data", lambda data: {**data, "x": base64.b64encode(SECRET.encode()).decode()}),
    ("secrets_are_in_secrets_only", NATIVE, SIDE + "env", lambda env: env + [{"name": "MOLECULE_WORKSPACE_TOKEN", "value": "abc"}]),
)


class Invariants(unittest.TestCase):
    def test_the_golden_renderings_keep_them(self):
        for name in test_golden.WANTED:
            with self.subTest(name=name):
                self.assertEqual(invariants.complaints(golden(name), [SECRET]), [])

    def test_each_golden_rendering_has_a_pod_of_ours(self):
        for name in test_golden.WANTED:
            with self.subTest(name=name):
                self.assertEqual(len(list(invariants.pods(golden(name)))), 1)

    def test_every_promise_has_a_negative_case(self):
        promises = {rule.__name__ for rule in invariants.POD_PROMISES + invariants.RELEASE_PROMISES} | {"secrets_are_in_secrets_only"}
        self.assertEqual({case[0] for case in BROKEN}, promises)

    def test_a_drain_path_that_can_be_guessed_is_found(self):
        things = json.loads(json.dumps(golden(NATIVE)).replace("/drain/0123456789abcdef0123456789abcdef", "/drain/short"))
        self.assertEqual(invariants.complaints(things), ["one_drain_path: the drain path /drain/short can be guessed"])

    def broken(self, promise, name, path, value):
        things = copy.deepcopy(golden(name))
        put(things, path, value)
        found = invariants.complaints(things, [SECRET])
        self.assertIn(promise, {sentence.split(":")[0] for sentence in found}, found)


def method(case):
    return lambda self: self.broken(*case)


for number, one in enumerate(BROKEN):
    setattr(Invariants, f"test_broken_{number:02d}_{one[0]}", method(one))

if __name__ == "__main__":
    unittest.main()

"""The rules of apirules.py: a good Deployment and its neighbours pass; each mistake is found, alone, and by the rule it belongs to."""
import copy
import unittest

import apirules

DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "a"}},
    "spec": {"selector": {"matchLabels": {"app": "a"}}, "strategy": {"type": "Recreate"}, "template": {
        "metadata": {"labels": {"app": "a"}, "annotations": {"x/y": "1"}},
        "spec": {
            "initContainers": [{"name": "side", "image": "s:1", "restartPolicy": "Always", "ports": [{"name": "admin", "containerPort": 8081}],
                                "startupProbe": {"httpGet": {"path": "/", "port": "admin"}}}],
            "containers": [{"name": "main", "image": "m:1", "env": [{"name": "A", "value": "1"}], "ports": [{"name": "http", "containerPort": 80}],
                            "resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                            "livenessProbe": {"httpGet": {"path": "/", "port": 8081}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}}},
}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
       "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "m:1"}]}}}}
CRONJOB = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": "@daily", "jobTemplate": {"spec": JOB["spec"]}}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"token": "eA=="}}
HPA = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
       "spec": {"minReplicas": 2, "maxReplicas": 3, "metrics": [{"type": "Resource"}]}}
PDB = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": {"maxUnavailable": 1}}
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"},
          "spec": {"policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}
GOOD = (DEPLOYMENT, JOB, CRONJOB, SECRET, HPA, PDB, POLICY)

POD = "spec.template.spec."
MAIN, SIDE = POD + "containers.0.", POD + "initContainers.0."
# rule, object, path, what is put there (None: taken away)
BROKEN = (
    ("names", DEPLOYMENT, "metadata.name", "A_b"),
    ("names", DEPLOYMENT, "metadata.name", "a" * 254),
    ("names", JOB, "metadata.name", "a" * 64),
    ("names", CRONJOB, "metadata.name", "a" * 53),
    ("labels", DEPLOYMENT, "metadata.labels", {"a": "b" * 64}),
    ("labels", DEPLOYMENT, "metadata.labels", {"a": "1.2.3-"}),
    ("labels", DEPLOYMENT, "metadata.labels", {"a": 1}),
    ("labels", DEPLOYMENT, "metadata.labels", {"a//b": "c"}),
    ("labels", DEPLOYMENT, "spec.template.metadata.annotations", {"a": True}),
    ("data_keys", SECRET, "data", {"a b": "eA=="}),
    ("data_keys", SECRET, "data", {"a": "not base64"}),
    ("container_lists", DEPLOYMENT, SIDE + "name", "main"),
    ("container_lists", DEPLOYMENT, MAIN + "image", ""),
    ("container_lists", DEPLOYMENT, MAIN + "env", [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
    ("container_lists", DEPLOYMENT, MAIN + "env", [{"name": "1 A", "value": "1"}]),
    ("container_lists", DEPLOYMENT, MAIN + "volumeMounts", [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]),
    ("mounts", DEPLOYMENT, POD + "volumes", [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]),
    ("mounts", DEPLOYMENT, POD + "volumes", []),
    ("ports", DEPLOYMENT, SIDE + "ports", [{"name": "admin", "containerPort": 80}, {"name": "b", "containerPort": 8081}]),
    ("ports", DEPLOYMENT, SIDE + "ports", [{"name": "admin", "containerPort": 8082}]),
    ("ports", DEPLOYMENT, MAIN + "ports", [{"name": "a-name-that-is-long", "containerPort": 80}]),
    ("ports", DEPLOYMENT, MAIN + "livenessProbe", {"httpGet": {"path": "/", "port": "admin"}}),
    ("ports", DEPLOYMENT, MAIN + "lifecycle", {"preStop": {"httpGet": {"path": "/", "port": 9}}}),
    ("resources", DEPLOYMENT, MAIN + "resources.requests.memory", "1Gi"),
    ("native_sidecars", DEPLOYMENT, SIDE + "restartPolicy", None),
    ("native_sidecars", DEPLOYMENT, MAIN + "restartPolicy", "Always"),
    ("restart_policy", JOB, POD + "restartPolicy", None),
    ("restart_policy", DEPLOYMENT, POD + "restartPolicy", "Never"),
    ("pod_grace", DEPLOYMENT, SIDE + "readinessProbe", {"terminationGracePeriodSeconds": 3}),
    ("pod_grace", DEPLOYMENT, MAIN + "livenessProbe.successThreshold", 2),
    ("own_selector", DEPLOYMENT, "spec.selector.matchLabels", {"app": "b"}),
    ("strategy", DEPLOYMENT, "spec.strategy.rollingUpdate", {"maxSurge": 1}),
    ("strategy", HPA, "spec.minReplicas", 4),
    ("strategy", HPA, "spec.metrics", []),
    ("strategy", PDB, "spec.minAvailable", 1),
    ("network_policy", POLICY, "spec.ingress", [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]),
    ("network_policy", POLICY, "spec.policyTypes", ["Egress"]),
)


def changed(thing, path, value):
    thing = copy.deepcopy(thing)
    *way, last = path.split(".")
    at = thing
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return thing


class ApiRules(unittest.TestCase):
    def test_good_objects_pass(self):
        self.assertEqual(apirules.complaints(list(GOOD)), [])

    def test_one_object_twice_is_found(self):
        self.assertEqual(apirules.complaints([SECRET, SECRET]), ["v1/Secret/s stands 2 times"])

    def test_every_rule_has_a_negative_case(self):
        self.assertEqual({case[0] for case in BROKEN}, {rule.__name__ for rule in apirules.RULES})


def broken_case(rule, thing, path, value):
    def test(self):
        found = apirules.complaints([changed(thing, path, value)])
        self.assertEqual({sentence.split(": ")[1] for sentence in found}, {rule}, found)
    return test


for number, case in enumerate(BROKEN):
    setattr(ApiRules, f"test_broken_{number:02d}_{case[0]}_at_{case[2].replace('.', '_')}", broken_case(*case))

if __name__ == "__main__":
    unittest.main()

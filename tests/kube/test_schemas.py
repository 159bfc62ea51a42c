"""The validator of schemas itself: what it must refuse, and the places where any key is right."""
import copy
import unittest

import test_apirules
import tools

RULE = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "r"},
        "spec": {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "labels": {"any": "thing"}}]}]}}
CLAIM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "annotations": {"any.example/key": "x"}}, "data": {"any": "text"}}
DEPLOYMENT = test_apirules.DEPLOYMENT
MAIN = test_apirules.MAIN
# object, path, value, part of the complaint; by the newest schemas
REFUSED = (
    (DEPLOYMENT, "spec.replica", 1, "spec.replica is not known"),
    (DEPLOYMENT, "spec.replicas", "1", "replicas must be integer"),
    (DEPLOYMENT, "spec.selector", None, "selector"),
    (DEPLOYMENT, "metadata.labels", {"a": 1}, "must be string"),
    (DEPLOYMENT, "metadata.Labels", {}, "metadata.Labels is not known"),
    (DEPLOYMENT, MAIN + "livenessprobe", {}, "containers[0].livenessprobe is not known"),
    (DEPLOYMENT, MAIN + "env", [{"name": "A", "val": "1"}], "env[0].val is not known"),
    (DEPLOYMENT, MAIN + "env", [{"name": "A", "value": 1}], "value must be string"),
    (DEPLOYMENT, MAIN + "resources", {"limits": {"memory": "64 megabytes"}}, "quantity"),
    (DEPLOYMENT, MAIN + "securityContext", {"capabilities": {"dropped": ["ALL"]}}, "capabilities.dropped is not known"),
    (DEPLOYMENT, MAIN + "lifecycle", {"preStop": {"httpget": {}}}, "preStop.httpget is not known"),
    (DEPLOYMENT, MAIN + "livenessProbe", {"httpGet": {"path": "/"}}, "port"),
    (DEPLOYMENT, test_apirules.POD + "volumes", [{"name": "v", "emptyDir": {"size": "1Gi"}}], "emptyDir.size is not known"),
    (DEPLOYMENT, "spec.strategy", {"rollingUpdate": {"maxSurge": True}}, "maxSurge"),
    (DEPLOYMENT, "kind", "Deploiment", "no schema"),
    (DEPLOYMENT, "apiVersion", "extensions/v1", "no schema"),
    (test_apirules.SECRET, "data", {"a": "not base64!"}, "byte"),
    (test_apirules.HPA, "spec.scaleTargetRef", {"kind": "Deployment", "nam": "x"}, "name"),
    (RULE, "spec.groups", [{"name": "g", "rules": [{"alert": "A", "expr": "1", "foo": 1}]}], "rules[0].foo is not known"),
    (RULE, "spec.groups", [{"rules": []}], "name"),
)


@tools.needs_packages
class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schemas = tools.Schemas()
        cls.addClassCleanup(cls.schemas.close)

    def test_good_objects_pass(self):
        for thing in (DEPLOYMENT, RULE, CLAIM, test_apirules.JOB, test_apirules.PDB, test_apirules.POLICY):
            with self.subTest(kind=thing["kind"]):
                self.assertEqual(self.schemas.complaints(thing), [])

    def test_numbers_and_words_pass_where_both_may_stand(self):
        for value in (1, "25%"):
            thing = test_apirules.changed(DEPLOYMENT, "spec.strategy", {"rollingUpdate": {"maxSurge": value}})
            self.assertEqual(self.schemas.complaints(thing), [])

    def test_an_object_that_may_hold_anything_passes(self):
        thing = copy.deepcopy(CLAIM)
        thing["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {"f:data": {"f:any": {}}}}]
        self.assertEqual(self.schemas.complaints(thing), [])

    def test_kubernetes_1_25_knows_no_native_sidecar(self):
        self.assertEqual(self.schemas.complaints(DEPLOYMENT, old=False), [])
        self.assertEqual(self.schemas.complaints(DEPLOYMENT, old=True), ["Deployment a.spec.template.spec.initContainers[0].restartPolicy is not known"])

    def test_kubernetes_1_25_knows_no_job_that_waits_for_its_pods_end(self):
        for thing, path in ((test_apirules.JOB, "spec.podReplacementPolicy"), (test_apirules.CRONJOB, "spec.jobTemplate.spec.podReplacementPolicy")):
            waits = test_apirules.changed(thing, path, "Failed")
            self.assertEqual(self.schemas.complaints(waits, old=False), [])
            self.assertEqual(len(self.schemas.complaints(waits, old=True)), 1)
            wrong = self.schemas.complaints(test_apirules.changed(thing, path, ["Failed"]))
            self.assertEqual(len(wrong), 1, wrong)

    def refused(self, thing, path, value, part):
        found = self.schemas.complaints(test_apirules.changed(thing, path, value))
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])


def method(case):
    return lambda self: self.refused(*case)


for number, one in enumerate(REFUSED):
    setattr(Schemas, f"test_refused_{number:02d}_{one[1].replace('.', '_')}", method(one))

if __name__ == "__main__":
    unittest.main()

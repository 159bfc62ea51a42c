"""Every case of matrix.py, rendered by the real helm: parsed, by its schema with unknown keys refused, by the API server's rules, Pod
Security "restricted", the chart's promises, and its configuration read by the real sidecar. Both helms must print the same objects."""
import json
import re
import unittest

import apirules
import checkconfig
import invariants
import matrix
import podsecurity
import tools

OLD_SCHEMA_UNTIL = 27  # the schemas are those of 1.25 and of the newest; a cluster between must not get what 1.25 did not know


def complaints(things, case, schemas):
    old = matrix.minor(case.kube) <= OLD_SCHEMA_UNTIL
    found = [sentence for thing in things for sentence in schemas.complaints(thing, old)]
    found += apirules.complaints(things)
    found += invariants.complaints(things, case.secrets)
    for thing in things:
        pod = tools.pod_spec(thing)
        if pod:
            found += [f"{thing['kind']} {thing['metadata']['name']}: restricted: {sentence}" for sentence in podsecurity.complaints(*pod)]
    for pod in invariants.pods(things):
        found += [f"check-config: {sentence}" for sentence in checkconfig.complaints(pod)]
    return found


@tools.needs_packages
class Matrix(unittest.TestCase):
    maxDiff = 8000

    @classmethod
    def setUpClass(cls):
        cls.schemas = tools.Schemas()
        cls.addClassCleanup(cls.schemas.close)
        wanted = [(case.name, case, which) for case in matrix.cases() for which in case.helms]
        rendered = tools.in_parallel(lambda one: tools.template(one[2], one[1].values, one[1].kube, one[1].apis, release=one[1].release), wanted)
        cls.rendered = {(name, which): result for (name, _, which), result in rendered}

    def check(self, case):
        renderings = []
        for which in case.helms:
            text = self.rendered[case.name, which]
            if isinstance(text, Exception):
                self.fail(f"{which}: {text}")
            renderings.append(tools.documents(text))
        self.assertTrue(renderings[0], "nothing is rendered")
        if len(renderings) > 1:
            self.assertEqual(*[[json.dumps(thing, default=str) for thing in sorted(one, key=apirules.identity)] for one in renderings])
        self.assertEqual(complaints(renderings[0], case, self.schemas), [])


def method(case):
    return lambda self: self.check(case)


for one in matrix.cases():
    setattr(Matrix, "test_" + re.sub(r"\W+", "_", one.name), method(one))

if __name__ == "__main__":
    unittest.main()

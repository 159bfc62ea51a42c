"""What can be said of manifests/ without any program: nothing secret, and the rules and promises that the chart is held to."""
import json
import unittest

import apirules
import invariants
import matrix
import podsecurity
import tools

MANIFESTS = tools.SOURCE / "manifests"
MODES = sorted(path.stem for path in (MANIFESTS / "plain").glob("*.yaml"))
PLACEHOLDER = "CHANGE-ME"


def plain(mode):
    return tools.documents((MANIFESTS / "plain" / f"{mode}.yaml").read_text())


def as_set_by_a_user(things):
    return json.loads(json.dumps(things, default=str).replace(PLACEHOLDER, matrix.CAPABILITY))


class Plain(unittest.TestCase):
    def test_there_is_a_file_for_each_way(self):
        self.assertEqual(MODES, ["classic-sidecar", "job", "native-sidecar", "wrapper"])
        self.assertEqual(MODES, sorted(path.name for path in (MANIFESTS / "overlays").iterdir()))

    def test_nothing_secret_is_in_them(self):
        for path in MANIFESTS.rglob("*.yaml"):
            for thing in tools.documents(path.read_text()):
                with self.subTest(path=path):
                    self.assertFalse(isinstance(thing, dict) and thing.get("kind") == "Secret")

    def test_rules_and_promises_hold(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                things = as_set_by_a_user(plain(mode))
                found = apirules.complaints(things) + invariants.complaints(things)
                for thing in things:
                    pod = tools.pod_spec(thing)
                    found += podsecurity.complaints(*pod) if pod else []
                self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main()

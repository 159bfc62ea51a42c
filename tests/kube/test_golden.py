"""The main renderings as text: a change of the chart shows in golden/ what it does to the objects. UPDATE_GOLDEN=1 writes them anew."""
import difflib
import os
import unittest

import matrix
import tools

GOLDEN = tools.HERE / "golden"
WANTED = ("native Deployment on 1.36.0", "classic Deployment on 1.25.16", "wrapper Deployment on 1.25.16", "native StatefulSet on 1.36.0",
          "native Job on 1.36.0", "wrapper Job on 1.25.16", "native CronJob on 1.36.0", "push, autoscaled", "monitors", "a tight network",
          "secrets and uploads", "more of all", "no platform")
MOST_LINES = 60  # of a difference that is shown


def golden_of(name):
    return GOLDEN / (name.replace(",", "").replace(" ", "-").lower() + ".yaml")


def rendered(case):
    return tools.template("helm4", case.values, case.kube, case.apis, release=case.release)


@tools.needs_packages
class Golden(unittest.TestCase):
    def check(self, case):
        path, now = golden_of(case.name), rendered(case)
        if os.environ.get("UPDATE_GOLDEN"):
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(now)
        self.assertTrue(path.exists(), f"{path.name} is missing: UPDATE_GOLDEN=1 make test-kube")
        lines = list(difflib.unified_diff(path.read_text().splitlines(), now.splitlines(), path.name, "now", lineterm=""))
        self.assertFalse(lines, "\n".join(lines[:MOST_LINES] + ["is it meant? UPDATE_GOLDEN=1 make test-kube"]))

    def test_no_golden_file_is_left_over(self):
        left = {path for path in GOLDEN.glob("*")} - {golden_of(name) for name in WANTED}
        if os.environ.get("UPDATE_GOLDEN"):
            for path in left:
                path.unlink()
        self.assertEqual({path.name for path in left if path.exists()}, set())


def method(case):
    return lambda self: self.check(case)


for one in matrix.cases():
    if one.name in WANTED:
        setattr(Golden, "test_" + golden_of(one.name).stem.replace("-", "_").replace(".", "_"), method(one))

if __name__ == "__main__":
    unittest.main()

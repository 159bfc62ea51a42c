"""The chart as a package: lint, values for the usual ways, archive, and the chart of somebody else who uses its templates."""
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

import matrix
import test_matrix
import tools

CI = sorted((tools.CHART / "ci").glob("*-values.yaml"))
LIBRARY_USER = tools.SOURCE / "helm/tests/library-user"
NEVER_PACKED = ("ci/",)
APIS = (tools.MONITORING,)


@tools.needs_packages
class Chart(unittest.TestCase):
    maxDiff = 8000

    @classmethod
    def setUpClass(cls):
        cls.schemas = tools.Schemas()
        cls.addClassCleanup(cls.schemas.close)
        cls.scratch = pathlib.Path(tempfile.mkdtemp(dir=tools.BUILD))
        cls.addClassCleanup(shutil.rmtree, cls.scratch)

    def assert_good(self, text, case):
        things = tools.documents(text)
        self.assertTrue(things, "nothing is rendered")
        self.assertEqual(test_matrix.complaints(things, case, self.schemas), [])
        return things

    def lint(self, path):
        for which in tools.HELMS:
            with self.subTest(helm=which):
                tools.helm(which, "lint", "--strict", tools.CHART, "--kube-version", "1.35.0", "--values", path)

    def render(self, path):
        for which in tools.HELMS:
            with self.subTest(helm=which):
                self.assert_good(tools.template(which, [path], apis=APIS), matrix.case(path.stem, {}))

    def test_values_without_anything_set_are_refused_with_all_that_is_missing(self):
        for which in tools.HELMS:
            with self.assertRaises(tools.Failed) as refused:
                tools.template(which, {})
            for part in ("workspace.id is empty", "platform.url is empty", "agent.image is empty", "there is no token"):
                self.assertIn(part, str(refused.exception), which)

    def test_a_value_that_is_not_known_is_refused(self):
        for which in tools.HELMS:
            with self.assertRaises(tools.Failed) as refused:
                tools.template(which, tools.merged(matrix.BASE, {"sidecar": {"image": {"tags": "1"}}}))
            self.assertIn("tags", str(refused.exception), which)

    def test_a_kubernetes_that_is_too_old_is_refused(self):
        for which in tools.HELMS:
            with self.assertRaises(tools.Failed) as refused:
                tools.template(which, tools.merged(matrix.BASE, {"mode": "classic"}), "1.24.17")
            self.assertIn("1.25.0", str(refused.exception), which)

    def test_a_configuration_that_changes_rolls_the_pods(self):
        def checksum(values):
            things = tools.documents(tools.template("helm4", tools.merged(matrix.BASE, values)))
            return next(tools.pod_spec(one)[0]["annotations"]["checksum/config"] for one in things if one["kind"] == "Deployment")
        same = checksum({})
        self.assertEqual(same, checksum({"service": {"port": 81}}))
        for values in ({"sidecar": {"config": {"log": {"level": "debug"}}}}, {"platform": {"url": "https://other.example.com"}},
                       {"termination": {"gracePeriodSeconds": 60}}):
            with self.subTest(values=values):
                self.assertNotEqual(same, checksum(values))

    def test_without_a_capability_each_rendering_draws_one_and_uses_it_twice(self):
        found = set()
        for _ in range(2):
            text = tools.template("helm4", tools.merged(matrix.BASE, {"termination": {"drainCapability": ""}}))
            self.assert_good(text, matrix.case("drawn", {}))
            found |= set(re.findall(r"/drain/[A-Za-z0-9_-]{16,}", text))
        self.assertEqual(len(found), 2)

    def test_the_package_holds_what_it_needs_and_renders_alone(self):
        for which in tools.HELMS:
            with self.subTest(helm=which):
                target = self.scratch / which
                target.mkdir()
                tools.helm(which, "package", tools.CHART, "--destination", target)
                packed = next(target.glob("molecule-sidecar-*.tgz"))
                with tarfile.open(packed) as archive:
                    names = {name.removeprefix("molecule-sidecar/") for name in archive.getnames()}
                self.assertLessEqual({"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "templates/NOTES.txt"}, names)
                self.assertEqual([name for name in names if name.startswith(NEVER_PACKED)], [])
                self.assert_good(tools.template(which, matrix.BASE, chart=packed), matrix.case("packed", {}))

    def test_the_schema_of_values_is_that_of_values_and_program(self):
        done = subprocess.run([sys.executable, tools.SOURCE / "helm/values_schema.py", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_chart_that_uses_the_templates_renders(self):
        for which in tools.HELMS:
            with self.subTest(helm=which):
                home = self.scratch / f"library-{which}"
                shutil.copytree(tools.SOURCE / "helm", home)
                user = home / LIBRARY_USER.relative_to(tools.SOURCE / "helm")
                tools.helm(which, "dependency", "update", user)
                tools.helm(which, "lint", "--strict", user, "--kube-version", "1.35.0")
                things = self.assert_good(tools.template(which, {}, chart=user), matrix.case("library", {}))
                self.assertGreaterEqual(sum(1 for thing in things if tools.pod_spec(thing)), 1)


def method(check, path):
    return lambda self: check(self, path)


for one in CI:
    word = one.stem.removesuffix("-values").replace("-", "_")
    setattr(Chart, f"test_lint_{word}", method(Chart.lint, one))
    setattr(Chart, f"test_render_{word}", method(Chart.render, one))

if __name__ == "__main__":
    unittest.main()

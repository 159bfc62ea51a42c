"""manifests/: equal to the chart, built by the real kustomize, plain YAML and overlay the same, and held to all that the chart is held to."""
import copy
import json
import re
import shutil
import subprocess
import sys
import tempfile
import pathlib
import unittest

import checkconfig
import invariants
import matrix
import test_matrix
from test_manifests_plain import MANIFESTS, MODES, PLACEHOLDER, as_set_by_a_user, plain
import tools

README = (MANIFESTS / "README.md").read_text()
CAPABILITY = matrix.CAPABILITY
KUBES = {"native-sidecar": "1.29.0", "job": "1.29.0", "classic-sidecar": matrix.OLDEST, "wrapper": matrix.OLDEST}
HASH = re.compile(r"\b(my-agent)-[a-z0-9]{10}\b")  # of a generated ConfigMap


def case(mode, kube=None):
    return matrix.case(mode, {}, kube or KUBES[mode])


def comparable(things):
    """Order and the names of generated ConfigMaps aside; kustomize makes no comment survive in a ConfigMap's text, plain has none."""
    things = copy.deepcopy(things)
    for thing in things:
        if thing["kind"] == "ConfigMap":
            thing["data"] = {key: tools.documents(text) for key, text in thing["data"].items()}
    text = HASH.sub(r"\1", json.dumps(sorted(things, key=lambda thing: thing["kind"]), sort_keys=True, default=str))
    return json.loads(text)


@tools.needs_packages
class Built(unittest.TestCase):
    maxDiff = 8000

    @classmethod
    def setUpClass(cls):
        cls.schemas = tools.Schemas()
        cls.addClassCleanup(cls.schemas.close)
        cls.built = dict(tools.in_parallel(lambda mode: tools.kustomize(MANIFESTS / "overlays" / mode), MODES))

    def things(self, mode):
        if isinstance(self.built[mode], Exception):
            raise self.built[mode]
        return self.built[mode]

    def test_they_are_what_the_chart_gives(self):
        done = subprocess.run([sys.executable, MANIFESTS / "render.py", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def overlay_is_good(self, mode):
        self.assertEqual(test_matrix.complaints(as_set_by_a_user(self.things(mode)), case(mode), self.schemas), [])

    def plain_is_good(self, mode):
        self.assertEqual(test_matrix.complaints(as_set_by_a_user(plain(mode)), case(mode), self.schemas), [])

    def plain_and_overlay_are_the_same(self, mode):
        self.assertEqual(comparable(self.things(mode)), comparable(plain(mode)))

    def placeholder_is_refused_by_the_sidecar(self, mode):
        found = [sentence for pod in invariants.pods(self.things(mode)) for sentence in checkconfig.complaints(pod)]
        if mode == "wrapper":
            self.assertEqual(found, [])
        else:
            self.assertRegex(" ".join(found), "admin.drain_path .* 16 characters")

    def test_base_is_good(self):
        things = tools.kustomize(MANIFESTS / "base")
        self.assertEqual(invariants.kinds(things), {"ServiceAccount": 1, "Service": 1, "NetworkPolicy": 1})
        self.assertEqual(test_matrix.complaints(things, matrix.case("base", {}, matrix.OLDEST), self.schemas), [])

    def test_another_configuration_is_another_name(self):
        def config_name(change):
            with tempfile.TemporaryDirectory(dir=tools.BUILD) as scratch:
                shutil.copytree(MANIFESTS, f"{scratch}/manifests")
                file = pathlib.Path(scratch, "manifests/overlays/native-sidecar/config.yaml")
                file.write_text(file.read_text() + change)
                things = tools.kustomize(file.parent)
                return next(pod for pod in invariants.pods(things)).volumes["molecule-config"]["configMap"]["name"]
        self.assertEqual(config_name(""), config_name(""))
        self.assertNotEqual(config_name(""), config_name("# more\n"))

    def test_one_path_is_set_and_both_places_have_it(self):
        with tempfile.TemporaryDirectory(dir=tools.BUILD) as scratch:
            shutil.copytree(MANIFESTS, f"{scratch}/manifests")
            for mode in ("native-sidecar", "classic-sidecar", "job"):
                (file,) = pathlib.Path(scratch, f"manifests/overlays/{mode}").glob("[dj]*.yaml")  # deployment.yaml, job.yaml
                file.write_text(re.sub(rf"(ADMIN_DRAIN_PATH\n +value: /drain/){PLACEHOLDER}", rf"\g<1>{CAPABILITY}", file.read_text()))
                with self.subTest(mode=mode):
                    self.assertEqual(invariants.complaints(tools.kustomize(file.parent)), [])

    def test_the_kustomization_of_the_readme_works(self):
        text = re.search(r"```yaml\n(apiVersion: kustomize.*?)```", README, re.S).group(1)
        with tempfile.TemporaryDirectory(dir=tools.BUILD) as scratch:
            shutil.copytree(MANIFESTS, f"{scratch}/manifests")
            mine = pathlib.Path(scratch, "mine")
            mine.mkdir()
            (mine / "kustomization.yaml").write_text(text)
            config = (MANIFESTS / "overlays/native-sidecar/config.yaml").read_text()
            (mine / "config.yaml").write_text(config.replace("platform.example.com", "mine.example.com"))
            things = tools.kustomize(mine)
        self.assertEqual(test_matrix.complaints(things, case("native-sidecar"), self.schemas), [])
        pod = next(invariants.pods(things))
        self.assertEqual(pod.owner["metadata"]["name"], "my-agent-echo")
        self.assertEqual(pod.agent["image"], "registry.example.com/team/echo:2.1")
        self.assertEqual(pod.config["platform"]["url"], "https://mine.example.com")
        self.assertEqual({thing["metadata"]["namespace"] for thing in things}, {"agents"})


def method(check, mode):
    return lambda self: check(self, mode)


for one in MODES:
    for way in ("overlay_is_good", "plain_is_good", "plain_and_overlay_are_the_same", "placeholder_is_refused_by_the_sidecar"):
        setattr(Built, f"test_{one.replace('-', '_')}_{way}", method(getattr(Built, way), one))

if __name__ == "__main__":
    unittest.main()

"""The programs that tests/kube runs, and YAML as Kubernetes reads it."""
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import unittest

import yaml

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = SOURCE / "build/kube"
CHART = SOURCE / "helm/molecule-sidecar"
HERE = pathlib.Path(__file__).resolve().parent
SIDECAR = os.environ.get("SIDECAR_BIN", str(SOURCE / "build/release/molecule-sidecar"))
HELMS = ("helm3", "helm4")
PROGRAM_SECONDS = 120  # a bound for a machine that has much to do
JOBS = int(os.environ.get("JOBS", os.cpu_count() or 2))
MONITORING = "monitoring.coreos.com/v1"

installed = (BUILD / "package.json").exists()
needs_packages = unittest.skipUnless(installed, "helm, kubectl and the schemas are not installed")


class Failed(Exception):
    """A program ended with a failure; the text is what it said."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Refuses what PyYAML lets pass and Kubernetes or the next reader does not: the same key twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key, count in collections.Counter(keys).items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text):
    """The YAML documents of a text, those that are not empty."""
    return [document for document in yaml.load_all(text, Loader) if document is not None]


def run(command, stdin=None):
    """What the program said, both ways apart; raises Failed. Nothing of the user's own configuration of helm and kubectl is read."""
    home = BUILD / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": os.devnull, "LC_ALL": "C.UTF-8"}
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True, env=environment, timeout=PROGRAM_SECONDS)
    if done.returncode != 0:
        raise Failed(f"{done.stderr}{done.stdout}".strip())
    return done.stdout


def helm(which, *arguments):
    return run([BUILD / "bin" / which, *arguments])


def kustomize(directory):
    return documents(run([BUILD / "bin/kubectl", "kustomize", directory]))


def template(which, values, kube="1.35.0", apis=(), chart=CHART, release="my-agent", namespace="agents", extra=()):
    """The text of a rendering; `values` is a map, or a list of paths."""
    words = ["template", release, chart, "--namespace", namespace, "--kube-version", kube, *extra]
    for api in apis:
        words += ["--api-versions", api]
    if isinstance(values, list):
        for path in values:
            words += ["--values", path]
        return helm(which, *words)
    words = [BUILD / "bin" / which, *words, "--values", "-"]
    return run(words, stdin=json.dumps(values))


def merged(*maps):
    """One map of several; the later ones win, key by key."""
    out = {}
    for one in maps:
        for key, value in one.items():
            out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def in_parallel(function, items):
    """[(item, result or exception)] in the order of the items."""
    def safe(item):
        try:
            return item, function(item)
        except Exception as problem:  # the test that asks for this one shows it
            return item, problem
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(safe, items))


class Schemas:
    """The validator, one process for all objects. complaints() is for one thread at a time."""

    def __init__(self):
        self.process = subprocess.Popen(["node", str(HERE / "schemas.mjs"), str(BUILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def complaints(self, thing, old=False):
        self.process.stdin.write(json.dumps({"old": old, "object": thing}, default=str) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the validator of schemas ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PROGRAM_SECONDS)


def pod_spec(thing):
    """(metadata, spec) of the pods that an object makes, or None."""
    kind, spec = thing.get("kind"), thing.get("spec") or {}
    if kind == "Pod":
        return thing.get("metadata") or {}, spec
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    elif kind not in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"):
        return None
    return spec["template"].get("metadata") or {}, spec["template"]["spec"]


def containers(spec):
    """All containers of a pod, the init containers first."""
    return (spec.get("initContainers") or []) + (spec.get("containers") or [])

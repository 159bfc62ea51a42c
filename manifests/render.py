#!/usr/bin/env python3
"""Writes manifests/ out of the chart; what `make manifests` calls.

    manifests/render.py            writes the files
    manifests/render.py --check    says which differ; exit 1 if any does

The chart is rendered once for each mode. What belongs to a release of Helm is taken off (its labels, the namespace, the checksum of the
configuration), and what is for the user to set gets a placeholder that cannot work by itself. Then it is written twice: plain/MODE.yaml for
`kubectl apply -f`, and base and overlays/MODE for kustomize. tests/kube/test_manifests.py keeps both equal to the chart and to each other.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/kube"))

import tools  # noqa: E402
import yaml  # noqa: E402

NAME = "my-agent"
MADE_FOR = "1.29.0"  # the first Kubernetes of native sidecars; the other modes are rendered for the chart's oldest
OLDEST = "1.25.0"
COMMON = {
    "fullnameOverride": NAME,
    "workspace": {"id": "00000000-0000-0000-0000-000000000000"},
    "platform": {"url": "https://platform.example.com", "existingSecret": {"name": f"{NAME}-token"}},
    "agent": {"image": f"{NAME}:1.0"},
    "termination": {"drainCapability": "this-is-replaced-below"},
}
MODES = {
    "native-sidecar": (MADE_FOR, {"mode": "native"}),
    "classic-sidecar": (OLDEST, {"mode": "classic"}),
    "wrapper": (OLDEST, {"mode": "wrapper", "agent": {"command": ["your-agent", "with", "its", "arguments"]}}),
    "job": (MADE_FOR, {"mode": "native", "workload": {"kind": "Job"}}),
}
# Shorter than the 16 characters that the sidecar asks for, so that it refuses to start with it, and says why.
DRAIN_PATH = "/drain/CHANGE-ME"
DRAIN_VARIABLE = "MOLECULE_SIDECAR_ADMIN_DRAIN_PATH"
HELMS_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
CHECKSUM = "checksum/config"
# Flags of the wrapper that repeat what the user sets in config.yaml: there it is set once.
USERS_FLAGS = ("--workspace-id=", "--platform-url=")
BASE_KINDS = ("ServiceAccount", "Service", "NetworkPolicy")
WORKLOADS = ("Deployment", "Job")

MADE = "# Made from helm/molecule-sidecar by manifests/render.py (`make manifests`).\n"
PLAIN_HEAD = MADE + """# Before `kubectl apply -f`: {steps}
# manifests/README.md says more.
"""
CONFIG_HEAD = """# The sidecar's configuration (docs/configuration.md). Yours to set: workspace.id and platform.url.
"""


class Dumper(yaml.SafeDumper):
    """Lists stand below their key, indented; texts of several lines as such."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def dump(*things):
    text = "---\n".join(yaml.dump(thing, Dumper=Dumper, sort_keys=False, width=1000) for thing in things)
    return re.sub(r"defaultMode: 288\b", "defaultMode: 0440", text)


def stripped(thing):
    """Without what Helm, or a rendering by it, puts there."""
    thing["metadata"].pop("namespace", None)
    if thing["kind"] in WORKLOADS:
        thing["metadata"]["name"] = NAME  # a Job of the chart has a name that changes with its content
    pod = tools.pod_spec(thing)
    for metadata in [thing["metadata"]] + ([pod[0]] if pod else []):
        for key in HELMS_LABELS:
            metadata.get("labels", {}).pop(key, None)
        metadata.get("annotations", {}).pop(CHECKSUM, None)
        for key in ("labels", "annotations"):
            if not metadata.get(key, True):
                del metadata[key]
    for container in tools.containers(pod[1]) if pod else []:
        hook = container.get("lifecycle", {}).get("preStop", {}).get("httpGet")
        if hook:
            hook["path"] = DRAIN_PATH
        for variable in container.get("env", []):
            if variable["name"] == DRAIN_VARIABLE:
                variable["value"] = DRAIN_PATH
        if "command" in container:
            container["command"] = [word for word in container["command"] if not word.startswith(USERS_FLAGS)]
    assert thing["kind"] != "Secret", "nothing secret belongs here"
    return thing


def rendered(mode):
    kube, values = MODES[mode]
    text = tools.template("helm4", tools.merged(COMMON, values), kube, release=NAME)
    things = [thing for thing in tools.documents(text) if "helm.sh/hook" not in (thing["metadata"].get("annotations") or {})]
    return {thing["kind"]: stripped(thing) for thing in things}


def steps(mode):
    out = ["set workspace.id and platform.url in the ConfigMap", "the images"]
    out.append("and the agent's command" if mode == "wrapper" else f"and {DRAIN_PATH} in both its places")
    return ", ".join(out[:-1]) + " " + out[-1] + f"; make the Secret {NAME}-token with the key token."


def kustomization(objects):
    """The overlay's kustomization.yaml; written by hand for its comments."""
    workload = next(kind for kind in WORKLOADS if kind in objects)
    labels = "\n        ".join(f"{key}: {value}" for key, value in objects["ConfigMap"]["metadata"]["labels"].items())
    text = MADE + "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - ../../base\n"
    text += f"  - {workload.lower()}.yaml\n"
    text += f"""# Yours to set: where the images are.
images:
  - name: {NAME}
    newName: {NAME}
    newTag: "1.0"
  - name: molecule-sidecar
    newName: molecule-sidecar
    newTag: "{objects[workload]["metadata"]["labels"]["app.kubernetes.io/version"]}"
# Another content is another name, which rolls the pods.
configMapGenerator:
  - name: {NAME}
    files:
      - config.yaml
    options:
      labels:
        {labels}
"""
    source = drain_source(objects[workload])
    if source:
        text += f"""# Yours to set in {workload.lower()}.yaml: the value of {DRAIN_VARIABLE}, to /drain/ and what
# `openssl rand -hex 16` prints. Whoever knows it can drain the pod over the network; until it is set the sidecar refuses to start. It is
# also the path of the preStop hook.
replacements:
  - source:
      kind: {workload}
      name: {NAME}
      fieldPath: {source}
    targets:
      - select:
          kind: {workload}
        fieldPaths:
          - spec.template.spec.containers.[name=agent].lifecycle.preStop.httpGet.path
"""
    return text


def drain_source(workload):
    """Where the drain path stands in the sidecar's container, for kustomize; None without a hook."""
    spec = workload["spec"]["template"]["spec"]
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind, []):
            if any(variable["name"] == DRAIN_VARIABLE for variable in container.get("env", [])):
                return f"spec.template.spec.{kind}.[name={container['name']}].env.[name={DRAIN_VARIABLE}].value"
    return None


def overlay_patches(objects, base):
    """[(kind, why, patch)] of what differs from the base: what is not there, and what has another spec."""
    patches = []
    for kind in BASE_KINDS:
        if kind not in objects:
            identity = {key: base[kind][key] for key in ("apiVersion", "kind")}
            patches.append((kind, "there is none in this way to run", {**identity, "metadata": {"name": NAME}, "$patch": "delete"}))
        elif objects[kind] != base[kind]:
            assert {**objects[kind], "spec": None} == {**base[kind], "spec": None}, f"{kind} differs in more than its spec"
            patches.append((kind, "it is another one in this way to run", [{"op": "replace", "path": "/spec", "value": objects[kind]["spec"]}]))
    return patches


def overlay(mode, objects, base):
    workload = next(kind for kind in WORKLOADS if kind in objects)
    folder = f"overlays/{mode}"
    text = kustomization(objects)
    patches = overlay_patches(objects, base)
    if patches:
        text += "patches:\n" + "".join(f"  - target: # {why}\n      kind: {kind}\n      name: {NAME}\n    path: {kind.lower()}.yaml\n"
                                       for kind, why, _ in patches)
    files = {f"{folder}/kustomization.yaml": text, f"{folder}/{workload.lower()}.yaml": MADE + dump(objects[workload]),
             f"{folder}/config.yaml": CONFIG_HEAD + objects["ConfigMap"]["data"]["config.yaml"]}
    for kind, _, patch in patches:
        files[f"{folder}/{kind.lower()}.yaml"] = MADE + dump(patch)
    return files


def files():
    """{path below manifests/: text}"""
    every = {mode: rendered(mode) for mode in MODES}
    base = {kind: every["native-sidecar"][kind] for kind in BASE_KINDS}
    out = {f"base/{kind.lower()}.yaml": MADE + dump(thing) for kind, thing in base.items()}
    out["base/kustomization.yaml"] = MADE + "# What is common to the ways to run; the pods are in the overlays.\n" + dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [f"{kind.lower()}.yaml" for kind in BASE_KINDS]})
    for mode, objects in every.items():
        out.update(overlay(mode, objects, base))
        out[f"plain/{mode}.yaml"] = PLAIN_HEAD.format(steps=steps(mode)) + "---\n" + dump(*objects.values())
    return out


def on_disk():
    return {str(path.relative_to(HERE)) for folder in ("base", "overlays", "plain") for path in (HERE / folder).rglob("*") if path.is_file()}


def main(arguments):
    wanted = files()
    different = sorted([path for path, text in wanted.items() if not (HERE / path).exists() or (HERE / path).read_text() != text] +
                       list(on_disk() - set(wanted)))
    if arguments == ["--check"]:
        for path in different:
            print(f"manifests/{path} is not what the chart gives: make manifests")
        return 1 if different else 0
    for path in on_disk() - set(wanted):
        (HERE / path).unlink()
    for path, text in wanted.items():
        (HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (HERE / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

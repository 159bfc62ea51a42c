#!/usr/bin/env python3
"""Prints helm/molecule-sidecar/values.schema.json.

    values_schema.py            writes the file
    values_schema.py --check    compares it; exit 1 and a sentence when it differs

It is made of three things: values.yaml (which keys there are, their defaults and the comments that
describe them), the tables below (what the defaults do not show), and docs/configuration.schema.json,
which the program prints from its own table, for `sidecar.config`. Unknown keys are errors everywhere
but in maps that are free, such as labels, and in what Kubernetes itself checks.

The schema speaks draft 7, which both Helm 3 and Helm 4 know.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
VALUES = HERE / "molecule-sidecar/values.yaml"
SCHEMA = HERE / "molecule-sidecar/values.schema.json"
CONFIGURATION = HERE.parent / "docs/configuration.schema.json"

DAY = 86400
PORT = (0, 65535)  # which of them can be used is a sentence of the guards

# Words that a key may have; "" where empty means something.
WORDS = {
    "mode": ["native", "classic", "wrapper"],
    "workload.kind": ["Deployment", "StatefulSet", "Job", "CronJob", "None"],
    "workload.job.restartPolicy": ["Never", "OnFailure"],
    "platform.delivery": ["auto", "push", "poll", "off"],
    "agent.protocol": ["", "http", "none"],
    "agent.imagePullPolicy": ["Always", "IfNotPresent", "Never"],
    "sidecar.image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "state.type": ["emptyDir", "pvc"],
    "service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "pod.dnsPolicy": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
}

# Least and most of numbers.
RANGES = {
    "workload.replicas": (0, 1000),
    "workload.revisionHistoryLimit": (0, 1000),
    "workload.minReadySeconds": (0, 3600),
    "workload.job.backoffLimit": (0, 1000),
    "workload.job.activeDeadlineSeconds": (1, 365 * DAY),
    "workload.job.ttlSecondsAfterFinished": (0, 365 * DAY),
    "workload.cronJob.successfulJobsHistoryLimit": (0, 1000),
    "workload.cronJob.failedJobsHistoryLimit": (0, 1000),
    "workload.cronJob.startingDeadlineSeconds": (10, 365 * DAY),
    "agent.port": PORT,
    "agent.startSeconds": (1, DAY),
    "agent.livenessProbe.periodSeconds": (1, 3600),
    "agent.livenessProbe.failureThreshold": (1, 1000),
    "agent.livenessProbe.graceSeconds": (1, DAY),
    "sidecar.ports.http": PORT,
    "sidecar.ports.admin": PORT,
    "termination.gracePeriodSeconds": (0, DAY),
    "termination.drainDelaySeconds": (0, DAY),
    "termination.agentGraceSeconds": (0, DAY),
    "pod.runAsUser": (0, 2**31 - 1),
    "pod.runAsGroup": (0, 2**31 - 1),
    "service.port": (1, 65535),
    "autoscaling.minReplicas": (1, 1000),
    "autoscaling.maxReplicas": (1, 1000),
    "autoscaling.targetCPUUtilizationPercentage": (0, 1000),
    "autoscaling.targetMemoryUtilizationPercentage": (0, 1000),
}

NAME = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
QUANTITY = "^[0-9]+([.][0-9]+)?([kMGTPE]i?)?$"
SECONDS = "^([0-9]+(ms|s|m|h))+$"
PATTERNS = {
    "nameOverride": NAME,
    "fullnameOverride": NAME,
    "serviceAccount.name": NAME,
    "platform.existingSecret.name": NAME,
    "platform.caConfigMap.name": NAME,
    "state.pvc.existingClaim": NAME,
    "state.sizeLimit": QUANTITY,
    "state.pvc.size": QUANTITY,
    "agent.tmp.sizeLimit": QUANTITY,
    "agent.uploads.sizeLimit": QUANTITY,
    "metrics.serviceMonitor.interval": SECONDS,
    "metrics.podMonitor.interval": SECONDS,
    "agent.home": "^(/.*)?$",
}

TEXT = {"type": "string"}
OBJECT = {"type": "object"}
TEXTS = {"type": "object", "additionalProperties": TEXT}  # labels, annotations

# Items of lists; all others are objects, which Kubernetes checks.
ITEMS = {
    "agent.command": TEXT,
    "agent.args": TEXT,
    "sidecar.extraArgs": TEXT,
    "state.pvc.accessModes": {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]},
    "pod.imagePullSecrets": TEXT,
    "networkPolicy.nodeCidrs": TEXT,
    "networkPolicy.dnsPorts": {"type": "integer", "minimum": 1, "maximum": 65535},
    "networkPolicy.platformPorts": {"type": "integer", "minimum": 1, "maximum": 65535},
    "extraObjects": {"type": ["string", "object"]},
}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
for _list in ("agent.env", "agent.volumeMounts", "sidecar.extraEnv", "sidecar.extraVolumeMounts",
              "extraVolumes", "extraContainers", "extraInitContainers"):
    ITEMS[_list] = NAMED
for _list in ("agent.volumeMounts", "sidecar.extraVolumeMounts"):
    ITEMS[_list] = {**NAMED, "required": ["name", "mountPath"], "properties": {"name": TEXT, "mountPath": TEXT}}

# What fits in none of the tables.
OTHERS = {
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"], "minimum": 1,
                                           "pattern": "^[1-9][0-9]?%$"},
}

# Maps that are free because Kubernetes defines them; all other empty maps hold texts.
FREE = {"workload.strategy", "agent.resources", "agent.securityContext", "sidecar.resources",
        "sidecar.securityContext", "pod.affinity", "pod.dnsConfig", "autoscaling.behavior"}

LINE = re.compile(r"^( *)([A-Za-z0-9]+):(?: +(.*))?$")


class Key:
    """One line of values.yaml: where it is, what stands behind the colon, and the comment above it."""

    def __init__(self, depth, name, raw, comment):
        self.depth, self.name, self.raw, self.comment = depth, name, raw, comment
        self.children = []


def read_values(text):
    """The keys as a tree. Every value stands on its key's own line, which keeps this short."""
    root = Key(-1, "", "", "")
    stack, comment = [root], []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped[5:]]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped[2:])
        elif stripped and not stripped.startswith("#"):
            match = LINE.match(line)
            if not match:
                sys.exit(f"{VALUES}:{number}: not understood: {stripped}")
            key = Key(len(match[1]) // 2, match[2], match[3] or "", " ".join(comment))
            while stack[-1].depth >= key.depth:
                stack.pop()
            stack[-1].children.append(key)
            stack.append(key)
            comment = []
        elif not stripped:
            comment = []
    return root


def leaf(path, raw):
    if path == "sidecar.config":
        return configuration()
    if path in OTHERS:
        return OTHERS[path]
    if path in FREE:
        return dict(OBJECT)
    if path in WORDS:
        return {"enum": WORDS[path]}
    if path in RANGES:
        least, most = RANGES[path]
        types = "integer" if raw else ["integer", "null"]
        return {"type": types, "minimum": least, "maximum": most}
    if raw in ("true", "false"):
        return {"type": "boolean"}
    if raw.startswith("["):
        least = {"minItems": 1} if raw != "[]" else {}  # a list with a default needs something in it
        return {"type": "array", **least, "items": ITEMS.get(path, OBJECT)}
    if raw.startswith("{"):
        return dict(TEXTS)
    if re.fullmatch(r"[0-9]+|", raw):
        sys.exit(f"values_schema.py: {path} is a number or empty, and has no row in RANGES")
    return {"type": "string", "pattern": PATTERNS[path]} if path in PATTERNS else {"type": "string"}


def configuration():
    whole = json.loads(CONFIGURATION.read_text(encoding="utf-8"))
    for one in whole["properties"].values():
        one["type"] = "object"  # a file may hold a section without keys, which Helm hands to templates as null
    return {k: v for k, v in whole.items() if not k.startswith("$") and k != "title"}


def section(key, path):
    out = {"type": "object", "additionalProperties": False, "properties": {}}
    for child in key.children:
        below = f"{path}.{child.name}" if path else child.name
        is_section = child.children and below not in FREE
        made = section(child, below) if is_section else leaf(below, child.raw)
        if child.comment:
            made = {"description": child.comment, **made}
        elif not is_section:
            sys.exit(f"values_schema.py: {below} has no comment in {VALUES}")
        out["properties"][child.name] = made
    # null takes a key away; the templates would stop with a trace. What is empty by default may be away.
    required = [child.name for child in key.children if child.children or child.raw]
    return {**out, "required": required} if required else out


def known_paths(key, path=""):
    for child in key.children:
        below = f"{path}.{child.name}" if path else child.name
        yield below
        yield from known_paths(child, below)


def build():
    root = read_values(VALUES.read_text(encoding="utf-8"))
    paths = set(known_paths(root))
    for name, table in (("WORDS", WORDS), ("RANGES", RANGES), ("PATTERNS", PATTERNS),
                        ("ITEMS", ITEMS), ("OTHERS", OTHERS), ("FREE", FREE)):
        for path in sorted(set(table) - paths):
            sys.exit(f"values_schema.py: {name} names {path}, which values.yaml does not have")
    schema = section(root, "")
    schema["properties"]["global"] = {
        "description": "Values that a chart above this one gives to all below it; not used here", **OBJECT}
    return {"$schema": "http://json-schema.org/draft-07/schema#",
            "title": "Values of the molecule-sidecar chart", **schema}


def main():
    text = json.dumps(build(), indent=2, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["--check"]:
        if not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != text:
            sys.exit(f"{SCHEMA} is not what values.yaml and docs/configuration.schema.json say: "
                     "run python3 helm/values_schema.py")
        return
    if sys.argv[1:]:
        sys.exit(__doc__.strip())
    SCHEMA.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

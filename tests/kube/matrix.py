"""The values that tests/kube renders the chart with: every mode and kind at every Kubernetes, and each option once."""
import collections
import itertools

import tools

OLDEST, NEWEST = "1.25.16", "1.36.0"
# As clusters call themselves: hosted ones add something, which semver reads as a version before the release.
KUBES = (OLDEST, "1.26.15", "1.27.16", "1.28.15", "1.29.0", "1.30.5-gke.1443001", "1.31.4-eks-2d5f260", "1.32.3+k3s1", "1.33.0", "1.34.2", "1.35.0", NEWEST)
NATIVE_SINCE = 29
TOKEN = "a-token-that-nobody-may-read"
CAPABILITY = "0123456789abcdef0123456789abcdef"

BASE = {
    "workspace": {"id": "6f1c2a34-0b5d-4e8f-9a71-3c2d1e0f4b5a"},
    "platform": {"url": "https://platform.example.com", "existingSecret": {"name": "my-agent-token"}},
    "agent": {"image": "registry.example.com/my-agent:1.0"},
    "termination": {"drainCapability": CAPABILITY},
}
COMMAND = {"agent": {"command": ["python3", "agent.py"]}}
PUSH = {"platform": {"reportedUrl": "https://my-agent.example.com"}}
KINDS = {
    "Deployment": {},
    "StatefulSet": {"workload": {"kind": "StatefulSet"}, "state": {"type": "pvc"}},
    "Job": {"workload": {"kind": "Job"}},
    "CronJob": {"workload": {"kind": "CronJob", "cronJob": {"schedule": "*/15 * * * *"}}},
}
MODES = {"native": {}, "classic": {"mode": "classic"}, "wrapper": tools.merged({"mode": "wrapper"}, COMMAND)}

Case = collections.namedtuple("Case", "name values kube helms apis release secrets")


def minor(kube):
    return int(kube.split(".")[1])


def case(name, values, kube=NEWEST, helms=tools.HELMS, apis=(), release="my-agent", secrets=()):
    return Case(name, tools.merged(BASE, values), kube, helms, apis, release, secrets)


def grid():
    """Modes x kinds x Kubernetes; both helms at the ends, and each of them in turn between."""
    turn = itertools.cycle(tools.HELMS)
    for (mode, how), (kind, what) in itertools.product(MODES.items(), KINDS.items()):
        if mode == "classic" and kind in ("Job", "CronJob"):
            continue  # refused: guards.yaml
        kubes = [kube for kube in KUBES if mode != "native" or minor(kube) >= NATIVE_SINCE]
        for kube in kubes:
            helms = tools.HELMS if kube in (kubes[0], kubes[-1]) else (next(turn),)
            yield case(f"{mode} {kind} on {kube}", tools.merged(how, what), kube, helms)


MONITORS = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "podMonitor": {"enabled": True},
                        "prometheusRule": {"enabled": True, "alertLabels": {"team": "agents"}}, "dashboard": {"enabled": True}}}
PLACED = {"pod": {
    "labels": {"team": "agents"}, "annotations": {"example.com/a": "b"}, "runAsUser": 1000, "runAsGroup": 2000, "shareProcessNamespace": True,
    "imagePullSecrets": ["registry"], "priorityClassName": "high", "runtimeClassName": "gvisor", "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "agents", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]}}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}}}],
    "dnsPolicy": "ClusterFirst", "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}, "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["h"]}]}}
SHUT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
EXTRAS = {
    "extraVolumes": [{"name": "models", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    "extraContainers": [{"name": "more", "image": "more:1", "securityContext": SHUT, "volumeMounts": [{"name": "models", "mountPath": "/models"}]}],
    "extraInitContainers": [{"name": "before", "image": "before:1", "command": ["true"], "securityContext": SHUT}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "labels": {"example": "foreign"}}, "data": {"a": "{{ .Release.Name }}"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-two\n  labels: {example: foreign}\ndata: {b: '1'}\n"],
    "agent": {"volumeMounts": [{"name": "models", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}],
              "env": [{"name": "ANSWER", "value": "yes"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
              "envFrom": [{"configMapRef": {"name": "more"}}], "args": ["--yes", "on", "0123", "1e3", "~"],
              "ports": [{"name": "debug", "containerPort": 5678}], "workingDir": "/app"},
    "sidecar": {"extraArgs": ["--log-level=debug"], "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                "extraVolumeMounts": [{"name": "models", "mountPath": "/shared/models", "readOnly": True}]},
}
NETWORK = {"networkPolicy": {
    "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}],
    "monitoringFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}], "nodeCidrs": ["10.0.0.0/16"], "restrictEgress": True,
    "egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443, "protocol": "TCP"}]}], "platformPorts": [443, 8443]}}

# name: values, or (values, what else case() takes)
OPTIONS = {
    "push, three replicas": tools.merged(PUSH, {"workload": {"replicas": 3}}),
    "push, autoscaled": tools.merged(PUSH, {"autoscaling": {"enabled": True, "targetMemoryUtilizationPercentage": 80, "behavior": {
        "scaleDown": {"stabilizationWindowSeconds": 300}}}}),
    "push, autoscaled StatefulSet": tools.merged(KINDS["StatefulSet"], PUSH, {"autoscaling": {"enabled": True}}),
    "push, own strategy": tools.merged(PUSH, {"workload": {"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}}}),
    "monitors": (MONITORS, {"apis": (tools.MONITORING,)}),
    "monitors, not known to the cluster": MONITORS,
    "monitors of a Job": (tools.merged(KINDS["Job"], MONITORS), {"apis": (tools.MONITORING,)}),
    "monitors of a wrapper": (tools.merged(MODES["wrapper"], MONITORS), {"apis": (tools.MONITORING,)}),
    "a tight network": NETWORK,
    "a tight network for a wrapper": tools.merged(MODES["wrapper"], NETWORK),
    "a tight network for a Job": tools.merged(KINDS["Job"], NETWORK),
    "nothing around": {"networkPolicy": {"enabled": False}, "service": {"enabled": False}, "serviceAccount": {"create": False},
                       "podDisruptionBudget": {"enabled": False}},
    "a token in the values": ({"platform": {"existingSecret": {"name": ""}, "token": TOKEN}}, {"secrets": (TOKEN,)}),
    "a token in the values, wrapper": (tools.merged(MODES["wrapper"], {"platform": {"existingSecret": {"name": ""}, "token": TOKEN}}), {"secrets": (TOKEN,)}),
    "another key of the Secret": {"platform": {"existingSecret": {"key": "molecule.token"}}},
    "no platform": {"platform": {"enabled": False, "url": "", "existingSecret": {"name": ""}}, "workspace": {"id": ""}},
    "no token, a claim": {"platform": {"existingSecret": {"name": ""}}, "state": {"type": "pvc"}},
    "own authorities": {"platform": {"caConfigMap": {"name": "authorities", "key": "bundle.pem"}, "orgId": "org 1"}},
    "an agent on a port": {"agent": {"port": 9000, "basePath": "/a2a", "readyPath": "/health"}},
    "an agent on a port, wrapper": tools.merged(MODES["wrapper"], {"agent": {"port": 9000}}),
    "an agent without a protocol": {"agent": {"protocol": "none"}},
    "a Job that answers": tools.merged(KINDS["Job"], {"agent": {"protocol": "http"}}),
    "secrets and uploads": {"agent": {"secrets": {"dir": "/run/secrets/agent"}, "uploads": {"dir": "/uploads"}}},
    "secrets and uploads, wrapper": tools.merged(MODES["wrapper"], {"agent": {"secrets": {"dir": "/run/secrets/agent"}, "uploads": {"dir": "/uploads"}}}),
    "images by digest": {"agent": {"image": "my-agent@sha256:" + "0" * 64}, "sidecar": {"image": {"repository": "registry:5000/side", "digest": "sha256:" + "1" * 64}}},
    "more configuration": {"sidecar": {"config": {"log": {"level": "debug"}, "forward": {"max_in_flight": 4}, "secrets": {"start_wait": "20s"}}}},
    "more of all": EXTRAS,
    "more of all, wrapper": tools.merged(MODES["wrapper"], EXTRAS),
    "labels for all": {"commonLabels": {"team": "agents", "billed": "true"}, "commonAnnotations": {"example.com/owner": "1"}},
    "long names": ({"fullnameOverride": "a" * 49 + "-and-more-than-fit", "nameOverride": "n" * 70}, {"release": "r" * 53}),
    "a long release": ({"workload": {"kind": "StatefulSet"}, "state": {"type": "pvc"}}, {"release": "r" * 45 + "-release"}),
    "a long release, CronJob": (KINDS["CronJob"], {"release": "r" * 45 + "-release"}),
    "a release with the chart's name": ({}, {"release": "molecule-sidecar"}),
    "placed": PLACED,
    "placed, wrapper": tools.merged(MODES["wrapper"], PLACED),
    "a short grace": {"termination": {"gracePeriodSeconds": 10, "drainDelaySeconds": 2, "agentGraceSeconds": 5}},
    "a long grace": {"termination": {"gracePeriodSeconds": 3600, "drainDelaySeconds": 0}},
    "other ports": {"sidecar": {"ports": {"http": 9080, "admin": 9081}}, "service": {"type": "LoadBalancer", "port": 8443, "annotations": {"a.example/b": "c"}}},
    "a Job with limits": {"workload": {"kind": "Job", "annotations": {"a": "b"}, "job": {
        "backoffLimit": 0, "activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": None, "restartPolicy": "OnFailure"}}},
    "a CronJob with all": {"workload": {"kind": "CronJob", "cronJob": {"schedule": "@daily", "timeZone": "Europe/Zurich", "successfulJobsHistoryLimit": 0,
                                                                       "failedJobsHistoryLimit": 0, "startingDeadlineSeconds": 60, "suspend": True}}},
    "a claim of the user": {"state": {"type": "pvc", "pvc": {"existingClaim": "mine"}}},
    "a claim for many nodes": {"state": {"type": "pvc", "pvc": {"accessModes": ["ReadWriteMany"], "readWriteManyBecause": "a directory of the node"}}},
    "a claim that goes": {"state": {"type": "pvc", "pvc": {"keep": False, "storageClassName": "fast", "size": "2Gi"}}},
    "a StatefulSet with the user's claim": {"workload": {"kind": "StatefulSet"}, "state": {"type": "pvc", "pvc": {"existingClaim": "mine"}}},
    "no probes, no /tmp": {"agent": {"livenessProbe": {"enabled": False}, "tmp": {"enabled": False}}},
    "no probes, wrapper": tools.merged(MODES["wrapper"], {"agent": {"livenessProbe": {"enabled": False}}}),
    "a shut agent": {"agent": {"securityContext": {"readOnlyRootFilesystem": True}, "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}},
    "an agent that starts slowly": {"agent": {"startSeconds": 601, "livenessProbe": {"periodSeconds": 5, "failureThreshold": 6, "graceSeconds": 200}}},
}


def options():
    for name, what in OPTIONS.items():
        values, more = what if isinstance(what, tuple) else (what, {})
        yield case(name, values, **more)


def cases():
    return [*grid(), *options()]

"""What the API server refuses beyond the schema, and what it lets pass but never works: names, references inside the pod, duplicates.

complaints(things) takes all objects of one rendering and gives a sentence per mistake. The negative cases are in test_apirules.py.
"""
import base64
import collections
import re

import tools

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # the strictest: it begins with a letter
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")
UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
LABEL_MAX, NAME_MAX, PORT_NAME_MAX = 63, 253, 15
CRONJOB_NAME_MAX = 52
LABEL_NAMES = ("Service", "StatefulSet", "Job")  # kinds whose name becomes a host name or a label
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def quantity(text):
    number, unit = QUANTITY.fullmatch(str(text)).groups()
    return float(number) * UNITS[unit]


def names(thing):
    name = thing["metadata"].get("name", "")
    if not DNS_NAME.fullmatch(name) or len(name) > NAME_MAX:
        yield f"name {name!r} is no DNS name"
    if thing["kind"] in LABEL_NAMES and (not DNS_LABEL.fullmatch(name) or len(name) > LABEL_MAX):
        yield f"name {name!r} is no DNS label of at most {LABEL_MAX} characters"
    if thing["kind"] == "Service" and not SERVICE_NAME.fullmatch(name):
        yield f"name {name!r} does not begin with a letter, or is no DNS label"
    if thing["kind"] == "CronJob" and len(name) > CRONJOB_NAME_MAX:
        yield f"name {name!r} has more than {CRONJOB_NAME_MAX} characters"


def label_maps(thing):
    yield thing["metadata"]
    pod = tools.pod_spec(thing)
    if pod:
        yield pod[0]


def labels(thing):
    for metadata in label_maps(thing):
        for key, value in (metadata.get("labels") or {}).items():
            prefix, _, name = key.rpartition("/")
            if not LABEL_NAME.fullmatch(name) or len(name) > LABEL_MAX or (prefix and not DNS_NAME.fullmatch(prefix)):
                yield f"label {key!r} has no valid name"
            if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value) or len(value) > LABEL_MAX:
                yield f"label {key} is {value!r}"
        for key, value in (metadata.get("annotations") or {}).items():
            if not isinstance(value, str):
                yield f"annotation {key} is {value!r}, no text"


def data_keys(thing):
    if thing["kind"] not in ("ConfigMap", "Secret"):
        return
    for section in ("data", "stringData", "binaryData"):
        for key, value in (thing.get(section) or {}).items():
            if not DATA_KEY.fullmatch(key):
                yield f"{section} key {key!r}"
            if thing["kind"] == "Secret" and section == "data":
                base64.b64decode(value, validate=True)


def duplicates(where, entries, key):
    seen = collections.Counter(entry.get(key) for entry in entries or [])
    for value, count in seen.items():
        if count > 1:
            yield f"{where}: {key} {value} stands {count} times"


def container_lists(thing):
    pod = tools.pod_spec(thing)
    if not pod:
        return
    spec = pod[1]
    yield from duplicates("containers", tools.containers(spec), "name")
    yield from duplicates("volumes", spec.get("volumes"), "name")
    for container in tools.containers(spec):
        yield from duplicates(container["name"], container.get("env"), "name")
        yield from duplicates(container["name"], container.get("volumeMounts"), "mountPath")
        yield from duplicates(container["name"], container.get("ports"), "name")
        for entry in container.get("env") or []:
            if not ENV_NAME.fullmatch(entry["name"]):
                yield f"{container['name']}: variable {entry['name']!r}"
        if not container.get("image"):
            yield f"{container['name']}: no image"


def mounts(thing):
    pod = tools.pod_spec(thing)
    if not pod:
        return
    templates = (thing.get("spec") or {}).get("volumeClaimTemplates") or []
    there = {volume["name"] for volume in pod[1].get("volumes") or []} | {template["metadata"]["name"] for template in templates}
    used = set()
    for container in tools.containers(pod[1]):
        for mount in container.get("volumeMounts") or []:
            used.add(mount["name"])
            if mount["name"] not in there:
                yield f"{container['name']}: there is no volume {mount['name']}"
    for name in there - used:
        yield f"volume {name} is mounted nowhere"


def ports(thing):
    """Container ports once in a pod, for its containers share one network; named ports of probes in the same container."""
    pod = tools.pod_spec(thing)
    if not pod:
        return
    every = [(port.get("protocol", "TCP"), port["containerPort"]) for one in tools.containers(pod[1]) for port in one.get("ports") or []]
    for port, count in collections.Counter(every).items():
        if count > 1:
            yield f"port {port[1]} stands in {count} places of the pod"
    for container in tools.containers(pod[1]):
        own = {port.get("name") for port in container.get("ports") or []}
        for name in own - {None}:
            if not PORT_NAME.fullmatch(name) or len(name) > PORT_NAME_MAX:
                yield f"{container['name']}: port name {name!r}"
        handlers = [container.get(name) for name in PROBES] + [(container.get("lifecycle") or {}).get("preStop")]
        for handler in filter(None, handlers):
            wanted = (handler.get("httpGet") or {}).get("port")
            if wanted is None:
                continue
            if isinstance(wanted, str) and wanted not in own:
                yield f"{container['name']}: a probe or hook asks port {wanted}, which the container does not name"
            if isinstance(wanted, int) and wanted not in {port for _, port in every}:
                yield f"{container['name']}: a probe or hook asks port {wanted}, which no container of the pod has"


def resources(thing):
    pod = tools.pod_spec(thing)
    for container in tools.containers(pod[1]) if pod else []:
        wanted = container.get("resources") or {}
        for name, limit in (wanted.get("limits") or {}).items():
            if quantity((wanted.get("requests") or {}).get(name, 0)) > quantity(limit):
                yield f"{container['name']}: requests more {name} than its limit"


def native_sidecars(thing):
    pod = tools.pod_spec(thing)
    for container in (pod[1].get("initContainers") or []) if pod else []:
        extra = set(container) & {*PROBES, "lifecycle"}
        if container.get("restartPolicy") != "Always" and extra:
            yield f"{container['name']}: an init container that ends has {sorted(extra)[0]}"
    for container in (pod[1].get("containers") or []) if pod else []:
        if "restartPolicy" in container:
            yield f"{container['name']}: restartPolicy on a plain container"


def restart_policy(thing):
    pod = tools.pod_spec(thing)
    if not pod:
        return
    policy = pod[1].get("restartPolicy", "Always")
    if thing["kind"] in ("Job", "CronJob") and policy not in ("Never", "OnFailure"):
        yield f"a Job's pod has restartPolicy {policy}"
    if thing["kind"] in ("Deployment", "StatefulSet") and policy != "Always":
        yield f"restartPolicy {policy}"


def pod_grace(thing):
    """A probe may shorten the grace, in a liveness or startup probe only."""
    pod = tools.pod_spec(thing)
    for container in tools.containers(pod[1]) if pod else []:
        if "terminationGracePeriodSeconds" in (container.get("readinessProbe") or {}):
            yield f"{container['name']}: a readinessProbe has terminationGracePeriodSeconds"
        for name in ("livenessProbe", "startupProbe"):
            if (container.get(name) or {}).get("successThreshold", 1) != 1:
                yield f"{container['name']}: {name}.successThreshold must be 1"


def own_selector(thing):
    spec = thing.get("spec") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") if thing["kind"] in ("Deployment", "StatefulSet") else None
    if wanted is None:
        return
    have = tools.pod_spec(thing)[0].get("labels") or {}
    for key, value in wanted.items():
        if have.get(key) != value:
            yield f"selects {key}={value}, its pods have {have.get(key)!r}"


def strategy(thing):
    spec = thing.get("spec") or {}
    inner = spec.get("strategy") or {}
    if thing["kind"] == "Deployment" and inner.get("type") == "Recreate" and inner.get("rollingUpdate"):
        yield "strategy Recreate with rollingUpdate"
    if thing["kind"] == "HorizontalPodAutoscaler":
        if spec["minReplicas"] > spec["maxReplicas"]:
            yield "minReplicas above maxReplicas"
        if not spec.get("metrics"):
            yield "no metrics"
    if thing["kind"] == "PodDisruptionBudget" and len({"minAvailable", "maxUnavailable"} & set(spec)) != 1:
        yield "needs one of minAvailable and maxUnavailable"


def network_policy(thing):
    if thing["kind"] != "NetworkPolicy":
        return
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in thing["spec"].get(direction) or []:
            for peer in rule.get(peers) or []:
                if "ipBlock" in peer and len(peer) > 1:
                    yield f"a peer of {direction} has ipBlock and selectors"
        if thing["spec"].get(direction) and direction.capitalize() not in thing["spec"].get("policyTypes", []):
            yield f"{direction} rules without the policy type"


RULES = (names, labels, data_keys, container_lists, mounts, ports, resources, native_sidecars, restart_policy, pod_grace, own_selector, strategy,
         network_policy)


def identity(thing):
    return thing["apiVersion"], thing["kind"], thing["metadata"].get("namespace") or "", thing["metadata"].get("name") or ""


def complaints(things):
    found = [f"{'/'.join(filter(None, who))} stands {count} times" for who, count in collections.Counter(map(identity, things)).items() if count > 1]
    for thing in things:
        for rule in RULES:
            try:
                found += [f"{thing['kind']} {thing['metadata'].get('name')}: {rule.__name__}: {sentence}" for sentence in rule(thing)]
            except (KeyError, TypeError, ValueError, AttributeError) as problem:
                found.append(f"{thing.get('kind')}: {rule.__name__}: cannot be read ({type(problem).__name__}: {problem})")
    return found

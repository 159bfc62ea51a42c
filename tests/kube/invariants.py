"""What must hold in every pod that stands next to an agent, whatever the values: one function per promise of the chart.

complaints(things, secrets) takes the objects of one rendering and the texts that nobody may read in it outside a Secret. A pod of the chart
is one with a volume for the configuration; the pod of `helm test` and foreign ones are no agents. The negative cases are in
test_invariants.py.
"""
import base64
import collections
import json
import re

import tools

CONFIG_VOLUME, CONFIG_KEY = "molecule-config", "config.yaml"
CAPABILITY = re.compile(r"/drain/[A-Za-z0-9_-]{16,}")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"(\d+)(ms|s|m|h)")
DISK_KEYS = ("emptyDir", "persistentVolumeClaim", "ephemeral")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
ADMIN_PATHS = ("/startupz", "/readyz", "/livez", "/agentz")


class Pod:
    """A pod of the chart, taken apart."""

    def __init__(self, owner, things):
        self.owner = owner
        self.metadata, self.spec = tools.pod_spec(owner)
        self.things = things
        every = tools.containers(self.spec)
        self.agent = next(one for one in every if one["name"] == "agent")
        sidecars = [one for one in every if one["name"] == "molecule-sidecar"]
        self.wrapper = not sidecars
        self.sidecar = sidecars[0] if sidecars else self.agent
        self.native = self.sidecar in (self.spec.get("initContainers") or [])
        self.volumes = {volume["name"]: volume for volume in self.spec.get("volumes") or []}
        for claim in (owner["spec"].get("volumeClaimTemplates") or []):
            self.volumes[claim["metadata"]["name"]] = {"name": claim["metadata"]["name"], "persistentVolumeClaim": {}}
        text = self.find("ConfigMap", self.volumes[CONFIG_VOLUME]["configMap"]["name"])["data"][CONFIG_KEY]
        self.config = tools.documents(text)[0]

    def find(self, kind, name):
        for thing in self.things:
            if thing["kind"] == kind and thing["metadata"]["name"] == name:
                return thing
        raise KeyError(f"no {kind} {name}")

    def volume_at(self, container, path):
        """The volume in which a path of the container lies."""
        mounts = [mount for mount in container.get("volumeMounts") or [] if path == mount["mountPath"] or path.startswith(mount["mountPath"] + "/")]
        return self.volumes[max(mounts, key=lambda mount: len(mount["mountPath"]))["name"]] if mounts else None

    def mounted(self, container):
        return {mount["name"] for mount in container.get("volumeMounts") or []}

    def variables(self, container):
        return {entry["name"]: entry for entry in container.get("env") or []}


def pods(things):
    for thing in things:
        if thing["kind"] in WORKLOADS and any(volume["name"] == CONFIG_VOLUME for volume in tools.pod_spec(thing)[1].get("volumes") or []):
            yield Pod(thing, things)


def port_of(address):
    return int(address.rpartition(":")[2])


def seconds(text):
    number, unit = DURATION.fullmatch(str(text)).groups()
    return int(number) * SECONDS[unit]


def the_operators_socket_is_not_in_the_agent(pod):
    volume = pod.volume_at(pod.sidecar, pod.config["control"]["socket"])
    if volume is None:
        yield "control.socket lies in no volume"
    elif not pod.wrapper and volume["name"] in pod.mounted(pod.agent):
        yield "the agent mounts the volume of the control socket"


def the_agent_sees_neither_token_nor_journal(pod):
    if pod.wrapper:
        return
    for section, key in (("platform", "token_file"), ("state", "dir")):
        path = (pod.config.get(section) or {}).get(key)
        volume = pod.volume_at(pod.sidecar, path) if path else None
        if path and volume is None:
            yield f"{section}.{key} lies in no volume"
        elif path and volume["name"] in pod.mounted(pod.agent):
            yield f"the agent mounts the volume of {section}.{key}"


def sockets_and_secrets_are_in_memory(pod):
    paths = [pod.config["control"]["socket"], pod.config["control"]["agent_socket"], (pod.config.get("secrets") or {}).get("dir")]
    address = pod.config["agent"].get("address", "")
    paths.append(address.removeprefix("unix:") if address.startswith("unix:") else None)
    for path in filter(None, paths):
        volume = pod.volume_at(pod.sidecar, path)
        if volume is None or (volume.get("emptyDir") or {}).get("medium") != "Memory":
            yield f"{path} is in no memory volume"


def the_journal_is_on_a_disk(pod):
    volume = pod.volume_at(pod.sidecar, pod.config["state"]["dir"])
    if volume is None or not set(volume) & set(DISK_KEYS) or (volume.get("emptyDir") or {}).get("medium"):
        yield "state.dir is on no disk volume"


def both_see_the_same_sockets(pod):
    paths = [pod.config["control"]["agent_socket"]]
    address = pod.config["agent"].get("address", "")
    if address.startswith("unix:"):
        paths.append(address.removeprefix("unix:"))
    for path in paths:
        if pod.volume_at(pod.sidecar, path) != pod.volume_at(pod.agent, path):
            yield f"{path} is another volume in the agent"


def one_user_and_one_group(pod):
    common = pod.spec.get("securityContext") or {}
    for key in ("runAsUser", "runAsGroup"):
        found = {(one.get("securityContext") or {}).get(key, common.get(key)) for one in (pod.agent, pod.sidecar)}
        if len(found) != 1 or None in found or 0 in found:
            yield f"{key} of agent and sidecar: {sorted(map(str, found))}"


def the_sidecars_root_is_read_only(pod):
    if not pod.wrapper and (pod.sidecar.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"


def nothing_of_the_cluster_is_handed_in(pod):
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    if pod.spec.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false"


def one_grace(pod):
    grace = pod.spec.get("terminationGracePeriodSeconds")
    if seconds(pod.config["stop"]["grace"]) != grace:
        yield f"stop.grace is {pod.config['stop']['grace']}, terminationGracePeriodSeconds {grace}"
    for container in (pod.agent, pod.sidecar):
        told = pod.variables(container).get("TERMINATION_GRACE_PERIOD_SECONDS", {}).get("value", str(grace))
        if told != str(grace):
            yield f"TERMINATION_GRACE_PERIOD_SECONDS of {container['name']} is {told}, not {grace}"


def one_drain_path(pod):
    """What the kubelet asks before it stops the agent is what the sidecar listens to."""
    entry = pod.variables(pod.sidecar).get("MOLECULE_SIDECAR_ADMIN_DRAIN_PATH")
    hook = ((pod.agent.get("lifecycle") or {}).get("preStop") or {}).get("httpGet")
    if pod.wrapper:
        if hook:
            yield "a wrapped agent has a preStop hook, so the sidecar would drain and then get TERM all the same"
        return
    if not hook and not entry and pod.owner["kind"] in ("Job", "CronJob"):
        return  # without a capability of the user's: nothing in a Job may be drawn anew
    if not hook or not entry:
        yield "no preStop hook, or no drain path for the sidecar"
        return
    if "value" not in entry:
        yield "the sidecar's drain path is not in the pod's specification, so it may become another than the hook's"
        return
    path = entry["value"]
    if hook["path"] != path:
        yield f"preStop asks {hook['path']}, the sidecar listens to {path}"
    if not CAPABILITY.fullmatch(path):
        yield f"the drain path {path} can be guessed"
    if hook["port"] != port_of(pod.config["admin"]["address"]):
        yield f"preStop asks port {hook['port']}"
    if "host" in hook:
        yield "preStop names a host"


def probes_ask_the_admin_port(pod):
    admin = port_of(pod.config["admin"]["address"])
    for container in {id(one): one for one in (pod.agent, pod.sidecar)}.values():
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            wanted = (container.get(name) or {}).get("httpGet")
            if wanted and (wanted["port"] != admin or wanted["path"] not in ADMIN_PATHS):
                yield f"{container['name']}: {name} asks {wanted['port']}{wanted['path']}"
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if name not in pod.sidecar:
            yield f"{pod.sidecar['name']} has no {name}"


def ports_are_those_that_are_listened_to(pod):
    wanted = {"http": port_of(pod.config["listen"]["address"]), "admin": port_of(pod.config["admin"]["address"])}
    have = {port.get("name"): port["containerPort"] for port in pod.sidecar.get("ports") or []}
    for name, port in wanted.items():
        if have.get(name) != port:
            yield f"port {name} is {have.get(name)}, the sidecar listens to {port}"


def a_native_sidecar_is_one(pod):
    if pod.native != (pod.sidecar.get("restartPolicy") == "Always"):
        yield "the sidecar's restartPolicy does not fit its place"


def config_is_read_from_the_file(pod):
    words = (pod.sidecar.get("command") or []) + (pod.sidecar.get("args") or [])
    if "--config" not in words:
        yield "the sidecar is not told its configuration file"
        return
    path = words[words.index("--config") + 1]
    if pod.volume_at(pod.sidecar, path) != pod.volumes[CONFIG_VOLUME] or not path.endswith("/" + CONFIG_KEY):
        yield f"{path} is not in the volume of the configuration"


def polling_has_one_pod(pod):
    kind, spec = pod.owner["kind"], pod.owner["spec"]
    if (pod.config.get("platform") or {}).get("delivery") != "poll" or kind not in ("Deployment", "StatefulSet"):
        return
    if spec.get("replicas") != 1:
        yield f"messages are polled by {spec.get('replicas')} pods"
    if kind == "Deployment" and (spec.get("strategy") or {}).get("type") != "Recreate":
        yield "messages are polled, and an update would run two pods at once"


POD_PROMISES = (the_operators_socket_is_not_in_the_agent, the_agent_sees_neither_token_nor_journal, sockets_and_secrets_are_in_memory,
                the_journal_is_on_a_disk, both_see_the_same_sockets, one_user_and_one_group, the_sidecars_root_is_read_only,
                nothing_of_the_cluster_is_handed_in, one_grace, one_drain_path, probes_ask_the_admin_port,
                ports_are_those_that_are_listened_to, a_native_sidecar_is_one, config_is_read_from_the_file, polling_has_one_pod)


def selectors(thing):
    spec = thing.get("spec") or {}
    if thing["kind"] == "Service":
        yield spec.get("selector") or {}
    if thing["kind"] in ("PodDisruptionBudget", "PodMonitor"):
        yield spec["selector"].get("matchLabels") or {}
    if thing["kind"] == "NetworkPolicy":
        yield spec["podSelector"].get("matchLabels") or {}


def matches(wanted, metadata):
    return bool(wanted) and wanted.items() <= (metadata.get("labels") or {}).items()


def selectors_find_the_agents_pods(things):
    """And no other pod of the release, such as that of `helm test`."""
    agents = [pod.metadata for pod in pods(things)]
    others = [thing["metadata"] for thing in things if thing["kind"] == "Pod"]
    for thing in things:
        for wanted in selectors(thing):
            if agents and not all(matches(wanted, metadata) for metadata in agents) and not any(matches(wanted, metadata) for metadata in others):
                yield f"{thing['kind']} {thing['metadata']['name']} selects {wanted}, which the pods do not have"
            if any(matches(wanted, metadata) for metadata in agents) and any(matches(wanted, metadata) for metadata in others):
                yield f"{thing['kind']} {thing['metadata']['name']} selects the test's pod with the agent's"


def the_admin_port_is_on_no_service_for_requests(things):
    for pod in pods(things):
        admin, http = (port_of(pod.config[section]["address"]) for section in ("admin", "listen"))
        for thing in things:
            if thing["kind"] != "Service":
                continue
            targets = {port.get("targetPort", port["port"]) for port in thing["spec"]["ports"]}
            names = {port.get("name") for port in thing["spec"]["ports"]}
            if targets & {admin, "admin"} and (names != {"admin"} or thing["spec"].get("clusterIP") != "None"):
                yield f"Service {thing['metadata']['name']} leads to the admin port"
            if not targets <= {admin, http, "admin", "http"}:
                yield f"Service {thing['metadata']['name']} leads to {targets}"


def service_monitors_find_a_service(things):
    for thing in things:
        if thing["kind"] != "ServiceMonitor":
            continue
        found = [other for other in things if other["kind"] == "Service" and matches(thing["spec"]["selector"]["matchLabels"], other["metadata"])]
        if len(found) != 1:
            yield f"ServiceMonitor finds {len(found)} Services"
        for service in found:
            names = {port.get("name") for port in service["spec"]["ports"]}
            for endpoint in thing["spec"]["endpoints"]:
                if endpoint.get("port") not in names:
                    yield f"ServiceMonitor asks port {endpoint.get('port')} of {service['metadata']['name']}"


def references_are_there(things):
    """Scaled and budgeted objects, the StatefulSet's Service, the ServiceAccount that the chart makes."""
    have = {(thing["kind"], thing["metadata"]["name"]) for thing in things}
    for thing in things:
        spec = thing.get("spec") or {}
        if thing["kind"] == "HorizontalPodAutoscaler" and (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) not in have:
            yield f"the autoscaler scales {spec['scaleTargetRef']}"
        if thing["kind"] == "StatefulSet" and ("Service", spec["serviceName"]) not in have:
            yield f"the StatefulSet names the Service {spec['serviceName']}"
        if thing["kind"] == "HorizontalPodAutoscaler":
            for other in things:
                if other["kind"] in ("Deployment", "StatefulSet") and "replicas" in other["spec"]:
                    yield "replicas is set beside an autoscaler"


def objects_carry_the_common_labels(things):
    """All but those of extraObjects, which are the user's: in our cases ConfigMaps without any label, or with one that says so."""
    for thing in things:
        labels = thing["metadata"].get("labels") or {}
        if not labels and thing["kind"] == "ConfigMap" and CONFIG_KEY not in (thing.get("data") or {}):
            continue
        for key in ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version"):
            if key not in labels and labels.get("example") != "foreign":
                yield f"{thing['kind']} {thing['metadata']['name']} has no label {key}"


RELEASE_PROMISES = (selectors_find_the_agents_pods, the_admin_port_is_on_no_service_for_requests, service_monitors_find_a_service,
                    references_are_there, objects_carry_the_common_labels)


def secrets_are_in_secrets_only(things, secrets):
    for thing in things:
        text = json.dumps(thing, default=str)
        for secret in secrets:
            shown = secret in text or base64.b64encode(secret.encode()).decode() in text
            if shown and thing["kind"] != "Secret":
                yield f"{thing['kind']} {thing['metadata']['name']} shows a secret"
    for pod in pods(things):
        for container in tools.containers(pod.spec):
            for name, entry in pod.variables(container).items():
                if re.search(r"TOKEN|API_KEY|SECRET$", name) and not name.endswith("_FILE") and "value" in entry:
                    yield f"{container['name']}: variable {name} holds its value in the open"


def sentences(rule, *arguments):
    """What a rule says, or that it could not be read: then something is missing that all of them rely on."""
    try:
        return [f"{rule.__name__}: {sentence}" for sentence in rule(*arguments)]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as problem:
        return [f"{rule.__name__}: cannot be read ({type(problem).__name__}: {problem})"]


def complaints(things, secrets=()):
    found = [sentence for rule in RELEASE_PROMISES for sentence in sentences(rule, things)]
    found += sentences(secrets_are_in_secrets_only, things, secrets)
    for pod in pods(things):
        found += [sentence for rule in POD_PROMISES for sentence in sentences(rule, pod)]
    return found


def kinds(things):
    return collections.Counter(thing["kind"] for thing in things)

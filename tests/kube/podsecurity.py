"""Pod Security, level "restricted": the rules of the Kubernetes standard, one function each.

complaints(metadata, spec) gives a sentence per broken rule. Every rule has its negative cases in test_podsecurity.py. The rules are those
of a Linux pod with the user namespace of its node, and the profile of "baseline" is part of it.
"""
import tools

BASELINE_CAPABILITIES = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                         "SETPCAP", "SETUID", "SYS_CHROOT"}
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
           "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
           "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
SECCOMP = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
HANDLERS = ("httpGet", "tcpSocket")
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def context(thing):
    return thing.get("securityContext") or {}


def everywhere(spec):
    """(where, security context) of the pod and of each container."""
    yield "pod", context(spec)
    for container in tools.containers(spec):
        yield container["name"], context(container)


def host_namespaces(_, spec):
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} is true"


def host_process(_, spec):
    for where, inner in everywhere(spec):
        if (inner.get("windowsOptions") or {}).get("hostProcess"):
            yield f"{where}: hostProcess is true"


def privileged(_, spec):
    for container in tools.containers(spec):
        if context(container).get("privileged"):
            yield f"{container['name']}: privileged"


def capabilities(_, spec):
    for container in tools.containers(spec):
        wanted = context(container).get("capabilities") or {}
        if "ALL" not in (wanted.get("drop") or []):
            yield f"{container['name']}: capabilities.drop has no ALL"
        for name in wanted.get("add") or []:
            if name != "NET_BIND_SERVICE":
                yield f"{container['name']}: capability {name} is added" + ("" if name in BASELINE_CAPABILITIES else " (not even in baseline)")


def volumes(_, spec):
    for volume in spec.get("volumes") or []:
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {kind} is not allowed"


def host_ports(_, spec):
    for container in tools.containers(spec):
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield f"{container['name']}: hostPort {port['hostPort']}"


def handler_hosts(_, spec):
    for container in tools.containers(spec):
        handlers = [container.get(f"{name}Probe") for name in ("liveness", "readiness", "startup")]
        handlers += [(container.get("lifecycle") or {}).get(name) for name in ("preStop", "postStart")]
        for handler in filter(None, handlers):
            if any((handler.get(kind) or {}).get("host") for kind in HANDLERS):
                yield f"{container['name']}: a probe or a hook names a host"


def apparmor(metadata, spec):
    for where, inner in everywhere(spec):
        if (inner.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in SECCOMP:
            yield f"{where}: appArmorProfile is {inner['appArmorProfile']['type']}"
    for key, value in (metadata.get("annotations") or {}).items():
        if key.startswith(APPARMOR_ANNOTATION) and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"annotation {key} is {value}"


def selinux(_, spec):
    for where, inner in everywhere(spec):
        options = inner.get("seLinuxOptions") or {}
        if options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"):
            yield f"{where}: seLinuxOptions {options}"


def proc_mount(_, spec):
    for container in tools.containers(spec):
        if context(container).get("procMount", "Default") != "Default":
            yield f"{container['name']}: procMount is {context(container)['procMount']}"


def sysctls(_, spec):
    for entry in context(spec).get("sysctls") or []:
        if entry["name"] not in SYSCTLS:
            yield f"sysctl {entry['name']}"


def escalation(_, spec):
    for container in tools.containers(spec):
        if context(container).get("allowPrivilegeEscalation") is not False:
            yield f"{container['name']}: allowPrivilegeEscalation is not false"


def non_root(_, spec):
    """The pod may say it for all; a container that says otherwise wins."""
    for container in tools.containers(spec):
        if context(container).get("runAsNonRoot", context(spec).get("runAsNonRoot")) is not True:
            yield f"{container['name']}: runAsNonRoot is not true"


def non_root_user(_, spec):
    for where, inner in everywhere(spec):
        if inner.get("runAsUser") == 0:
            yield f"{where}: runAsUser is 0"


def seccomp(_, spec):
    for where, inner in everywhere(spec):
        kind = (inner.get("seccompProfile") or {}).get("type")
        if kind is not None and kind not in SECCOMP:
            yield f"{where}: seccompProfile is {kind}"
    for container in tools.containers(spec):
        if not (context(container).get("seccompProfile") or context(spec).get("seccompProfile")):
            yield f"{container['name']}: seccompProfile is not set"


RULES = (host_namespaces, host_process, privileged, capabilities, volumes, host_ports, handler_hosts, apparmor, selinux, proc_mount, sysctls,
         escalation, non_root, non_root_user, seccomp)


def complaints(metadata, spec):
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(metadata, spec)]

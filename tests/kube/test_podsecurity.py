"""The rules of Pod Security "restricted": a pod that keeps them all, and for each rule the ways to break it alone."""
import copy
import unittest

import podsecurity

GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [{"name": "first", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}],
    "containers": [{"name": "main", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}],
    "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "s"}}],
}
MAIN = "containers.0."
CONTEXT = MAIN + "securityContext."
# rule, path in the pod, what is put there (None: it is taken away)
BROKEN = (
    ("host_namespaces", "hostNetwork", True),
    ("host_namespaces", "hostPID", True),
    ("host_namespaces", "hostIPC", True),
    ("host_process", "securityContext.windowsOptions", {"hostProcess": True}),
    ("host_process", CONTEXT + "windowsOptions", {"hostProcess": True}),
    ("privileged", CONTEXT + "privileged", True),
    ("capabilities", CONTEXT + "capabilities", None),
    ("capabilities", CONTEXT + "capabilities", {"drop": ["NET_RAW"]}),
    ("capabilities", CONTEXT + "capabilities", {"drop": ["ALL"], "add": ["CHOWN"]}),
    ("capabilities", CONTEXT + "capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    ("capabilities", "initContainers.0.securityContext.capabilities", None),
    ("volumes", "volumes.0.hostPath", {"path": "/"}),
    ("volumes", "volumes.0.nfs", {"server": "s", "path": "/"}),
    ("host_ports", MAIN + "ports", [{"containerPort": 80, "hostPort": 80}]),
    ("handler_hosts", MAIN + "livenessProbe", {"httpGet": {"host": "metadata", "port": 80}}),
    ("handler_hosts", MAIN + "lifecycle", {"preStop": {"tcpSocket": {"host": "metadata", "port": 80}}}),
    ("apparmor", CONTEXT + "appArmorProfile", {"type": "Unconfined"}),
    ("apparmor", "securityContext.appArmorProfile", {"type": "Unconfined"}),
    ("selinux", CONTEXT + "seLinuxOptions", {"type": "spc_t"}),
    ("selinux", "securityContext.seLinuxOptions", {"user": "system_u"}),
    ("selinux", "securityContext.seLinuxOptions", {"role": "sysadm_r"}),
    ("proc_mount", CONTEXT + "procMount", "Unmasked"),
    ("sysctls", "securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("escalation", CONTEXT + "allowPrivilegeEscalation", None),
    ("escalation", CONTEXT + "allowPrivilegeEscalation", True),
    ("escalation", "initContainers.0.securityContext", {"capabilities": {"drop": ["ALL"]}}),
    ("non_root", "securityContext.runAsNonRoot", None),
    ("non_root", CONTEXT + "runAsNonRoot", False),
    ("non_root_user", "securityContext.runAsUser", 0),
    ("non_root_user", CONTEXT + "runAsUser", 0),
    ("seccomp", "securityContext.seccompProfile", None),
    ("seccomp", "securityContext.seccompProfile", {"type": "Unconfined"}),
    ("seccomp", CONTEXT + "seccompProfile", {"type": "Unconfined"}),
)


def changed(path, value):
    pod = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    at = pod
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return pod


class PodSecurity(unittest.TestCase):
    def test_a_pod_that_keeps_all_rules_passes(self):
        self.assertEqual(podsecurity.complaints({}, GOOD), [])

    def test_what_restricted_allows_passes(self):
        for path, value in ((CONTEXT + "capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}), (CONTEXT + "runAsUser", 1000),
                            ("volumes.0", {"name": "p", "persistentVolumeClaim": {"claimName": "c"}}), (CONTEXT + "seccompProfile", {"type": "Localhost"})):
            pod = copy.deepcopy(GOOD)
            if path == "volumes.0":
                pod["volumes"][0] = value
            else:
                pod = changed(path, value)
            with self.subTest(path=path):
                self.assertEqual(podsecurity.complaints({}, pod), [])

    def test_an_annotation_for_apparmor_counts(self):
        metadata = {"annotations": {podsecurity.APPARMOR_ANNOTATION + "main": "unconfined"}}
        self.assertEqual(len(podsecurity.complaints(metadata, GOOD)), 1)

    def test_every_rule_has_a_negative_case(self):
        self.assertEqual({rule for rule, _, _ in BROKEN}, {rule.__name__ for rule in podsecurity.RULES})


def broken_case(rule, path, value):
    def test(self):
        found = podsecurity.complaints({}, changed(path, value))
        self.assertEqual({sentence.split(":")[0] for sentence in found}, {rule}, found)
    return test


for number, case in enumerate(BROKEN):
    setattr(PodSecurity, f"test_broken_{number:02d}_{case[0]}_at_{case[1].replace('.', '_')}", broken_case(*case))

if __name__ == "__main__":
    unittest.main()

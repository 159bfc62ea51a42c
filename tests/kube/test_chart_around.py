"""What the chart puts around the workload: Services, NetworkPolicy, budget, autoscaler, monitors, the test's pod, NOTES. Rendered by each
helm of $HELMS (paths, joined by colons) without a cluster."""
import functools
import json
import os
import pathlib
import subprocess
import unittest

import yaml

from tools import merged

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm" / "molecule-sidecar"
HELMS = [path for path in os.environ.get("HELMS", "").split(":") if path]
MONITORING = "monitoring.coreos.com/v1"
ID = "6f1c2a34-0b5d-4e8f-9a71-3c2d1e0f4b5a"
POLL = {"workspace": {"id": ID}, "platform": {"url": "https://platform.example.com", "existingSecret": {"name": "token"}},
        "agent": {"image": "agent:1"}}
PUSH = {"platform": {"reportedUrl": "https://agent.example.com"}}
PEER = {"podSelector": {"matchLabels": {"app": "client"}}}
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
SELECTOR = {"app.kubernetes.io/name": "molecule-sidecar", "app.kubernetes.io/instance": "r"}
ANYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}, {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}}]
HELM_SECONDS = 120  # a bound for a machine that has much to do


@functools.cache
def rendered(helm, values, kube, apis):
    command = [helm, "template", "r", str(CHART), "--namespace", "n", "--kube-version", kube, "--values", "-"]
    for api in apis:
        command += ["--api-versions", api]
    done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=HELM_SECONDS)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [thing for thing in yaml.safe_load_all(done.stdout) if thing]


@unittest.skipUnless(HELMS, "no helm: HELMS is not set")
class Case(unittest.TestCase):
    helm = ""

    def each(self, *values, kube="1.35.0", apis=()):
        """The objects as each helm makes them, of POLL with `values` over it."""
        text = json.dumps(merged(POLL, *values))
        for self.helm in HELMS:
            yield rendered(self.helm, text, kube, tuple(apis))

    def _formatMessage(self, msg, standardMsg):
        """A failure says which helm it was."""
        return f"{self.helm}: {super()._formatMessage(msg, standardMsg)}"

    def one(self, things, kind, name="r-molecule-sidecar"):
        found = [thing for thing in things if thing["kind"] == kind and thing["metadata"]["name"] == name]
        self.assertEqual(len(found), 1, f"{kind} {name}")
        return found[0]

    def none(self, things, kind):
        self.assertEqual([thing["metadata"]["name"] for thing in things if thing["kind"] == kind], [])


class Services(Case):
    def test_a2a_only_by_number_and_never_the_admin_port(self):
        for things in self.each({"sidecar": {"ports": {"http": 7000, "admin": 7001}}, "service": {"port": 8080, "type": "NodePort"}}):
            spec = self.one(things, "Service")["spec"]
            self.assertEqual(spec["ports"], [{"name": "http", "port": 8080, "targetPort": 7000, "protocol": "TCP", "appProtocol": "http"}])
            self.assertEqual((spec["type"], spec["selector"]), ("NodePort", SELECTOR))
            self.assertEqual(len([t for t in things if t["kind"] == "Service"]), 1)

    def test_none_for_who_is_no_server(self):
        for extra in ({"agent": {"protocol": "none"}}, {"service": {"enabled": False}}, {"workload": {"kind": "Job"}},
                      {"workload": {"kind": "CronJob", "cronJob": {"schedule": "0 * * * *"}}}):
            for things in self.each(extra):
                self.none(things, "Service")
                self.none(things, "Pod")

    def test_statefulset_has_a_headless_one(self):
        for things in self.each({"workload": {"kind": "StatefulSet"}, "state": {"type": "pvc"}}):
            name = self.one(things, "StatefulSet")["spec"]["serviceName"]
            self.assertEqual(self.one(things, "Service", name)["spec"]["clusterIP"], "None")

    def test_the_pods_are_selected(self):
        for things in self.each(merged(PUSH, {"workload": {"replicas": 2}, "commonLabels": {"a": "b"}, "pod": {"labels": {"c": "d"}}})):
            labels = self.one(things, "Deployment")["spec"]["template"]["metadata"]["labels"]
            for selector in (self.one(things, "Service")["spec"]["selector"], self.one(things, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
                             self.one(things, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]):
                self.assertEqual({key: labels.get(key) for key in selector}, selector)


class Policy(Case):
    def rules(self, things, direction="ingress"):
        """Port -> peers; None: everybody."""
        out = {}
        for rule in self.one(things, "NetworkPolicy")["spec"].get(direction) or []:
            for port in rule.get("ports", [{"port": "all"}]):
                self.assertNotIn(port["port"], [p for p in out if direction == "ingress"])
                out[port["port"]] = rule.get("from", rule.get("to"))
        return out

    def test_a2a_from_everybody_admin_from_nobody_but_the_node(self):
        for things in self.each():
            self.assertEqual(self.rules(things), {8000: None})
            self.assertEqual(self.one(things, "NetworkPolicy")["spec"]["policyTypes"], ["Ingress"])

    def test_named_peers_and_the_pod_of_the_test(self):
        policy = {"networkPolicy": {"ingressFrom": [PEER], "monitoringFrom": [PROMETHEUS], "nodeCidrs": ["10.0.0.0/8"]}}
        for things in self.each(policy):
            rules = self.rules(things)
            labels = self.one(things, "Pod", "r-molecule-sidecar-test-roundtrip")["metadata"]["labels"]
            self.assertEqual(rules[8000][0], PEER)
            test = rules[8000][1]["podSelector"]["matchLabels"]
            self.assertEqual({key: labels.get(key) for key in test}, test)
            self.assertEqual(rules[8081], [PROMETHEUS, {"ipBlock": {"cidr": "10.0.0.0/8"}}])

    def test_no_hole_for_a_test_that_is_not_there(self):
        for things in self.each({"networkPolicy": {"ingressFrom": [PEER]}, "sidecar": {"config": {"listen": {"inbound_auth": "require"}}}}):
            self.assertEqual(self.rules(things), {8000: [PEER]})

    def test_who_is_no_server_lets_nobody_in(self):
        for things in self.each({"workload": {"kind": "Job"}}):
            self.assertEqual(self.one(things, "NetworkPolicy")["spec"]["ingress"], [])
        for things in self.each({"workload": {"kind": "Job"}, "networkPolicy": {"ingressFrom": [PEER], "monitoringFrom": [PROMETHEUS]}}):
            self.assertEqual(self.rules(things), {8081: [PROMETHEUS]})

    def test_egress(self):
        model = {"to": [PEER], "ports": [{"port": 9443, "protocol": "TCP"}]}
        policy = {"restrictEgress": True, "egress": [model], "platformPorts": [443]}
        for things in self.each({"networkPolicy": policy, "platform": {"url": "http://platform.example.com:8080"}}):
            self.assertEqual(self.rules(things, "egress"), {53: None, 443: ANYWHERE, 8080: ANYWHERE, 9443: [PEER]})
            self.assertEqual(self.one(things, "NetworkPolicy")["spec"]["policyTypes"], ["Ingress", "Egress"])
        for things in self.each({"networkPolicy": {"restrictEgress": True, "platformPorts": [443]}, "platform": {"enabled": False}}):
            self.assertEqual(self.rules(things, "egress"), {53: None})

    def test_egress_to_named_peers_and_by_the_proxy(self):
        policy = {"restrictEgress": True, "dnsTo": [PEER], "dnsPorts": [53, 5353], "platformTo": [PROMETHEUS]}
        proxy = {"sidecar": {"config": {"platform": {"proxy": "http://proxy:3128"}}}}
        for things in self.each({"networkPolicy": policy}, proxy):
            self.assertEqual(self.rules(things, "egress"), {53: [PEER], 5353: [PEER], 443: [PROMETHEUS], 3128: [PROMETHEUS]})

    def test_more_ingress(self):
        for things in self.each({"networkPolicy": {"ingress": [{"ports": [{"port": 5678}], "from": [PEER]}]}, "workload": {"kind": "Job"}}):
            self.assertEqual(self.rules(things), {5678: [PEER]})

    def test_none_when_not_wanted(self):
        for things in self.each({"networkPolicy": {"enabled": False}}):
            self.none(things, "NetworkPolicy")


class Scale(Case):
    def test_no_budget_for_one_pod(self):
        hpa = {"autoscaling": {"enabled": True, "minReplicas": 1}}
        for extra in ({}, merged(PUSH, hpa), merged(PUSH, {"workload": {"replicas": 2}, "podDisruptionBudget": {"enabled": False}})):
            for things in self.each(extra):
                self.none(things, "PodDisruptionBudget")

    def test_budget_for_more(self):
        for extra in ({"workload": {"replicas": 2}}, {"autoscaling": {"enabled": True}}):
            for things in self.each(PUSH, extra):
                self.assertEqual(self.one(things, "PodDisruptionBudget")["spec"],
                                 {"maxUnavailable": 1, "selector": {"matchLabels": SELECTOR}, "unhealthyPodEvictionPolicy": "AlwaysAllow"})
            for things in self.each(PUSH, extra, {"mode": "classic"}, kube="1.26.0"):
                self.assertNotIn("unhealthyPodEvictionPolicy", self.one(things, "PodDisruptionBudget")["spec"])

    def test_autoscaler_scales_what_there_is(self):
        extra = {"autoscaling": {"enabled": True, "minReplicas": 3, "targetMemoryUtilizationPercentage": 80}}
        for things in self.each(PUSH, extra):
            spec = self.one(things, "HorizontalPodAutoscaler")["spec"]
            target = self.one(things, "Deployment")
            self.assertEqual(spec["scaleTargetRef"], {"apiVersion": target["apiVersion"], "kind": "Deployment", "name": target["metadata"]["name"]})
            self.assertNotIn("replicas", target["spec"])
            self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), (3, 10))
            metrics = [metric["resource"] for metric in spec["metrics"]]
            self.assertEqual([(m["name"], m["target"]["averageUtilization"]) for m in metrics], [("cpu", 70), ("memory", 80)])


class Monitors(Case):
    ALL = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "x"}}, "podMonitor": {"enabled": True},
                       "prometheusRule": {"enabled": True, "alertLabels": {"team": "t", "severity": "page"}}, "dashboard": {"enabled": True}}}

    def test_not_where_the_cluster_does_not_know_them(self):
        for things in self.each(self.ALL):
            for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
                self.none(things, kind)
            self.assertEqual(len([t for t in things if t["kind"] == "Service"]), 1)

    def test_service_monitor_finds_its_own_service_alone(self):
        for api in (MONITORING, f"{MONITORING}/ServiceMonitor"):
            for things in self.each(self.ALL, apis=[api]):
                monitor = self.one(things, "ServiceMonitor")
                wanted = monitor["spec"]["selector"]["matchLabels"]
                found = [t for t in things if t["kind"] == "Service" and wanted.items() <= t["metadata"]["labels"].items()]
                self.assertEqual([t["metadata"]["name"] for t in found], ["r-molecule-sidecar-metrics"])
                endpoint = monitor["spec"]["endpoints"][0]
                self.assertIn((endpoint["port"], 8081), [(p["name"], p["targetPort"]) for p in found[0]["spec"]["ports"]])
                self.assertTrue(found[0]["spec"]["publishNotReadyAddresses"])
                self.assertEqual(monitor["metadata"]["labels"]["release"], "x")

    def test_pod_monitor_names_a_port_of_the_pod(self):
        for mode in ({}, {"mode": "wrapper", "agent": {"command": ["a"]}}, {"mode": "classic"}):
            for things in self.each(self.ALL, mode, apis=[MONITORING]):
                spec = self.one(things, "Deployment")["spec"]["template"]["spec"]
                ports = [port for c in spec["containers"] + spec.get("initContainers", []) for port in c.get("ports", [])]
                name = self.one(things, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"]
                self.assertEqual([port["containerPort"] for port in ports if port["name"] == name], [8081])

    def test_alerts_are_about_this_release(self):
        for things in self.each(self.ALL, apis=[MONITORING]):
            job = [{"targetLabel": "job", "replacement": "r-molecule-sidecar"}]
            self.assertEqual(self.one(things, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["relabelings"], job)
            self.assertEqual(self.one(things, "ServiceMonitor")["spec"]["endpoints"][0]["relabelings"], job)
            rules = [rule for group in self.one(things, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
            self.assertGreater(len(rules), 15)
            for rule in rules:
                self.assertIn('namespace="n",job="r-molecule-sidecar"', rule["expr"])
                self.assertNotIn("@", rule["expr"])
                self.assertEqual((rule["labels"]["team"], rule["labels"]["severity"]), ("t", "page"))
        own = {"metrics": {"prometheusRule": {"enabled": True, "selector": 'pod=~"x-.*"'}}}
        for things in self.each(own, apis=[MONITORING]):
            text = json.dumps(self.one(things, "PrometheusRule"))
            self.assertIn(json.dumps('{pod=~"x-.*"}')[1:-1], text)
            self.assertNotIn("job=", text)

    def test_pods_that_nobody_expects_are_no_alert(self):
        for workload, expected in (({"kind": "Job"}, False), ({"replicas": 0}, False), ({"replicas": 1}, True)):
            for things in self.each(self.ALL, {"workload": workload}, apis=[MONITORING]):
                names = [rule["alert"] for group in self.one(things, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
                self.assertEqual("MoleculeSidecarGone" in names, expected, workload)
                self.assertIn("MoleculeAgentCrashLoop", names)

    def test_dashboard_is_the_file(self):
        for things in self.each(self.ALL):
            config = self.one(things, "ConfigMap", "r-molecule-sidecar-dashboard")
            self.assertEqual(config["metadata"]["labels"]["grafana_dashboard"], "1")
            self.assertEqual(json.loads(config["data"]["molecule-sidecar.json"]), json.loads((CHART / "dashboards" / "agent.json").read_text()))


class Pods(Case):
    WRAPPER = {"mode": "wrapper", "agent": {"command": ["a"]}}

    def agent(self, things, kind="Deployment"):
        return self.one(things, kind)["spec"]["template"]["spec"]["containers"][0]

    def test_a_wrapper_has_the_whole_grace_when_its_probe_fails(self):
        for things in self.each(self.WRAPPER):
            self.assertNotIn("terminationGracePeriodSeconds", self.agent(things)["livenessProbe"])
        for things in self.each():
            self.assertEqual(self.agent(things)["livenessProbe"]["terminationGracePeriodSeconds"], 10)

    def test_flags_are_what_the_values_say(self):
        for things in self.each(self.WRAPPER, {"platform": {"orgId": "$(HOME)", "url": "https://x.example.com/a:"}}):
            self.assertIn("--platform-org-id=$$(HOME)", self.agent(things)["command"])
            self.assertIn("--platform-url=https://x.example.com/a:", self.agent(things)["command"])

    def test_a_job_is_the_same_in_each_rendering(self):
        for things in self.each({"workload": {"kind": "Job"}}):
            self.none(things, "Secret")
            job = next(thing for thing in things if thing["kind"] == "Job")
            self.assertNotIn("lifecycle", job["spec"]["template"]["spec"]["containers"][0])
            self.assertNotIn("ttlSecondsAfterFinished", job["spec"])

    def test_a_job_waits_for_the_end_of_its_pod_where_it_can(self):
        once_a_day = {"workload": {"kind": "CronJob", "cronJob": {"schedule": "@daily"}}}
        names = set()
        for kube, wanted in (("1.28.15", None), ("1.29.0", "Failed"), ("1.29.0-gke.100", "Failed"), ("1.35.0", "Failed")):
            for things in self.each(self.WRAPPER, {"workload": {"kind": "Job"}}, kube=kube):
                job = next(thing for thing in things if thing["kind"] == "Job")
                self.assertEqual(job["spec"].get("podReplacementPolicy"), wanted)
                names.add(job["metadata"]["name"])
            for things in self.each(self.WRAPPER, once_a_day, kube=kube):
                spec = self.one(things, "CronJob")["spec"]["jobTemplate"]["spec"]
                self.assertEqual(spec.get("podReplacementPolicy"), wanted)
        self.assertEqual(len(names), 1, "a cluster's update makes no other Job, which would run again")

    def test_home_can_be_written_unless_somebody_says_another(self):
        for extra, wanted in (({}, ["/tmp"]), ({"agent": {"env": [{"name": "HOME", "value": "/h"}]}}, ["/h"]), ({"agent": {"home": ""}}, [])):
            for things in self.each(extra):
                self.assertEqual([one["value"] for one in self.agent(things)["env"] if one["name"] == "HOME"], wanted)

    def test_the_checksum_is_the_charts(self):
        for things in self.each({"pod": {"annotations": {"checksum/config": "mine"}}}):
            self.assertRegex(self.one(things, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"], "^[0-9a-f]{64}$")


class RoundTrip(Case):
    def test_sends_through_the_service(self):
        values = {"service": {"port": 8080}, "tests": {"message": 'say "hi"'}, "pod": {"imagePullSecrets": ["pull"]}, "agent": {"basePath": "/a2a"}}
        for things in self.each(values):
            pod = self.one(things, "Pod", "r-molecule-sidecar-test-roundtrip")
            container = pod["spec"]["containers"][0]
            self.assertEqual(container["args"], ["send", "--url", "http://r-molecule-sidecar:8080/a2a", 'say "hi"'])
            self.assertNotIn("command", container)
            self.assertEqual(pod["metadata"]["annotations"],
                             {"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"})
            self.assertEqual(pod["spec"]["imagePullSecrets"], [{"name": "pull"}])
            self.assertFalse(pod["spec"]["automountServiceAccountToken"])

    def test_not_where_it_may_not_connect(self):
        for networks in (["10.0.0.0/8"], ["127.0.0.1", "::1"]):
            for things in self.each({"sidecar": {"config": {"listen": {"allow_sources": networks}}}}):
                self.none(things, "Pod")
        for things in self.each({"sidecar": {"config": {"listen": {"allow_sources": []}}}}):
            self.one(things, "Pod", "r-molecule-sidecar-test-roundtrip")

    def test_its_pod_is_no_agent(self):
        for things in self.each({"commonLabels": {"a": "b"}}):
            labels = self.one(things, "Pod", "r-molecule-sidecar-test-roundtrip")["metadata"]["labels"]
            self.assertFalse(SELECTOR.items() <= labels.items())
            self.assertEqual(labels["a"], "b")


class ExtraObjects(Case):
    def test_maps_and_texts_are_rendered(self):
        name = '{{ include "molecule-sidecar.fullname" . }}-%s'
        one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name % "one"}}
        two = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name % "two"
        for things in self.each({"extraObjects": [one, two]}):
            self.one(things, "ConfigMap", "r-molecule-sidecar-one")
            self.one(things, "ConfigMap", "r-molecule-sidecar-two")


class Notes(Case):
    """A part of a sentence -> the values that bring it. Without them it is not there."""
    SENTENCES = (
        ("termination.gracePeriodSeconds is 60: of it 43 seconds", {"termination": {"gracePeriodSeconds": 60}}),
        ("termination.gracePeriodSeconds is 60: of it 53 seconds", {"termination": {"gracePeriodSeconds": 60}, "agent": {"protocol": "none"}}),
        ("only 53 seconds are left", {"termination": {"agentGraceSeconds": 60}}),
        ("open to every address but", {"networkPolicy": {"restrictEgress": True}}),
        ("leaves DNS open", {"networkPolicy": {"restrictEgress": True}}),
        ("n:80/a2a", {"agent": {"basePath": "/a2a"}}),
        ("mode: classic", {"mode": "classic"}),
        ("stands in the values", {"platform": {"token": "t", "existingSecret": {"name": ""}}}),
        ("No token is given", {"platform": {"existingSecret": {"name": ""}}, "state": {"type": "pvc"}}),
        ("platform.url is plain http", {"platform": {"url": "http://platform.example.com"}}),
        ("a hosted platform reaches", {"platform": {"reportedUrl": "https://a.n.svc:443/"}}),
        ("an Ingress or Gateway of yours", PUSH),
        ("Set workload.replicas: 2", PUSH),
        ("The autoscaler aims at CPU", merged(PUSH, {"autoscaling": {"enabled": True}})),
        ('Pod Security "restricted" is not kept (sandboxes)', {"pod": {"notRestrictedBecause": "sandboxes"}}),
        ("agent.image is agent:", {"agent": {"image": "agent:latest"}}),
        ("agent.image is host:5000/agent:", {"agent": {"image": "host:5000/agent"}}),
        ("There is no NetworkPolicy", {"networkPolicy": {"enabled": False}}),
        ("TCP 443, 8443", {"networkPolicy": {"restrictEgress": True, "platformPorts": [443]},
                             "platform": {"url": "https://platform.example.com:8443"}}),
        ("keeps Prometheus from", {"metrics": {"podMonitor": {"enabled": True}}}),
        ("metrics.podMonitor: not made", {"metrics": {"podMonitor": {"enabled": True}}}),
        ("scraped twice", {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}}),
        ("there is no monitor", {"metrics": {"prometheusRule": {"enabled": True}}}),
        ("helm test has nothing to do: the listener has TLS", {"sidecar": {"config": {"listen": {"tls_cert": "/a", "tls_key": "/b"}}}}),
        ("helm test has nothing to do: only the platform", {"sidecar": {"config": {"listen": {"inbound_auth": "require"}}}}),
        ("helm test has nothing to do: only some networks", {"sidecar": {"config": {"listen": {"allow_sources": ["10.0.0.0/8"]}}}}),
        ("-c agent -- /molecule/molecule-sidecar status", {"mode": "wrapper", "agent": {"command": ["a"]}}),
        ("create job --from=cronjob/r-molecule-sidecar", {"workload": {"kind": "CronJob", "cronJob": {"schedule": "0 * * * *"}}}),
    )
    ALWAYS = ("exec deployment/r-molecule-sidecar -c molecule-sidecar -- /molecule-sidecar status", "inbox list", "port-forward svc/r-molecule-sidecar 8000:80",
              "helm test r -n n", "rollout status deployment/r-molecule-sidecar", "Secret token with", "the journal of polled messages ends with each pod",
              "can be answered twice. Set state.type: pvc",
              "There is one pod, for one must poll", "agent.resources is empty", "sidecar.image.repository is", "drain path is random",
              "Everybody who reaches")
    QUIET = merged(PUSH, {"workload": {"replicas": 2}, "agent": {"resources": {"requests": {"cpu": "1"}}}, "service": {"type": "LoadBalancer"},
                          "sidecar": {"image": {"repository": "mine"}}, "termination": {"drainCapability": "x" * 16},
                          "networkPolicy": {"ingressFrom": [PEER]}})

    def notes(self, *overlays):
        """What NOTES.txt says with each map laid over the values: one rendering for all, by an object that asks for it, for `helm template`
        prints no notes. The values are checked by no guard here."""
        ask = """{{ $root := . }}{{ $texts := list }}{{ range fromJsonArray `%s` }}
        {{- $values := mergeOverwrite (deepCopy $root.Values) . }}
        {{- $context := dict "Values" $values "Release" $root.Release "Chart" $root.Chart "Capabilities" $root.Capabilities "Template" $root.Template }}
        {{- $texts = append $texts (include "molecule-sidecar.notes" $context) }}{{ end }}
        {{- dict "kind" "Notes" "metadata" (dict "name" "n") "texts" $texts | toJson }}""" % json.dumps(overlays)
        said = [self.one(things, "Notes", "n")["texts"] for things in self.each({"extraObjects": [ask]})]
        self.assertTrue(all(texts == said[0] for texts in said), "all helms say the same")
        return said[0]

    def test_what_is_always_said(self):
        text = self.notes({})[0]
        for part in self.ALWAYS:
            self.assertIn(part, text)
        for part, _ in self.SENTENCES:
            self.assertNotIn(part, text)

    def test_each_warning_comes_with_its_values(self):
        for (part, _), text in zip(self.SENTENCES, self.notes(*(values for _, values in self.SENTENCES))):
            with self.subTest(part=part):
                self.assertIn(part, text)

    def test_a_careful_release_gets_none(self):
        text = self.notes(self.QUIET)[0]
        self.assertNotIn("Good to know", text)
        self.assertEqual([line for line in text.splitlines() if line.startswith("  !") and "Secret token" not in line], [])


if __name__ == "__main__":
    unittest.main()

{{/*
The text of NOTES.txt. It is a template with a name so that it can be asked for without a cluster: `helm template` prints no notes.
A warning is one line: what is, what follows, and the value that changes it; one that begins with "hint:" is only a choice that could be
better. What cannot work at all is refused by _guards.tpl instead.
*/}}

{{/* How kubectl names what runs: deploy/NAME and so on; nothing where it is not known. */}}
{{- define "molecule-sidecar.notes.target" -}}
{{- $name := include "molecule-sidecar.fullname" . -}}
{{- $kind := .Values.workload.kind -}}
{{- if eq $kind "Job" -}}job/{{ include "molecule-sidecar.jobName" . }}
{{- else if has $kind (list "Deployment" "StatefulSet") -}}{{ lower $kind }}/{{ $name }}
{{- end -}}
{{- end }}

{{/* The sidecar's own program, as `kubectl exec` calls it. */}}
{{- define "molecule-sidecar.notes.program" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}-c agent -- /molecule/molecule-sidecar{{- else -}}-c molecule-sidecar -- /molecule-sidecar{{- end -}}
{{- end }}

{{- define "molecule-sidecar.notes.commands" -}}
{{- $n := printf "kubectl -n %s" .Release.Namespace -}}
{{- $target := include "molecule-sidecar.notes.target" . -}}
{{- $program := include "molecule-sidecar.notes.program" . -}}
{{- $labels := include "molecule-sidecar.selectorLabels" . | fromYaml -}}
{{- $selector := list -}}
{{- range $k, $v := $labels -}}{{- $selector = append $selector (printf "%s=%s" $k $v) -}}{{- end -}}
{{- if has .Values.workload.kind (list "Deployment" "StatefulSet") }}
  see it come up:         {{ $n }} rollout status {{ $target }}
{{- else }}
  see its pods:           {{ $n }} get pods -l {{ join "," $selector }}
{{- end }}
{{- if eq .Values.workload.kind "CronJob" }}
  run it now:             {{ $n }} create job --from=cronjob/{{ include "molecule-sidecar.fullname" . }} {{ include "molecule-sidecar.fullname" . }}-now
{{- end }}
{{- if $target }}
  how it is:              {{ $n }} exec {{ $target }} {{ $program }} status
{{- if include "molecule-sidecar.isPoll" . }}
  its messages:           {{ $n }} exec {{ $target }} {{ $program }} inbox list
{{- end }}
  the agent's log:        {{ $n }} logs {{ $target }} -c agent -f
{{- if not (include "molecule-sidecar.isWrapper" .) }}
  the sidecar's log:      {{ $n }} logs {{ $target }} -c molecule-sidecar -f
{{- end }}
{{- end }}
{{- if include "molecule-sidecar.around.hasService" . }}
  call it from here:      {{ $n }} port-forward svc/{{ include "molecule-sidecar.fullname" . }} 8000:{{ .Values.service.port }}
                          curl {{ include "molecule-sidecar.around.scheme" . }}://127.0.0.1:8000/.well-known/agent-card.json
  call it in the cluster: {{ include "molecule-sidecar.around.scheme" . }}://{{ include "molecule-sidecar.fullname" . }}.{{ .Release.Namespace }}:{{ .Values.service.port }}/{{ trimPrefix "/" .Values.agent.basePath }}
{{- end }}
{{- if not (include "molecule-sidecar.around.testRefusal" .) }}
  prove it:               helm test {{ .Release.Name }} -n {{ .Release.Namespace }}
{{- end }}
{{- end }}

{{/* ---- warnings: each template prints lines, one per warning ---- */}}

{{/* "true" when the sidecar keeps time for the agent's end, as it decides that itself: it starts the agent, or connects to it. */}}
{{- define "molecule-sidecar.notes.keepsAgentTime" -}}
{{- $ready := include "molecule-sidecar.around.config" (list . "agent" "ready") -}}
{{- if or (include "molecule-sidecar.isWrapper" .) (eq (include "molecule-sidecar.protocol" .) "http") (has $ready (list "http" "connect")) -}}true{{- end -}}
{{- end }}

{{- define "molecule-sidecar.notes.stop" -}}
{{- $t := .Values.termination -}}
{{- $grace := int $t.gracePeriodSeconds -}}
{{- $delay := kindIs "invalid" $t.drainDelaySeconds | ternary 5 $t.drainDelaySeconds | int -}}
{{- $reserve := min 2 (div $grace 5) -}}
{{- with include "molecule-sidecar.around.config" (list . "stop" "reserve") -}}
{{- $reserve = div (include "molecule-sidecar.milliseconds" .) 1000 -}}
{{- end -}}
{{- $unset := include "molecule-sidecar.notes.keepsAgentTime" . | eq "true" | ternary (max 0 (min 10 (div (sub (sub $grace $reserve) $delay) 2))) 0 -}}
{{- $agent := kindIs "invalid" $t.agentGraceSeconds | ternary $unset $t.agentGraceSeconds | int -}}
{{- $left := max 0 (sub (sub (sub $grace $delay) $reserve) $agent) -}}
{{- with include "molecule-sidecar.around.config" (list . "stop" "drain_timeout") -}}
{{- $left = min $left (div (include "molecule-sidecar.milliseconds" .) 1000) -}}
{{- end -}}
{{- if and (ge $grace 90) (lt (int $left) 60) }}
Of termination.gracePeriodSeconds, {{ $grace }}, only {{ $left }} seconds are left for work in flight; the drain delay, the agent's grace and the reserve take the rest (or stop.drain_timeout ends it). Make the grace longer, or these shorter.
{{- end }}
{{- if lt $grace 90 }}
termination.gracePeriodSeconds is {{ $grace }}: of it {{ $left }} seconds are left for work in flight, and the platform's own guide asks for more than its liveness window of 90. Set 120, if your agent may need longer than that for an answer.
{{- end }}
{{- if and (eq .Values.mode "classic") (semverCompare ">=1.29-0" .Capabilities.KubeVersion.Version) }}
mode: classic starts and stops both containers at once, in no order. This cluster can do better: mode: native.
{{- end }}
{{- if and (include "molecule-sidecar.isJob" .) (not (include "molecule-sidecar.isWrapper" .)) (not $t.drainCapability) (eq (include "molecule-sidecar.protocol" .) "http") }}
There is no preStop hook, so an agent whose pod is deleted gets TERM before its requests are answered. Set termination.drainCapability (openssl rand -hex 16).
{{- end }}
{{- if include "molecule-sidecar.keepsDrain" . }}
hint: The drain path is random and kept in Secret {{ include "molecule-sidecar.drainSecretName" . }}. Where the chart is rendered without the cluster (helm template, GitOps) set termination.drainCapability, else each rendering rolls the pods.
{{- end }}
{{- end }}

{{- define "molecule-sidecar.notes.platform" -}}
{{- $p := .Values.platform -}}
{{- if $p.enabled -}}
{{- $delivery := include "molecule-sidecar.delivery" . -}}
{{- if $p.existingSecret.name -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace $p.existingSecret.name -}}
{{- if not $secret }}
Secret {{ $p.existingSecret.name }} with the workspace's token was not found (or nobody looked): the pod waits until it is there. kubectl -n {{ .Release.Namespace }} create secret generic {{ $p.existingSecret.name }} --from-file={{ $p.existingSecret.key }}=FILE
{{- else if not (hasKey (default dict $secret.data) $p.existingSecret.key) }}
Secret {{ $p.existingSecret.name }} has no key {{ $p.existingSecret.key }}: the pod cannot start. Add it, or name the right one in platform.existingSecret.key.
{{- end }}
{{- else if $p.token }}
platform.token stands in the values, so in the release's Secret and perhaps in your shell's history. Better: make a Secret of your own and name it in platform.existingSecret.name.
{{- else }}
No token is given: the sidecar asks the platform for one at its first registration, which the platform does once, and keeps it on the claim. Without that claim the workspace needs a new token; a Secret in platform.existingSecret.name survives it.
{{- end }}
{{- if regexMatch "^http://" $p.url }}
platform.url is plain http: the workspace's token can be read on the way. Use https, unless the way is inside the cluster and trusted.
{{- end }}
{{- if eq $delivery "push" }}
{{- if regexMatch "^http://|\\.svc([.:/]|$)|\\.local([:/]|$)|://localhost|://127\\." $p.reportedUrl }}
platform.reportedUrl is {{ $p.reportedUrl }}: a hosted platform reaches and allows only public https URLs. Lead one to Service {{ include "molecule-sidecar.fullname" . }}, or set platform.delivery: poll.
{{- else if eq .Values.service.type "ClusterIP" }}
hint: Messages are pushed to {{ $p.reportedUrl }}: an Ingress or Gateway of yours must lead it to Service {{ include "molecule-sidecar.fullname" . }}, port {{ .Values.service.port }}. The chart makes none (extraObjects can).
{{- end }}
{{- end }}
{{- if and (eq $delivery "poll") (eq .Values.state.type "emptyDir") }}
state.type is emptyDir, so the journal of polled messages ends with each pod: a message that comes while an update replaces the pod can be lost, unfinished, dead and parked ones are forgotten, and what an evicted or deleted pod still answers while the next one runs can be answered twice. Set state.type: pvc, with workload.kind: StatefulSet where no two pods may ever run at once.
{{- end }}
{{- end }}
{{- end }}

{{- define "molecule-sidecar.notes.pods" -}}
{{- if include "molecule-sidecar.around.isService" . }}
{{- if lt (int (include "molecule-sidecar.around.fewestPods" .)) 2 }}
{{- if include "molecule-sidecar.isPoll" . }}
hint: There is one pod, for one must poll: a rollout or a lost node is a break, in which messages wait at the platform and direct requests fail. More pods need platform.delivery: push.
{{- else }}
hint: There is one pod: when its node is lost, requests fail until another one runs. Set workload.replicas: 2 or more (that makes a PodDisruptionBudget too).
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled .Values.autoscaling.targetCPUUtilizationPercentage (not (get (default dict (get (default dict .Values.agent.resources) "requests")) "cpu")) }}
The autoscaler aims at CPU utilisation, but the agent asks for no CPU, so it can compute none and never scales. Set agent.resources.requests.cpu.
{{- else if not .Values.agent.resources }}
hint: agent.resources is empty: the agent may be evicted first and take all memory of its node. Set what it needs.
{{- end }}
{{- with .Values.pod.notRestrictedBecause }}
hint: Pod Security "restricted" is not kept ({{ . }}): the namespace's label pod-security.kubernetes.io/enforce must allow the pod.
{{- end }}
{{- if regexMatch "(^[^:@]+|/[^:@]+|:latest)$" .Values.agent.image }}
agent.image is {{ .Values.agent.image }}: what it means changes without an upgrade. Name a version, or better a digest.
{{- end }}
{{- if eq .Values.sidecar.image.repository "molecule-sidecar" }}
sidecar.image.repository is molecule-sidecar, which only nodes have that were given the image by hand. Push what docker/Dockerfile builds, and name the place.
{{- end }}
{{- end }}

{{- define "molecule-sidecar.notes.network" -}}
{{- $p := .Values.networkPolicy -}}
{{- if not $p.enabled }}
There is no NetworkPolicy: every pod of the cluster may call the agent and read its metrics. Set networkPolicy.enabled: true.
{{- else }}
{{- if and (not $p.ingressFrom) (include "molecule-sidecar.around.hasService" .) }}
hint: Everybody who reaches the pod may call the agent. Name who may in networkPolicy.ingressFrom, or ask for tokens (sidecar.config: listen.bearer_tokens_file or listen.inbound_auth).
{{- end }}
{{- if and $p.restrictEgress .Values.platform.enabled (not $p.platformTo) }}
networkPolicy.restrictEgress leaves TCP {{ include "molecule-sidecar.around.platformPorts" . | replace "\n" ", " }} open to every address but the metadata servers of clouds. Name the platform's (or the proxy's) in networkPolicy.platformTo; a platform in the cluster needs it with some plug-ins.
{{- end }}
{{- if and $p.restrictEgress (not $p.dnsTo) }}
networkPolicy.restrictEgress leaves DNS open to every address, through which data can be carried out. Name your name servers in networkPolicy.dnsTo, and their pods' ports, where they are others than 53, in networkPolicy.dnsPorts.
{{- end }}
{{- if and $p.restrictEgress (not $p.egress) }}
hint: The agent reaches nothing but names{{ if .Values.platform.enabled }} and the platform's port, TCP {{ include "molecule-sidecar.around.platformPorts" . | replace "\n" ", " }}{{ end }}. What else it needs (its model, its tools) belongs into networkPolicy.egress.
{{- end }}
{{- if and (or .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled) (not $p.monitoringFrom) }}
Metrics are to be scraped, but the NetworkPolicy keeps Prometheus from the admin port. Name its pods in networkPolicy.monitoringFrom.
{{- end }}
{{- end }}
{{- end }}

{{- define "molecule-sidecar.notes.metrics" -}}
{{- $m := .Values.metrics -}}
{{- $asked := list -}}
{{- range $key := list "serviceMonitor" "podMonitor" "prometheusRule" -}}
{{- if (get $m $key).enabled -}}{{- $asked = append $asked (printf "metrics.%s" $key) -}}{{- end -}}
{{- end -}}
{{- if and $asked (not (include "molecule-sidecar.around.hasMonitoring" .)) }}
{{ join ", " $asked }}: not made, this cluster does not know monitoring.coreos.com/v1. Install the Prometheus operator and upgrade the release (with helm template: --api-versions monitoring.coreos.com/v1).
{{- end }}
{{- if and $m.serviceMonitor.enabled $m.podMonitor.enabled }}
metrics.serviceMonitor and metrics.podMonitor are both enabled: everything is scraped twice. Leave one.
{{- end }}
{{- if and $m.prometheusRule.enabled (not $m.prometheusRule.selector) (not $m.serviceMonitor.enabled) (not $m.podMonitor.enabled) }}
The alerts look for series with the labels that the chart's own monitors set, and there is no monitor. Enable metrics.podMonitor, or set metrics.prometheusRule.selector.
{{- end }}
{{- end }}

{{- define "molecule-sidecar.notes.test" -}}
{{- if include "molecule-sidecar.around.hasService" . -}}
{{- with include "molecule-sidecar.around.testRefusal" . }}
helm test has nothing to do: {{ . }}. Send one yourself with molecule-sidecar send --url.
{{- end }}
{{- end }}
{{- end }}

{{- define "molecule-sidecar.notes" -}}
{{- $warnings := list -}}
{{- $hints := list -}}
{{- range $part := list "platform" "stop" "pods" "network" "metrics" "test" -}}
{{- range splitList "\n" (include (printf "molecule-sidecar.notes.%s" $part) $) -}}
{{- if hasPrefix "hint: " . -}}{{- $hints = append $hints (trimPrefix "hint: " .) -}}
{{- else if trim . -}}{{- $warnings = append $warnings (trim .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{ .Chart.Name }} {{ .Chart.Version }} as {{ .Release.Name }} in {{ .Release.Namespace }}: {{ .Values.workload.kind }}, mode {{ .Values.mode }}, messages by {{ include "molecule-sidecar.delivery" . }}.

What next:
{{ include "molecule-sidecar.notes.commands" . | trimAll "\n" }}
{{- with $warnings }}

Needs you:
{{- range . }}
  ! {{ . }}
{{- end }}
{{- end }}
{{- with $hints }}

Good to know:
{{- range . }}
  - {{ . }}
{{- end }}
{{- end }}
{{- end }}

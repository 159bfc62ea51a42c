{{/*
What the objects around the workload share: Service, policies, monitors, alerts, the test. The workload itself is not made here.
*/}}

{{/* `annotations:` of an object, in the lines below its labels; nothing when there are none. Takes (list $ map). */}}
{{- define "molecule-sidecar.around.annotations" -}}
{{- with mergeOverwrite (default dict (index . 0).Values.commonAnnotations | deepCopy) (default dict (index . 1) | deepCopy) }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{/* "true" when pods live on and take requests (Deployment, StatefulSet). */}}
{{- define "molecule-sidecar.around.isService" -}}
{{- if has .Values.workload.kind (list "Deployment" "StatefulSet") }}true{{ end -}}
{{- end }}

{{/* "true" when there is a Service for A2A requests. */}}
{{- define "molecule-sidecar.around.hasService" -}}
{{- if and .Values.service.enabled (ne .Values.workload.kind "CronJob") (eq (include "molecule-sidecar.protocol" .) "http") }}true{{ end -}}
{{- end }}

{{/* Pods that there are at least: what a PodDisruptionBudget and the sentences in NOTES go by. */}}
{{- define "molecule-sidecar.around.fewestPods" -}}
{{- if not (include "molecule-sidecar.around.isService" .) -}}
1
{{- else if .Values.autoscaling.enabled -}}
{{ .Values.autoscaling.minReplicas }}
{{- else -}}
{{ .Values.workload.replicas }}
{{- end -}}
{{- end }}

{{/* Names that end in a word of their own; a Service's name has 63 characters at most. */}}
{{- define "molecule-sidecar.headlessName" -}}
{{- include "molecule-sidecar.fullname" . | trunc 54 | trimSuffix "-" }}-headless
{{- end }}

{{- define "molecule-sidecar.around.metricsName" -}}
{{- include "molecule-sidecar.fullname" . | trunc 55 | trimSuffix "-" }}-metrics
{{- end }}

{{/* A value of sidecar.config by section and key, or nothing. Takes (list $ "section" "key"). */}}
{{- define "molecule-sidecar.around.config" -}}
{{- $section := get (default dict (index . 0).Values.sidecar.config) (index . 1) -}}
{{- if kindIs "map" $section }}{{ default "" (get $section (index . 2)) }}{{ end -}}
{{- end }}

{{/* http or https: the listener has TLS when sidecar.config says so. */}}
{{- define "molecule-sidecar.around.scheme" -}}
{{- if include "molecule-sidecar.around.config" (list . "listen" "tls_cert") }}https{{ else }}http{{ end -}}
{{- end }}

{{/* Why `helm test` cannot send a message; nothing when it can. */}}
{{- define "molecule-sidecar.around.testRefusal" -}}
{{- if not (include "molecule-sidecar.around.hasService" .) -}}
there is no Service for A2A requests
{{- else if eq (include "molecule-sidecar.around.scheme" .) "https" -}}
the listener has TLS with a certificate that the test does not know
{{- else if include "molecule-sidecar.around.config" (list . "listen" "bearer_tokens_file") -}}
callers need a bearer token (listen.bearer_tokens_file)
{{- else if eq (include "molecule-sidecar.around.config" (list . "listen" "inbound_auth")) "require" -}}
only the platform may call (listen.inbound_auth: require)
{{- else if include "molecule-sidecar.around.config" (list . "listen" "allow_sources") -}}
only some networks may connect (listen.allow_sources), and whether the pod of the test is in one is not known
{{- end -}}
{{- end }}

{{/* Labels of the test's pod. Not those that the Service, the policies and the autoscaler select by: it is no agent. */}}
{{- define "molecule-sidecar.around.testSelector" -}}
app.kubernetes.io/name: {{ include "molecule-sidecar.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* "true" when the cluster knows monitoring.coreos.com/v1; `helm template` learns it from --api-versions. */}}
{{- define "molecule-sidecar.around.hasMonitoring" -}}
{{- if or (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor") }}true{{ end -}}
{{- end }}

{{/* Label matchers that find the series of this release: both monitors set `job` to the full name. */}}
{{- define "molecule-sidecar.around.series" -}}
{{- if .Values.metrics.prometheusRule.selector -}}
{{ .Values.metrics.prometheusRule.selector }}
{{- else -}}
namespace={{ .Release.Namespace | quote }},job={{ include "molecule-sidecar.fullname" . | quote }}
{{- end -}}
{{- end }}

{{/* The port of a URL, also where it is the scheme's. */}}
{{- define "molecule-sidecar.around.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" (default "" $url.host) | trimPrefix ":" | default (ternary "80" "443" (eq (lower $url.scheme) "http")) -}}
{{- end }}

{{/* Ports at which the platform is reached: the one in its URL, the proxy's, and those of networkPolicy.platformPorts, one a line. */}}
{{- define "molecule-sidecar.around.platformPorts" -}}
{{- $all := list (include "molecule-sidecar.around.portOf" .Values.platform.url) -}}
{{- with include "molecule-sidecar.around.config" (list . "platform" "proxy") -}}
{{- $all = append $all (include "molecule-sidecar.around.portOf" .) -}}
{{- end -}}
{{- range .Values.networkPolicy.platformPorts -}}
{{- $all = append $all (int . | toString) -}}
{{- end -}}
{{- uniq $all | sortAlpha | join "\n" -}}
{{- end }}

{{/*
Peers that are all addresses but those at which clouds hand out the credentials of a node. Some plug-ins do not count the cluster's own
pods as addresses: for a platform in the cluster there is networkPolicy.platformTo.
*/}}
{{- define "molecule-sidecar.around.anywhere" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except:
      - 169.254.169.254/32
- ipBlock:
    cidr: "::/0"
    except:
      - "fd00:ec2::254/128"
{{- end }}

{{/*
Names, labels and facts of one release. Everything here takes the chart's context: `.` in this chart,
`index .Subcharts "molecule-sidecar"` in a chart that depends on it (_library.tpl).
A predicate is "true" or "", so that `if include ...` reads it.
*/}}

{{- define "molecule-sidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters: a CronJob's pods add 11 to it, and no name is cut in two places. */}}
{{- define "molecule-sidecar.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "molecule-sidecar.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "molecule-sidecar.labels" -}}
{{ include "molecule-sidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* `annotations:` of an object, or nothing: (list context, more annotations). */}}
{{- define "molecule-sidecar.annotations" -}}
{{- with mergeOverwrite (deepCopy (index . 0).Values.commonAnnotations) (deepCopy (index . 1)) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "molecule-sidecar.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.image" -}}
{{- with .Values.sidecar.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.isJob" -}}
{{- if has .Values.workload.kind (list "Job" "CronJob") -}}true{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.isWrapper" -}}
{{- if eq .Values.mode "wrapper" -}}true{{- end -}}
{{- end -}}

{{/* http or none. */}}
{{- define "molecule-sidecar.protocol" -}}
{{- if .Values.agent.protocol -}}
{{- .Values.agent.protocol -}}
{{- else -}}
{{- if include "molecule-sidecar.isJob" . -}}none{{- else -}}http{{- end -}}
{{- end -}}
{{- end -}}

{{/* push, poll or off, with auto decided as the sidecar decides it. */}}
{{- define "molecule-sidecar.delivery" -}}
{{- with .Values.platform -}}
{{- if not .enabled -}}off
{{- else if ne .delivery "auto" -}}{{ .delivery }}
{{- else if ne (include "molecule-sidecar.protocol" $) "http" -}}off
{{- else if .reportedUrl -}}push
{{- else -}}poll
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.isPoll" -}}
{{- if eq (include "molecule-sidecar.delivery" .) "poll" -}}true{{- end -}}
{{- end -}}

{{/* "true" when the number of pods is workload.replicas; "" when an autoscaler decides. */}}
{{- define "molecule-sidecar.replicasFixed" -}}
{{- if not .Values.autoscaling.enabled -}}true{{- end -}}
{{- end -}}

{{/* "true" when there may be two pods at once; with kind None workload.replicas tells of the other chart's workload. */}}
{{- define "molecule-sidecar.isMany" -}}
{{- if has .Values.workload.kind (list "Deployment" "StatefulSet" "None") -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.workload.replicas) 1) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.drainSecretName" -}}
{{- include "molecule-sidecar.fullname" . }}-drain
{{- end -}}

{{- define "molecule-sidecar.tokenSecretName" -}}
{{- default (printf "%s-token" (include "molecule-sidecar.fullname" .)) .Values.platform.existingSecret.name -}}
{{- end -}}

{{- define "molecule-sidecar.hasToken" -}}
{{- if and .Values.platform.enabled (or .Values.platform.token .Values.platform.existingSecret.name) -}}true{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.claimName" -}}
{{- default (printf "%s-state" (include "molecule-sidecar.fullname" .)) .Values.state.pvc.existingClaim -}}
{{- end -}}

{{/*
The path of the preStop hook. Its secret part is the same wherever it is asked for in one rendering,
so it is drawn once and kept in the values; a Secret keeps it for the next rendering (keepsDrain).
*/}}
{{- define "molecule-sidecar.drainPath" -}}
{{- $t := .Values.termination -}}
{{- if not (hasKey $t "drainPathOfThisRelease") -}}
{{- $path := printf "/drain/%s" $t.drainCapability -}}
{{- if not $t.drainCapability -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "molecule-sidecar.drainSecretName" .) | default dict -}}
{{- $path = dig "data" "drain-path" "" $secret | b64dec -}}
{{- if not (regexMatch "^/drain/[A-Za-z0-9_-]{16,}$" $path) -}}
{{- $path = printf "/drain/%s" (randAlphaNum 32) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $t "drainPathOfThisRelease" $path -}}
{{- end -}}
{{- $t.drainPathOfThisRelease -}}
{{- end -}}

{{/* "true" when the path was drawn, and the next upgrade is to find it again. No pod reads that Secret. */}}
{{- define "molecule-sidecar.keepsDrain" -}}
{{- if and (include "molecule-sidecar.hasDrain" .) (not .Values.termination.drainCapability) -}}true{{- end -}}
{{- end -}}

{{/* Milliseconds of a duration of the configuration: 500ms, 30s, 2m, 1h, 1d; "" and 0 are 0. */}}
{{- define "molecule-sidecar.milliseconds" -}}
{{- $text := toString . -}}
{{- $n := regexFind "^[0-9]+" $text | default "0" | int64 -}}
{{- $unit := regexFind "(ms|s|m|h|d)$" $text | default "ms" -}}
{{- mul $n (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000) $unit) -}}
{{- end -}}

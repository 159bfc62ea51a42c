{{/*
One pod template for every kind of workload, put together from the parts of _library.tpl.
*/}}

{{/* Several lists as one, each a list or the text of one; "" when all are empty. */}}
{{- define "molecule-sidecar.items" -}}
{{- $parts := list -}}
{{- range . -}}
{{- if . -}}
{{- $parts = append $parts (kindIs "string" . | ternary . (toYaml .) | toString | trim) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $parts -}}
{{- end -}}

{{- define "molecule-sidecar.agentContainer" -}}
name: agent
image: {{ .Values.agent.image | quote }}
imagePullPolicy: {{ .Values.agent.imagePullPolicy }}
{{- with include "molecule-sidecar.agentCommand" . }}
{{- . | trim | nindent 0 }}
{{- end }}
{{- with .Values.agent.workingDir }}
workingDir: {{ . | quote }}
{{- end }}
{{- with list (include "molecule-sidecar.agentPorts" .) .Values.agent.ports | include "molecule-sidecar.items" }}
ports:
  {{- . | nindent 2 }}
{{- end }}
{{- with list (include "molecule-sidecar.agentEnv" .) .Values.agent.env | include "molecule-sidecar.items" }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.agent.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "molecule-sidecar.agentLifecycle" . }}
lifecycle:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "molecule-sidecar.agentProbes" . }}
{{- . | nindent 0 }}
{{- end }}
{{- with .Values.agent.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "molecule-sidecar.agentSecurityContext" . | nindent 2 }}
{{- with list (include "molecule-sidecar.agentVolumeMounts" .) .Values.agent.volumeMounts | include "molecule-sidecar.items" }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.spread" -}}
{{- if .Values.pod.topologySpreadConstraints -}}
{{- toYaml .Values.pod.topologySpreadConstraints -}}
{{- else if include "molecule-sidecar.isMany" . -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "molecule-sidecar.selectorLabels" $ | nindent 6 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Where the pod runs: what the values say of it, as they say it. */}}
{{- define "molecule-sidecar.placement" -}}
{{- range $key := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
{{- with get $.Values.pod $key }}
{{ $key }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "dnsConfig" "hostAliases" }}
{{- with get $.Values.pod $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with include "molecule-sidecar.spread" . }}
topologySpreadConstraints:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.podTemplate" -}}
metadata:
  labels:
    {{- include "molecule-sidecar.podLabels" . | nindent 4 }}
  annotations:
    {{- include "molecule-sidecar.podAnnotations" . | nindent 4 }}
spec:
  {{- include "molecule-sidecar.podSettings" . | nindent 2 }}
  {{- if include "molecule-sidecar.isJob" . }}
  restartPolicy: {{ .Values.workload.job.restartPolicy }}
  {{- end }}
  {{- with .Values.pod.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with include "molecule-sidecar.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with list .Values.extraInitContainers (include "molecule-sidecar.initContainers" .) | include "molecule-sidecar.items" }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - {{ include "molecule-sidecar.agentContainer" . | indent 6 | trim }}
    {{- with list (include "molecule-sidecar.containers" .) .Values.extraContainers | include "molecule-sidecar.items" }}
    {{- . | nindent 4 }}
    {{- end }}
  volumes:
    {{- list (include "molecule-sidecar.volumes" .) .Values.extraVolumes | include "molecule-sidecar.items" | nindent 4 }}
{{- end -}}

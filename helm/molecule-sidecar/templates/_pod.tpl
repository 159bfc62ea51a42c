{{/*
One pod template for every kind of workload, put together from the parts of _library.tpl.
*/}}

{{- define "molecule-sidecar.agentContainer" -}}
name: agent
image: {{ .Values.agent.image | quote }}
imagePullPolicy: {{ .Values.agent.imagePullPolicy }}
{{- include "molecule-sidecar.agentCommand" . }}
{{- with .Values.agent.workingDir }}
workingDir: {{ . | quote }}
{{- end }}
{{- $ports := concat (include "molecule-sidecar.agentPorts" . | fromYamlArray) .Values.agent.ports }}
{{- with $ports }}
ports:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $env := concat (include "molecule-sidecar.agentEnv" . | fromYamlArray) .Values.agent.env }}
{{- with $env }}
env:
  {{- toYaml . | nindent 2 }}
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
{{ . }}
{{- end }}
{{- with .Values.agent.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "molecule-sidecar.agentSecurityContext" . | nindent 2 }}
{{- $mounts := concat (include "molecule-sidecar.agentVolumeMounts" . | fromYamlArray) .Values.agent.volumeMounts }}
{{- with $mounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
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
  {{- $init := concat .Values.extraInitContainers (include "molecule-sidecar.initContainers" . | fromYamlArray) }}
  {{- with $init }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{- include "molecule-sidecar.agentContainer" . | nindent 6 }}
    {{- with concat (include "molecule-sidecar.containers" . | fromYamlArray) .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "molecule-sidecar.volumes" . | nindent 4 }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

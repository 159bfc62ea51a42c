{{/*
The sidecar's config.yaml, out of the values, with sidecar.config merged over it. Which keys are the
chart's alone is the table in _guards.tpl.
*/}}

{{/* Where things are in the containers. No mount lies in another one. */}}
{{- define "molecule-sidecar.agentSocket" -}}
/run/molecule-agent/agent.sock
{{- end -}}

{{- define "molecule-sidecar.apiSocket" -}}
/run/molecule-api/sidecar.sock
{{- end -}}

{{/* Where the agent listens, for $PORT: a port or the socket's path. */}}
{{- define "molecule-sidecar.agentPort" -}}
{{- if .Values.agent.port -}}{{ int .Values.agent.port }}{{- else -}}{{ include "molecule-sidecar.agentSocket" . }}{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.secretsDir" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}{{ .Values.agent.secrets.dir }}{{- else -}}/run/molecule-secrets{{- end -}}
{{- end -}}

{{/* What the chart says; empty sections do no harm. */}}
{{- define "molecule-sidecar.ownConfig" -}}
{{- $v := .Values -}}
workspace:
  {{- with $v.workspace.id }}
  id: {{ . | quote }}
  {{- end }}
  {{- with $v.workspace.parentId }}
  parent_id: {{ . | quote }}
  {{- end }}
platform:
  enabled: {{ $v.platform.enabled }}
  {{- if $v.platform.enabled }}
  {{- with $v.platform.url }}
  url: {{ . | quote }}
  {{- end }}
  {{- with $v.platform.orgId }}
  org_id: {{ . | quote }}
  {{- end }}
  {{- if include "molecule-sidecar.hasToken" . }}
  token_file: /etc/molecule-token/token
  {{- end }}
  {{- if $v.platform.caConfigMap.name }}
  ca_file: /etc/molecule-ca/ca.crt
  {{- end }}
  delivery: {{ include "molecule-sidecar.delivery" . | quote }}
  {{- with $v.platform.reportedUrl }}
  reported_url: {{ . | quote }}
  {{- end }}
  {{- end }}
agent:
  protocol: {{ include "molecule-sidecar.protocol" . }}
  {{- if eq (include "molecule-sidecar.protocol" .) "http" }}
  {{- if $v.agent.port }}
  address: {{ printf "http://127.0.0.1:%d" (int $v.agent.port) | quote }}
  {{- else }}
  address: {{ printf "unix:%s" (include "molecule-sidecar.agentSocket" .) | quote }}
  {{- end }}
  base_path: {{ $v.agent.basePath | quote }}
  {{- with $v.agent.readyPath }}
  ready_path: {{ . | quote }}
  {{- end }}
  start_timeout: {{ int $v.agent.startSeconds }}s
  {{- end }}
  {{- if include "molecule-sidecar.isWrapper" . }}
  port_env: {{ $v.agent.portEnv | quote }}
  {{- end }}
listen:
  address: {{ printf "[::]:%d" (int $v.sidecar.ports.http) | quote }}
admin:
  address: {{ printf "[::]:%d" (int $v.sidecar.ports.admin) | quote }}
control:
  socket: /run/molecule/control.sock
  agent_socket: {{ include "molecule-sidecar.apiSocket" . }}
stop:
  grace: {{ int $v.termination.gracePeriodSeconds }}s
  {{- if not (kindIs "invalid" $v.termination.drainDelaySeconds) }}
  drain_delay: {{ int $v.termination.drainDelaySeconds }}s
  {{- end }}
  {{- if not (kindIs "invalid" $v.termination.agentGraceSeconds) }}
  agent_grace: {{ int $v.termination.agentGraceSeconds }}s
  {{- end }}
{{- if and (include "molecule-sidecar.isJob" .) (include "molecule-sidecar.isWrapper" .) }}
restart:
  policy: never
{{- end }}
{{- if $v.agent.secrets.dir }}
secrets:
  mode: file
  dir: {{ include "molecule-sidecar.secretsDir" . | quote }}
{{- end }}
{{- with $v.agent.uploads.dir }}
forward:
  uploads_dir: {{ . | quote }}
{{- end }}
state:
  dir: /var/lib/molecule
log:
  format: json
{{- end -}}

{{- define "molecule-sidecar.config" -}}
{{- mergeOverwrite (include "molecule-sidecar.ownConfig" . | fromYaml) (deepCopy .Values.sidecar.config) | toYaml -}}
{{- end -}}

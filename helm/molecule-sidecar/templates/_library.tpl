{{/*
The parts of a pod, each usable in another chart, which depends on this one with `workload.kind: None` and
includes them with the context of the dependency:

  {{- $sidecar := index .Subcharts "molecule-sidecar" }}
  {{- with include "molecule-sidecar.initContainers" $sidecar }}
  initContainers:
    {{- . | nindent 8 }}
  {{- end }}

Each prints a list or map without the key above it, and nothing at all when the mode asks for none. A whole
example is helm/tests/library-user.

  .podLabels .podAnnotations      metadata of the pod
  .podSettings                    securityContext, grace and ServiceAccount of the pod
  .strategy                       of a Deployment
  .initContainers .containers     the sidecar, where the mode puts it
  .container .installContainer    the same containers, alone
  .volumes                        all volumes that the containers mount
  .agentCommand                   `command:` and `args:` of the agent, with the wrapper in front
  .agentPorts .agentEnv .agentLifecycle .agentProbes .agentSecurityContext .agentVolumeMounts
*/}}

{{- define "molecule-sidecar.podLabels" -}}
{{- $own := include "molecule-sidecar.selectorLabels" . | fromYaml -}}
{{- mergeOverwrite (default dict .Values.commonLabels | deepCopy) (default dict .Values.pod.labels | deepCopy) $own | toYaml -}}
{{- end -}}

{{/*
The checksum is the chart's alone: with a fixed one another configuration would not roll the pods. The token is no part of it: its file
is read again when it changes.
*/}}
{{- define "molecule-sidecar.podAnnotations" -}}
{{- $own := dict "kubectl.kubernetes.io/default-container" "agent" -}}
{{- $checksum := dict "checksum/config" (include "molecule-sidecar.config" . | sha256sum) -}}
{{- mergeOverwrite $own (default dict .Values.commonAnnotations | deepCopy) (default dict .Values.pod.annotations | deepCopy) $checksum | toYaml -}}
{{- end -}}

{{/* One user and one group for all containers: connecting to a socket needs write permission on it. */}}
{{- define "molecule-sidecar.podSettings" -}}
serviceAccountName: {{ include "molecule-sidecar.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int .Values.termination.gracePeriodSeconds }}
{{- if .Values.pod.shareProcessNamespace }}
shareProcessNamespace: true
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int .Values.pod.runAsUser }}
  runAsGroup: {{ int .Values.pod.runAsGroup }}
  fsGroup: {{ int .Values.pod.runAsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* What Pod Security "restricted" asks of a container. */}}
{{- define "molecule-sidecar.restricted" -}}
allowPrivilegeEscalation: false
capabilities:
  drop:
    - ALL
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "molecule-sidecar.securityContext" -}}
{{- $own := include "molecule-sidecar.restricted" . | fromYaml -}}
{{- mergeOverwrite $own (dict "readOnlyRootFilesystem" true) (default dict .Values.sidecar.securityContext | deepCopy) | toYaml -}}
{{- end -}}

{{- define "molecule-sidecar.agentSecurityContext" -}}
{{- mergeOverwrite (include "molecule-sidecar.restricted" . | fromYaml) (default dict .Values.agent.securityContext | deepCopy) | toYaml -}}
{{- end -}}

{{- define "molecule-sidecar.ports" -}}
- name: http
  containerPort: {{ int .Values.sidecar.ports.http }}
- name: admin
  containerPort: {{ int .Values.sidecar.ports.admin }}
{{- end -}}

{{/* One probe: (list context, path, period, failures). Ports by number: a name would be sought in the same container. */}}
{{- define "molecule-sidecar.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: {{ int (index . 0).Values.sidecar.ports.admin }}
periodSeconds: {{ index . 2 }}
timeoutSeconds: 5
failureThreshold: {{ index . 3 }}
{{- end -}}

{{/*
Design of the three: started says that sockets are there and secret files were written (the agent's
container may start), ready that the agent answers, live that our loop turns. Started waits for secrets
for secrets.start_wait, so it has half a minute more than that. Ready is asked often: when the agent's
container alone is restarted, the pod must be known as not ready before the drain delay (5 s) is over.
*/}}
{{- define "molecule-sidecar.startAndReady" -}}
{{- $wait := include "molecule-sidecar.around.config" (list . "secrets" "start_wait") | default "10s" -}}
startupProbe:
  {{- include "molecule-sidecar.probe" (list . "/startupz" 1 (add 30 (div (include "molecule-sidecar.milliseconds" $wait) 1000))) | nindent 2 }}
readinessProbe:
  {{- include "molecule-sidecar.probe" (list . "/readyz" 2 2) | nindent 2 }}
{{- end -}}

{{- define "molecule-sidecar.probes" -}}
{{ include "molecule-sidecar.startAndReady" . }}
livenessProbe:
  {{- include "molecule-sidecar.probe" (list . "/livez" 10 3) | nindent 2 }}
{{- end -}}

{{/*
"true" when a preStop hook of the agent drains. Wrapping, TERM comes to the sidecar itself. A Job cannot be changed, so a path that is drawn
anew where nobody can look up the last one (GitOps) would be refused, or be another Job each time: it has a hook only with a capability
of the user's. Its agent's end is the pod's end, and that of a native sidecar comes after it, hook or not.
*/}}
{{- define "molecule-sidecar.hasDrain" -}}
{{- if not (include "molecule-sidecar.isWrapper" .) -}}
{{- if or .Values.termination.drainCapability (not (include "molecule-sidecar.isJob" .)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* A text that Kubernetes hands on as it is, in an argument or a variable's value: without it $(NAME) would be replaced. */}}
{{- define "molecule-sidecar.literal" -}}
{{- toString . | replace "$" "$$" | quote -}}
{{- end -}}

{{/*
What the sidecar reads from its environment: the grace to compare with, and the drain path, which stands in the pod's own specification
beside the hook that asks for it. A pod's specification never changes, so the two cannot differ: not for a sidecar that is restarted in an
old pod while new ones with another path start, nor for a new pod on a node that has not seen another object yet. Out of a Secret the path
would be read at each start of the container, and would hide nothing: who may read pods reads the hook.
*/}}
{{- define "molecule-sidecar.env" -}}
- name: TERMINATION_GRACE_PERIOD_SECONDS
  value: {{ int .Values.termination.gracePeriodSeconds | quote }}
{{- if include "molecule-sidecar.hasDrain" . }}
- name: MOLECULE_SIDECAR_ADMIN_DRAIN_PATH
  value: {{ include "molecule-sidecar.drainPath" . | quote }}
{{- end }}
{{- end -}}

{{/* Mounts of the process that is the sidecar, in its own container or, wrapping, in the agent's. */}}
{{- define "molecule-sidecar.volumeMounts" -}}
- name: molecule-config
  mountPath: /etc/molecule-sidecar
  readOnly: true
{{- if include "molecule-sidecar.hasToken" . }}
- name: molecule-token
  mountPath: /etc/molecule-token
  readOnly: true
{{- end }}
{{- if .Values.platform.caConfigMap.name }}
- name: molecule-ca
  mountPath: /etc/molecule-ca
  readOnly: true
{{- end }}
- name: molecule-runtime
  mountPath: /run/molecule
- name: molecule-agent
  mountPath: /run/molecule-agent
- name: molecule-api
  mountPath: /run/molecule-api
- name: molecule-state
  mountPath: /var/lib/molecule
{{- if .Values.agent.secrets.dir }}
- name: molecule-secrets
  mountPath: {{ include "molecule-sidecar.secretsDir" . | quote }}
{{- end }}
{{- with .Values.agent.uploads.dir }}
- name: molecule-uploads
  mountPath: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.runArgs" -}}
- run
- --config
- /etc/molecule-sidecar/config.yaml
{{- with .Values.sidecar.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.container" -}}
name: molecule-sidecar
image: {{ include "molecule-sidecar.image" . | quote }}
imagePullPolicy: {{ .Values.sidecar.image.pullPolicy }}
{{- if eq .Values.mode "native" }}
restartPolicy: Always
{{- end }}
args:
  {{- include "molecule-sidecar.runArgs" . | nindent 2 }}
env:
  {{- include "molecule-sidecar.env" . | nindent 2 }}
  {{- with .Values.sidecar.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- include "molecule-sidecar.ports" . | nindent 2 }}
{{ include "molecule-sidecar.probes" . }}
{{- with .Values.sidecar.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "molecule-sidecar.securityContext" . | nindent 2 }}
volumeMounts:
  {{- include "molecule-sidecar.volumeMounts" . | nindent 2 }}
  {{- with .Values.sidecar.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Puts the program where the agent's container finds it. */}}
{{- define "molecule-sidecar.installContainer" -}}
name: molecule-install
image: {{ include "molecule-sidecar.image" . | quote }}
imagePullPolicy: {{ .Values.sidecar.image.pullPolicy }}
args:
  - install
  - /molecule
{{- with .Values.sidecar.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "molecule-sidecar.securityContext" . | nindent 2 }}
volumeMounts:
  - name: molecule-bin
    mountPath: /molecule
{{- end -}}

{{- define "molecule-sidecar.initContainers" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}
- {{ include "molecule-sidecar.installContainer" . | indent 2 | trim }}
{{- else if eq .Values.mode "native" -}}
- {{ include "molecule-sidecar.container" . | indent 2 | trim }}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.containers" -}}
{{- if eq .Values.mode "classic" -}}
- {{ include "molecule-sidecar.container" . | indent 2 | trim }}
{{- end -}}
{{- end -}}

{{/* (name, size limit or "") */}}
{{- define "molecule-sidecar.memoryVolume" -}}
- name: {{ index . 0 }}
  emptyDir:
    medium: Memory
    sizeLimit: {{ index . 1 }}
{{- end -}}

{{/* Sockets and secrets in memory, the journal and what agents write on a disk. */}}
{{- define "molecule-sidecar.volumes" -}}
- name: molecule-config
  configMap:
    name: {{ include "molecule-sidecar.fullname" . | quote }}
{{- if include "molecule-sidecar.hasToken" . }}
- name: molecule-token
  secret:
    secretName: {{ include "molecule-sidecar.tokenSecretName" . }}
    defaultMode: 0440
    items:
      - key: {{ empty .Values.platform.existingSecret.name | ternary "token" .Values.platform.existingSecret.key | quote }}
        path: token
{{- end }}
{{- with .Values.platform.caConfigMap }}
{{- if .name }}
- name: molecule-ca
  configMap:
    name: {{ .name | quote }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- end }}
{{- end }}
{{ include "molecule-sidecar.memoryVolume" (list "molecule-runtime" "16Mi") }}
{{ include "molecule-sidecar.memoryVolume" (list "molecule-agent" "16Mi") }}
{{ include "molecule-sidecar.memoryVolume" (list "molecule-api" "16Mi") }}
{{- if .Values.agent.secrets.dir }}
{{ include "molecule-sidecar.memoryVolume" (list "molecule-secrets" "16Mi") }}
{{- end }}
{{- if include "molecule-sidecar.isWrapper" . }}
- name: molecule-bin
  emptyDir:
    sizeLimit: 64Mi
{{- end }}
{{- if .Values.agent.uploads.dir }}
- name: molecule-uploads
  emptyDir:
    sizeLimit: {{ .Values.agent.uploads.sizeLimit }}
{{- end }}
{{- if include "molecule-sidecar.hasTmp" . }}
- name: molecule-tmp
  emptyDir:
    sizeLimit: {{ .Values.agent.tmp.sizeLimit }}
{{- end }}
{{- if eq .Values.state.type "emptyDir" }}
- name: molecule-state
  emptyDir:
    sizeLimit: {{ .Values.state.sizeLimit }}
{{- else if or (ne .Values.workload.kind "StatefulSet") .Values.state.pvc.existingClaim }}
- name: molecule-state
  persistentVolumeClaim:
    claimName: {{ include "molecule-sidecar.claimName" . | quote }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.hasTmp" -}}
{{- $own := false -}}
{{- range .Values.agent.volumeMounts -}}
{{- if eq (get . "mountPath" | toString | trimSuffix "/") "/tmp" -}}{{- $own = true -}}{{- end -}}
{{- end -}}
{{- if and .Values.agent.tmp.enabled (not $own) -}}true{{- end -}}
{{- end -}}

{{/*
Wrapping, the values that decide who we are come as flags, empty ones too: variables of the agent's image
with names such as PORT, ORG_ID or AGENT_URL would otherwise win over the file.
*/}}
{{- define "molecule-sidecar.wrapperFlags" -}}
- {{ printf "--listen-address=[::]:%d" (int .Values.sidecar.ports.http) | quote }}
- --state-dir=/var/lib/molecule
- --stop-grace={{ int .Values.termination.gracePeriodSeconds }}s
- {{ printf "--workspace-id=%s" .Values.workspace.id | include "molecule-sidecar.literal" }}
- {{ printf "--workspace-parent-id=%s" .Values.workspace.parentId | include "molecule-sidecar.literal" }}
{{- with .Values.platform }}
{{- if .enabled }}
- {{ printf "--platform-url=%s" .url | include "molecule-sidecar.literal" }}
- --platform-delivery={{ include "molecule-sidecar.delivery" $ }}
- {{ printf "--platform-org-id=%s" .orgId | include "molecule-sidecar.literal" }}
- {{ printf "--platform-reported-url=%s" .reportedUrl | include "molecule-sidecar.literal" }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.agentCommand" -}}
{{- $command := .Values.agent.command -}}
{{- if include "molecule-sidecar.isWrapper" . -}}
command:
  - /molecule/molecule-sidecar
  {{- include "molecule-sidecar.runArgs" . | nindent 2 }}
  {{- include "molecule-sidecar.wrapperFlags" . | nindent 2 }}
  - --
  {{- toYaml $command | nindent 2 }}
{{- else if $command -}}
command:
  {{- toYaml $command | nindent 2 }}
{{- end -}}
{{- with .Values.agent.args }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.agentPorts" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}
{{- include "molecule-sidecar.ports" . -}}
{{- end -}}
{{- end -}}

{{/* The user of the pod is seldom in the image's passwd, and HOME would be /, where it cannot write. */}}
{{- define "molecule-sidecar.agentHome" -}}
{{- $home := .Values.agent.home -}}
{{- range concat (default list .Values.agent.env) (default list .Values.sidecar.extraEnv) -}}
{{- if eq (get . "name" | toString) "HOME" -}}{{- $home = "" -}}{{- end -}}
{{- end -}}
{{- $home -}}
{{- end -}}

{{/* Wrapping, the sidecar itself tells the agent where to listen. */}}
{{- define "molecule-sidecar.agentEnv" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}
{{ include "molecule-sidecar.env" . }}
{{- with .Values.sidecar.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- else -}}
- name: MOLECULE_SIDECAR_SOCKET
  value: {{ include "molecule-sidecar.apiSocket" . }}
- name: TERMINATION_GRACE_PERIOD_SECONDS
  value: {{ int .Values.termination.gracePeriodSeconds | quote }}
{{- if eq (include "molecule-sidecar.protocol" .) "http" }}
{{- with .Values.agent.portEnv }}
- name: {{ . | quote }}
  value: {{ include "molecule-sidecar.agentPort" $ | quote }}
{{- end }}
{{- if not .Values.agent.port }}
- name: MOLECULE_AGENT_SOCKET
  value: {{ include "molecule-sidecar.agentSocket" . }}
{{- end }}
{{- end }}
{{- end -}}
{{- with include "molecule-sidecar.agentHome" . }}
- name: HOME
  value: {{ include "molecule-sidecar.literal" . }}
{{- end }}
{{- end -}}

{{/* The drain's answer comes when the drain is done; only then the kubelet sends TERM to the agent. Wrapping, TERM comes to us. */}}
{{- define "molecule-sidecar.agentLifecycle" -}}
{{- if include "molecule-sidecar.hasDrain" . -}}
preStop:
  httpGet:
    path: {{ include "molecule-sidecar.drainPath" . }}
    port: {{ int .Values.sidecar.ports.admin }}
{{- end -}}
{{- end -}}

{{/*
One probe of the agent's own health: (list context, period, failures). Wrapping, what is restarted is the sidecar as well, and its stop
(drain delay, drain, TERM to the agent, what is to be written) takes the pod's whole grace: a shorter one would KILL it in the middle.
*/}}
{{- define "molecule-sidecar.agentProbe" -}}
{{- $v := (index . 0).Values -}}
{{ include "molecule-sidecar.probe" (list (index . 0) "/agentz" (index . 1) (index . 2)) }}
{{- if not (include "molecule-sidecar.isWrapper" (index . 0)) }}
terminationGracePeriodSeconds: {{ min (int $v.agent.livenessProbe.graceSeconds) (int $v.termination.gracePeriodSeconds) }}
{{- end }}
{{- end -}}

{{/*
The agent's own health as the sidecar sees it. An agent that hangs gets no whole drain before it is
restarted: nobody would see the end of its work. An agent without a protocol cannot be asked. Wrapping,
the sidecar starts a dead agent again by itself; the kubelet waits for that (its pause and the agent's
start) before it restarts the container because of an agent that hangs.
*/}}
{{- define "molecule-sidecar.agentProbes" -}}
{{- $p := .Values.agent.livenessProbe -}}
{{- $start := int .Values.agent.startSeconds -}}
{{- $asks := and $p.enabled (eq (include "molecule-sidecar.protocol" .) "http") -}}
{{- if include "molecule-sidecar.isWrapper" . -}}
{{- if $asks -}}
{{- $pause := include "molecule-sidecar.around.config" (list . "restart" "backoff_max") | default "30s" | include "molecule-sidecar.milliseconds" -}}
{{- $patience := div (add $start (div $pause 1000)) (int $p.periodSeconds) -}}
{{ include "molecule-sidecar.startAndReady" . }}
livenessProbe:
  {{- include "molecule-sidecar.agentProbe" (list . (int $p.periodSeconds) (add $patience 1 (int $p.failureThreshold))) | nindent 2 }}
{{- else -}}
{{ include "molecule-sidecar.probes" . }}
{{- end -}}
{{- else if $asks -}}
startupProbe:
  {{- include "molecule-sidecar.agentProbe" (list . 2 (max 1 (div (add 1 $start) 2))) | nindent 2 }}
livenessProbe:
  {{- include "molecule-sidecar.agentProbe" (list . (int $p.periodSeconds) (int $p.failureThreshold)) | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.agentVolumeMounts" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}
- name: molecule-bin
  mountPath: /molecule
  readOnly: true
{{ include "molecule-sidecar.volumeMounts" . }}
{{- with .Values.sidecar.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- else -}}
- name: molecule-agent
  mountPath: /run/molecule-agent
- name: molecule-api
  mountPath: /run/molecule-api
  readOnly: true
{{- if .Values.agent.secrets.dir }}
- name: molecule-secrets
  mountPath: {{ .Values.agent.secrets.dir | quote }}
  readOnly: true
{{- end }}
{{- with .Values.agent.uploads.dir }}
- name: molecule-uploads
  mountPath: {{ . | quote }}
  readOnly: true
{{- end }}
{{- end }}
{{- if include "molecule-sidecar.hasTmp" . }}
- name: molecule-tmp
  mountPath: /tmp
{{- end }}
{{- end -}}

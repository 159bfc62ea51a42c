{{/*
What cannot work is refused while the chart is rendered, all of it at once, each with the key, its value and
what to do. Types and words are the schema's work (values.schema.json). Each group below prints one line
per mistake, some of them in _guards_pod.tpl; tests/kube/guards.yaml has a case for each.
*/}}

{{- define "molecule-sidecar.guards" -}}
{{- $faults := "" -}}
{{- range list "words" "names" "labels" "mode" "kind" "messages" "state" "platform" "token" "agent" "image" "ports" "morePorts" "user" "termination" "config" "variables" "flags" "volumes" "containers" "strategy" "mounts" "room" "restricted" "references" -}}
{{- $faults = print $faults (include (print "molecule-sidecar.guards." .) $) -}}
{{- end -}}
{{- if $faults -}}
{{- fail (printf "\n\nThese values cannot work:\n%s\n" $faults) -}}
{{- end -}}
{{- end -}}

{{/* Also with `helm --skip-schema-validation`, for nothing would be rendered and nobody told. */}}
{{- define "molecule-sidecar.guards.words" -}}
{{- $kinds := list "Deployment" "StatefulSet" "Job" "CronJob" "None" -}}
{{- if not (has .Values.workload.kind $kinds) }}
- workload.kind is {{ .Values.workload.kind | quote }}: must be one of {{ join ", " $kinds }}
{{- end }}
{{- if not (has .Values.mode (list "native" "classic" "wrapper")) }}
- mode is {{ .Values.mode | quote }}: must be native, classic or wrapper
{{- end }}
{{- end -}}

{{/* A Service's name is the strictest: it begins with a letter and has no dot. */}}
{{- define "molecule-sidecar.guards.names" -}}
{{- $name := include "molecule-sidecar.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
- the objects' name would be {{ $name | quote }} ({{ empty .Values.fullnameOverride | ternary "of the release's name" "fullnameOverride" }}): a Service's name is of a-z 0-9 - and begins with a letter; set fullnameOverride, for example my-agent
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.labels" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "molecule-sidecar/service" -}}
{{- range $key, $value := .Values.commonLabels }}
{{- if has $key $own }}
- commonLabels sets {{ $key }}, which the chart sets itself: leave it out (nameOverride changes app.kubernetes.io/name)
{{- end }}
{{- if not (regexMatch "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$" (toString $value)) }}
- commonLabels.{{ $key }} is {{ toString $value | quote }}: a label's value has at most 63 characters of A-Z a-z 0-9 - _ . and begins and ends with a letter or digit
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.mode" -}}
{{- $kube := .Capabilities.KubeVersion.Version -}}
{{- if and (eq .Values.mode "native") (semverCompare "<1.29.0-0" $kube) }}
- mode is native, which needs Kubernetes 1.29 or newer, and this is {{ $kube }}: take mode: wrapper (with agent.command), or mode: classic, in which nothing orders the ends of the two containers
{{- end }}
{{- if and (eq .Values.mode "classic") (include "molecule-sidecar.isJob" .) }}
- workload.kind is {{ .Values.workload.kind }} and mode is classic, in which the sidecar would run on after the agent and the Job would never be done: take mode: native or mode: wrapper
{{- end }}
{{- if and (eq .Values.mode "wrapper") (empty .Values.agent.command) }}
- mode is wrapper but agent.command is empty: the sidecar starts the agent itself and cannot see the image's ENTRYPOINT, so name the command, for example agent.command: [python3, agent.py]
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.kind" -}}
{{- $w := .Values.workload -}}
{{- if eq $w.kind "CronJob" }}
{{- if not $w.cronJob.schedule }}
- workload.kind is CronJob but workload.cronJob.schedule is empty: set it, for example "*/15 * * * *"
{{- else if not (regexMatch "^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every .+|\\S+( +\\S+){4})$" $w.cronJob.schedule) }}
- workload.cronJob.schedule is {{ $w.cronJob.schedule | quote }}: must have five fields (minute hour day month weekday), for example "*/15 * * * *", or be @hourly, @daily, @weekly, @monthly or @yearly
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not (has $w.kind (list "Deployment" "StatefulSet"))) }}
- autoscaling.enabled is true but workload.kind is {{ $w.kind }}: only a Deployment or a StatefulSet can be scaled; set autoscaling.enabled: false
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
- autoscaling.minReplicas is {{ .Values.autoscaling.minReplicas }}, more than autoscaling.maxReplicas {{ .Values.autoscaling.maxReplicas }}: make it smaller, or maxReplicas larger
{{- end }}
{{- with $w.strategy.type }}
{{- if and (eq $w.kind "StatefulSet") (not (has . (list "RollingUpdate" "OnDelete"))) }}
- workload.strategy.type is {{ . }}: a StatefulSet knows RollingUpdate and OnDelete
{{- else if and (has $w.kind (list "Deployment" "None")) (not (has . (list "RollingUpdate" "Recreate"))) }}
- workload.strategy.type is {{ . }}: a Deployment knows Recreate and RollingUpdate
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.messages" -}}
{{- $p := .Values.platform -}}
{{- $why := eq $p.delivery "poll" | ternary "platform.delivery is poll" "platform.delivery is auto and platform.reportedUrl is empty" -}}
{{- if include "molecule-sidecar.isPoll" . }}
{{- if .Values.autoscaling.enabled }}
- autoscaling.enabled is true but messages are polled ({{ $why }}), and two pods must not poll for one workspace: set autoscaling.enabled: false, or have them pushed: platform.reportedUrl: https://...
{{- else if include "molecule-sidecar.isMany" . }}
- workload.replicas is {{ .Values.workload.replicas }} but messages are polled ({{ $why }}), and two pods must not poll for one workspace: set workload.replicas: 1, or have them pushed: platform.reportedUrl: https://...
{{- end }}
{{- if and (has .Values.workload.kind (list "Deployment" "None")) .Values.workload.strategy (ne (get .Values.workload.strategy "type" | toString) "Recreate") }}
- workload.strategy.type is {{ get .Values.workload.strategy "type" | default "RollingUpdate" }} but messages are polled ({{ $why }}), and in an update two pods would poll for one workspace: leave workload.strategy empty, or set its type: Recreate
{{- end }}
{{- end }}
{{- if and $p.enabled (eq $p.delivery "push") (not $p.reportedUrl) }}
- platform.delivery is push but platform.reportedUrl is empty: set it to the URL at which the platform reaches this agent (its Service, Ingress or Gateway), or take delivery: poll
{{- end }}
{{- if and $p.enabled (has $p.delivery (list "poll" "push")) (ne (include "molecule-sidecar.protocol" .) "http") }}
- platform.delivery is {{ $p.delivery }} but agent.protocol is none, so there is nobody to hand messages to: set agent.protocol: http, or leave platform.delivery at auto
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.state" -}}
{{- $s := .Values.state -}}
{{- $w := .Values.workload -}}
{{- $many := include "molecule-sidecar.isMany" . -}}
{{- if and (eq $w.kind "StatefulSet") (eq $s.type "emptyDir") }}
- workload.kind is StatefulSet but state.type is emptyDir, which is lost with each pod: set state.type: pvc, or take workload.kind: Deployment
{{- end }}
{{- if and (eq $s.type "pvc") (has $w.kind (list "Deployment" "None")) $many }}
- state.type is pvc and {{ .Values.autoscaling.enabled | ternary "autoscaling.enabled is true" (printf "workload.replicas is %d" (int $w.replicas)) }}: the pods of a Deployment would write one journal; take workload.kind: StatefulSet, which has a claim for each pod, or state.type: emptyDir
{{- end }}
{{- if and (eq $s.type "pvc") $s.pvc.existingClaim (eq $w.kind "StatefulSet") $many }}
- state.pvc.existingClaim is {{ $s.pvc.existingClaim | quote }}, one claim for several pods that each write a journal: leave it empty, then each pod gets a claim of its own
{{- end }}
{{- if and (eq $s.type "pvc") (has "ReadWriteMany" $s.pvc.accessModes) (not $s.pvc.readWriteManyBecause) }}
- state.pvc.accessModes holds ReadWriteMany{{ with $s.pvc.existingClaim }} (of {{ . | quote }}){{ end }}, which is a network file system almost always: the sidecar keeps no journal on one, where locks and syncs are not to be relied on; take [ReadWriteOnce] or [ReadWriteOncePod] and a class of disks, or say in state.pvc.readWriteManyBecause why this one will do
{{- end }}
{{- if and (eq $s.type "pvc") (has $w.kind (list "Deployment" "None")) (not (include "molecule-sidecar.isPoll" .)) $w.strategy (ne (get $w.strategy "type" | toString) "Recreate") }}
- workload.strategy.type is {{ get $w.strategy "type" | default "RollingUpdate" }} but state.type is pvc, and in an update two pods would write one journal: leave workload.strategy empty, or set its type: Recreate
{{- end }}
{{- end -}}

{{/* (key, URL, why it has no user): what the sidecar takes as a URL. Nothing of one with a user in it is repeated. */}}
{{- define "molecule-sidecar.guards.url" -}}
{{- $key := index . 0 -}}
{{- $url := index . 1 -}}
{{- if regexMatch "^[^/]*//[^/?#]*@" $url }}
- {{ $key }} holds a user or a password: leave it out, {{ index . 2 }}
{{- else if not (regexMatch "^[Hh][Tt][Tt][Pp][Ss]?://[^/\\s]+\\S*$" $url) }}
- {{ $key }} is {{ $url | quote }}: must be a URL that begins with http:// or https:// and a host
{{- else if regexMatch "[?#]" $url }}
- {{ $key }} is {{ $url | quote }}: must not have a query (?) or a fragment (#); paths are added to it
{{- end }}
{{- with regexFind "^[^/]*//[^/?#]*:[0-9]+" $url }}
{{- $port := regexFind "[0-9]+$" . }}
{{- if or (gt (len $port) 5) (gt (int $port) 65535) (lt (int $port) 1) }}
- {{ $key }} has port {{ $port }}: must be 1 to 65535
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.platform" -}}
{{- $p := .Values.platform -}}
{{- $id := .Values.workspace.id -}}
{{- if $p.enabled }}
{{- if not $id }}
- workspace.id is empty: set it to the UUID that POST /workspaces answered (the canvas shows it), or run without a platform: platform.enabled: false
{{- end }}
{{- if not $p.url }}
- platform.url is empty: set it to the platform's base URL, for example https://platform.example.com, or run without one: platform.enabled: false
{{- else }}
{{- include "molecule-sidecar.guards.url" (list "platform.url" $p.url "for the token is what the platform knows the agent by") }}
{{- end }}
{{- if regexMatch "[^ -~]" $p.orgId }}
- platform.orgId holds a line's end or a character that is not ASCII: it is sent in a header
{{- end }}
{{- if $p.reportedUrl }}
{{- include "molecule-sidecar.guards.url" (list "platform.reportedUrl" $p.reportedUrl "for the agent's card shows it to everybody; let the platform send its inbound secret (sidecar.config.listen.inbound_auth)") }}
{{- end }}
{{- end }}
{{- if and $id (not (regexMatch "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" $id)) }}
- workspace.id is {{ $id | quote }}: must be a UUID such as 6f1c2a34-0b5d-4e8f-9a71-3c2d1e0f4b5a, as POST /workspaces answered
{{- end }}
{{- if and $p.caConfigMap.name (dig "platform" "ca_file" "" .Values.sidecar.config) }}
- platform.caConfigMap.name and sidecar.config.platform.ca_file are both set: keep one
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.token" -}}
{{- $p := .Values.platform -}}
{{- if and $p.token $p.existingSecret.name }}
- platform.token and platform.existingSecret.name are both set: keep existingSecret, and take the token out of the values
{{- end }}
{{- if and $p.token (regexMatch "[^!-~]" $p.token) }}
- platform.token holds a blank, a line's end or a character that is not ASCII: a token is one word
{{- end }}
{{- if and $p.existingSecret.name (not $p.existingSecret.key) }}
- platform.existingSecret.key is empty: set it to the key in the Secret {{ $p.existingSecret.name }} that holds the token
{{- end }}
{{- if and $p.enabled (not (include "molecule-sidecar.hasToken" .)) }}
{{- if ne .Values.state.type "pvc" }}
- there is no token: make a Secret (kubectl create secret generic NAME --from-file=token=FILE) and set platform.existingSecret.name, or set state.type: pvc, so that the token of the first registration outlives the pod
{{- else if include "molecule-sidecar.isMany" . }}
- there is no token and more than one pod: only the first would get one at its registration; make a Secret (kubectl create secret generic NAME --from-file=token=FILE) and set platform.existingSecret.name
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.agent" -}}
{{- $a := .Values.agent -}}
{{- if and (not $a.image) (ne .Values.workload.kind "None") }}
- agent.image is empty: set it to your agent's image, with a tag or digest
{{- end }}
{{- if and $a.portEnv (not (regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" $a.portEnv)) }}
- agent.portEnv is {{ $a.portEnv | quote }}: must be the name of a variable (letters, digits and _), or empty
{{- end }}
{{- if not (hasPrefix "/" $a.basePath) }}
- agent.basePath is {{ $a.basePath | quote }}: must begin with /
{{- end }}
{{- if and $a.readyPath (not (hasPrefix "/" $a.readyPath)) }}
- agent.readyPath is {{ $a.readyPath | quote }}: must begin with /, or be empty
{{- end }}
{{- range $name := list "secrets" "uploads" }}
{{- $dir := (get $a $name).dir }}
{{- if and $dir (not (regexMatch "^/[^:]*[^:/]$" $dir)) }}
- agent.{{ $name }}.dir is {{ $dir | quote }}: must be the absolute path of a directory, without a : and without a / at its end
{{- end }}
{{- end }}
{{- if and $a.secrets.dir (eq $a.secrets.dir $a.uploads.dir) }}
- agent.secrets.dir and agent.uploads.dir are both {{ $a.secrets.dir | quote }}: give each a directory of its own
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.image" -}}
{{- with .Values.sidecar.image -}}
{{- if not .repository }}
- sidecar.image.repository is empty: set it to where you pushed what docker/Dockerfile builds
{{- else if regexMatch "(:[^/]*$)|@" .repository }}
- sidecar.image.repository is {{ .repository | quote }}, which holds a tag or digest: put that into sidecar.image.tag or sidecar.image.digest
{{- end }}
{{- if and .digest (not (regexMatch "^sha256:[0-9a-f]{64}$" .digest)) }}
- sidecar.image.digest is {{ .digest | quote }}: must be sha256: and 64 digits of 0-9 a-f
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.ports" -}}
{{- $ports := dict "sidecar.ports.http" (int .Values.sidecar.ports.http) "sidecar.ports.admin" (int .Values.sidecar.ports.admin) -}}
{{- if .Values.agent.port -}}{{- $_ := set $ports "agent.port" (int .Values.agent.port) -}}{{- end -}}
{{- range $name := keys $ports | sortAlpha }}
{{- $port := get $ports $name }}
{{- if or (lt $port 1024) (gt $port 65535) }}
- {{ $name }} is {{ $port }}: must be 1024 to 65535, for the pod has no right to lower ones{{ if eq $name "sidecar.ports.http" }} (service.port may well be 80){{ end }}
{{- end }}
{{- range $other := keys $ports | sortAlpha }}
{{- if and (lt $name $other) (eq $port (get $ports $other)) }}
- {{ $name }} and {{ $other }} are both {{ $port }}: containers of a pod share their ports, so give each another one
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* (where, container, of the agent, context): agent.ports may name agent.port itself. */}}
{{- define "molecule-sidecar.guards.containerPorts" -}}
{{- $v := (index . 3).Values -}}
{{- $where := index . 0 -}}
{{- $taken := dict (int $v.sidecar.ports.http | toString) "sidecar.ports.http" (int $v.sidecar.ports.admin | toString) "sidecar.ports.admin" -}}
{{- if and $v.agent.port (not (index . 2)) -}}{{- $_ := set $taken (int $v.agent.port | toString) "agent.port" -}}{{- end -}}
{{- range index . 1 }}
{{- $port := int .containerPort | toString }}
{{- if and (hasKey $taken $port) (eq (default "TCP" .protocol) "TCP") }}
- {{ $where }} and {{ get $taken $port }} are both {{ $port }}: containers of a pod share their ports, so give each another one
{{- end }}
{{- if or (eq (toString .name) "admin") (and (eq (toString .name) "http") (eq $v.mode "wrapper")) }}
- {{ $where }} has the name {{ .name }}, which is a port of the sidecar: choose another
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.morePorts" -}}
{{- include "molecule-sidecar.guards.containerPorts" (list "agent.ports" .Values.agent.ports true .) -}}
{{- range .Values.extraContainers -}}
{{- include "molecule-sidecar.guards.containerPorts" (list (printf "extraContainers %v: ports" .name) .ports false $) -}}
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.guards.user" -}}
{{- $pod := .Values.pod -}}
{{- if eq (int $pod.runAsUser) 0 }}
- pod.runAsUser is 0, which is root: Pod Security "restricted" refuses it; take a user of your image, or 65532
{{- end }}
{{- range $name := list "agent" "sidecar" }}
{{- range $key := list "runAsUser" "runAsGroup" }}
{{- $context := (get $.Values $name).securityContext }}
{{- if hasKey $context $key }}
{{- if ne (int (get $context $key)) (int (get $pod $key)) }}
- {{ $name }}.securityContext.{{ $key }} is {{ int (get $context $key) }} and pod.{{ $key }} is {{ int (get $pod $key) }}: both containers need the same one, because connecting to the agent's socket needs write permission on it; set pod.{{ $key }} alone
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Milliseconds that the waits in stop.signal add up to: "USR1 wait 20s, TERM", or a list of such. */}}
{{- define "molecule-sidecar.signalWaits" -}}
{{- $text := kindIs "slice" . | ternary (join "," .) (toString .) -}}
{{- $sum := 0 -}}
{{- range regexFindAll "wait +[0-9]+(ms|s|m|h|d)" $text -1 -}}
{{- $sum = add $sum (regexReplaceAll "^wait +" . "" | include "molecule-sidecar.milliseconds") -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* The sums of the sidecar (docs/configuration.md, stop): what somebody set must fit, the rest is computed so that it does. */}}
{{- define "molecule-sidecar.guards.termination" -}}
{{- $t := .Values.termination -}}
{{- $stop := dig "stop" dict .Values.sidecar.config | default dict -}}
{{- $grace := int $t.gracePeriodSeconds -}}
{{- $names := list -}}
{{- $drain := 0 -}}
{{- if not (kindIs "invalid" $t.drainDelaySeconds) -}}
{{- $drain = mul 1000 (int $t.drainDelaySeconds) -}}
{{- $names = append $names (printf "termination.drainDelaySeconds (%d s)" (int $t.drainDelaySeconds)) -}}
{{- end -}}
{{- if hasKey $stop "drain_timeout" -}}
{{- $drain = add $drain (include "molecule-sidecar.milliseconds" $stop.drain_timeout) -}}
{{- $names = append $names (printf "sidecar.config.stop.drain_timeout (%v)" $stop.drain_timeout) -}}
{{- end -}}
{{- $agent := 0 -}}
{{- if not (kindIs "invalid" $t.agentGraceSeconds) -}}
{{- $agent = mul 1000 (int $t.agentGraceSeconds) -}}
{{- $names = append $names (printf "termination.agentGraceSeconds (%d s)" (int $t.agentGraceSeconds)) -}}
{{- else if hasKey $stop "signal" -}}
{{- $agent = include "molecule-sidecar.signalWaits" $stop.signal | int64 -}}
{{- if $agent -}}{{- $names = append $names (printf "the waits of sidecar.config.stop.signal (%d s)" (div $agent 1000)) -}}{{- end -}}
{{- end -}}
{{- $sum := eq (get $stop "order" | toString) "signal-first" | ternary (max $drain $agent) (add $drain $agent) -}}
{{- if hasKey $stop "reserve" -}}
{{- $sum = add $sum (include "molecule-sidecar.milliseconds" $stop.reserve) -}}
{{- $names = append $names (printf "sidecar.config.stop.reserve (%v)" $stop.reserve) -}}
{{- end -}}
{{- if lt $grace 1 }}
- termination.gracePeriodSeconds is {{ $grace }}: must be 1 to 86400; with 0 the kubelet kills at once and nothing is drained
{{- else if gt (int64 $sum) (mul 1000 $grace) }}
- termination.gracePeriodSeconds is {{ $grace }}, less than what {{ join ", " $names }} add up to ({{ divf $sum 1000 }} s): make it longer, or these shorter
{{- end }}
{{- range $key := list "drainDelaySeconds" "agentGraceSeconds" }}
{{- $seconds := get $t $key }}
{{- if and (not (kindIs "invalid" $seconds)) (ge $grace 1) (eq (int $seconds) $grace) }}
- termination.{{ $key }} is {{ int $seconds }}, all of termination.gracePeriodSeconds: nothing would be left for the rest of the stop; make it shorter, or leave it empty
{{- end }}
{{- end }}
{{- if and (hasKey $stop "signal") (not (kindIs "invalid" $t.agentGraceSeconds)) }}
{{- $waits := include "molecule-sidecar.signalWaits" $stop.signal | int64 }}
{{- if gt $waits (mul 1000 (int $t.agentGraceSeconds)) }}
- termination.agentGraceSeconds is {{ int $t.agentGraceSeconds }}, less than the waits of sidecar.config.stop.signal ({{ divf $waits 1000 }} s): make it longer, or leave it empty
{{- end }}
{{- end }}
{{- if and $t.drainCapability (not (regexMatch "^[A-Za-z0-9_-]{16,}$" $t.drainCapability)) }}
- termination.drainCapability must be 16 or more characters of A-Z a-z 0-9 - _ that nobody can guess, for example from `openssl rand -hex 16`; or leave it empty
{{- end }}
{{- end -}}

{{/* Keys of the configuration that the chart makes, and the value that they are made of; "" = fixed. */}}
{{- define "molecule-sidecar.ownedKeys" -}}
workspace.id: workspace.id
workspace.parent_id: workspace.parentId
platform.enabled: platform.enabled
platform.url: platform.url
platform.token: platform.existingSecret
platform.token_file: platform.existingSecret
platform.org_id: platform.orgId
platform.delivery: platform.delivery
platform.reported_url: platform.reportedUrl
agent.protocol: agent.protocol
agent.address: agent.port
agent.port_env: agent.portEnv
agent.base_path: agent.basePath
agent.ready_path: agent.readyPath
agent.start_timeout: agent.startSeconds
agent.user: pod.runAsUser
listen.address: sidecar.ports.http
admin.address: sidecar.ports.admin
admin.drain_path: termination.drainCapability
control.socket: ""
control.agent_socket: ""
forward.uploads_dir: agent.uploads.dir
stop.grace: termination.gracePeriodSeconds
stop.drain_delay: termination.drainDelaySeconds
stop.agent_grace: termination.agentGraceSeconds
secrets.dir: agent.secrets.dir
state.dir: ""
{{- end -}}

{{/* (a sentence's beginning, the value) */}}
{{- define "molecule-sidecar.insteadSet" -}}
{{- if index . 1 -}}
{{ index . 0 }}, which the chart makes of the value {{ index . 1 }}: set that instead
{{- else -}}
{{ index . 0 }}, which the chart mounts where it has to be: leave it out
{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.guards.config" -}}
{{- $config := .Values.sidecar.config -}}
{{- if regexMatch "^([^/]*//)?[^/?#]*@" (dig "platform" "proxy" "" $config | toString) }}
- sidecar.config.platform.proxy holds a user or a password, and the configuration is a ConfigMap that many may read: take it out, and give the whole URL as MOLECULE_SIDECAR_PLATFORM_PROXY in sidecar.extraEnv, with valueFrom.secretKeyRef
{{- end }}
{{- $listen := get $config "listen" | default dict }}
{{- if ne (empty $listen.tls_cert) (empty $listen.tls_key) }}
- sidecar.config.listen.tls_cert and tls_key go together: set both or none
{{- end }}
{{- range $key, $value := include "molecule-sidecar.ownedKeys" . | fromYaml }}
{{- $path := splitList "." $key }}
{{- if hasKey (get $config (first $path) | default dict) (last $path) }}
- {{ include "molecule-sidecar.insteadSet" (list (printf "sidecar.config sets %s" $key) $value) }}
{{- end }}
{{- end }}
{{- if and (hasKey (get $config "secrets" | default dict) "mode") $.Values.agent.secrets.dir }}
- sidecar.config sets secrets.mode, which is file because agent.secrets.dir is set: leave out one of them
{{- end }}
{{- if and (not (include "molecule-sidecar.isWrapper" .)) (eq (dig "secrets" "mode" "" $config) "env") }}
- sidecar.config.secrets.mode is env, but only in mode: wrapper the sidecar starts the agent and gives it its environment: set agent.secrets.dir, or take mode: wrapper
{{- end }}
{{- if and (not (include "molecule-sidecar.isWrapper" .)) (eq (dig "secrets" "mode" "" $config) "file") }}
- sidecar.config.secrets.mode is file, but the agent would not see the files: set agent.secrets.dir instead
{{- end }}
{{- end -}}

{{/* Variables that win over the file, with the value that is to be set instead. */}}
{{- define "molecule-sidecar.ownedVariables" -}}
{{- range $key, $value := include "molecule-sidecar.ownedKeys" . | fromYaml }}
MOLECULE_SIDECAR_{{ $key | replace "." "_" | upper }}: {{ $value | quote }}
{{- end }}
MOLECULE_SIDECAR_CONFIG: sidecar.config
MOLECULE_SIDECAR_SOCKET: ""
MOLECULE_AGENT_SOCKET: agent.port
TERMINATION_GRACE_PERIOD_SECONDS: termination.gracePeriodSeconds
RUNTIME_DIRECTORY: ""
WORKSPACE_ID: workspace.id
MOLECULE_WORKSPACE_ID: workspace.id
MOLECULE_WORKSPACES: workspace.id
PLATFORM_URL: platform.url
MOLECULE_PLATFORM_URL: platform.url
MOLECULE_API_URL: platform.url
MOLECULE_WORKSPACE_TOKEN: platform.existingSecret
MOLECULE_WORKSPACE_TOKEN_FILE: platform.existingSecret
MOLECULE_API_KEY: platform.existingSecret
MOLECULE_ORG_ID: platform.orgId
ORG_ID: platform.orgId
MOLECULE_REPORTED_URL: platform.reportedUrl
AGENT_URL: platform.reportedUrl
{{- end -}}

{{/* The agent's own variables may have any name but those that the chart gives it, and, wrapping, those that the sidecar reads. */}}
{{- define "molecule-sidecar.guards.variables" -}}
{{- $owned := include "molecule-sidecar.ownedVariables" . | fromYaml -}}
{{- $mine := merge (dict "PORT" "sidecar.ports.http") $owned -}}
{{- $agents := pick $owned "MOLECULE_SIDECAR_SOCKET" "MOLECULE_AGENT_SOCKET" "TERMINATION_GRACE_PERIOD_SECONDS" -}}
{{- if include "molecule-sidecar.isWrapper" . -}}{{- $agents = $owned -}}{{- end -}}
{{- if and .Values.agent.portEnv (eq (include "molecule-sidecar.protocol" .) "http") -}}
{{- $agents = merge (dict .Values.agent.portEnv "agent.port (and its name of agent.portEnv)") $agents -}}
{{- end -}}
{{- range .Values.sidecar.extraEnv }}
{{- if hasKey $mine .name }}
- {{ include "molecule-sidecar.insteadSet" (list (printf "sidecar.extraEnv sets %s" .name) (get $mine .name)) }}
{{- else if hasPrefix "MOLECULE_SIDECAR_STOP_" .name }}
- sidecar.extraEnv sets {{ .name }}, which the sums of termination would not know of: put it into sidecar.config.stop
{{- end }}
{{- end }}
{{- range .Values.agent.env }}
{{- if hasKey $agents .name }}
- {{ include "molecule-sidecar.insteadSet" (list (printf "agent.env sets %s" .name) (get $agents .name)) }}
{{- else if and (include "molecule-sidecar.isWrapper" $) (hasPrefix "MOLECULE_SIDECAR_STOP_" .name) }}
- agent.env sets {{ .name }}, which the sidecar in the agent's container reads and the sums of termination would not know of: put it into sidecar.config.stop
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.flags" -}}
{{- $owned := include "molecule-sidecar.ownedKeys" . | fromYaml -}}
{{- range $arg := .Values.sidecar.extraArgs }}
{{- if eq $arg "--" }}
- sidecar.extraArgs holds --, after which the agent's command begins: that is agent.command, with mode: wrapper
{{- end }}
{{- if hasPrefix "--stop-" $arg }}
- sidecar.extraArgs holds {{ first (splitList "=" $arg) }}, which the sums of termination would not know of: put it into sidecar.config.stop
{{- else if and (hasPrefix "-" $arg) (not (hasPrefix "--" $arg)) }}
- sidecar.extraArgs holds {{ $arg | quote }}: flags are written --section-key=value
{{- end }}
{{- if eq (first (splitList "=" $arg)) "--config" }}
- sidecar.extraArgs holds --config, and the chart gives its own: put the keys into sidecar.config
{{- end }}
{{- range $key, $value := $owned }}
{{- $flag := printf "--%s" ($key | replace "." "-" | replace "_" "-") }}
{{- if eq (first (splitList "=" $arg)) $flag }}
- {{ include "molecule-sidecar.insteadSet" (list (printf "sidecar.extraArgs holds %s" $flag) $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.volumes" -}}
{{- $seen := dict -}}
{{- range .Values.extraVolumes }}
{{- if hasPrefix "molecule-" .name }}
- extraVolumes holds {{ .name | quote }}: names that begin with molecule- are the chart's; choose another
{{- end }}
{{- if hasKey $seen .name }}
- extraVolumes holds {{ .name | quote }} twice: give each volume a name of its own
{{- end }}
{{- $_ := set $seen .name true }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.containers" -}}
{{- range concat .Values.extraContainers .Values.extraInitContainers }}
{{- if has .name (list "agent" "molecule-sidecar" "molecule-install") }}
- extraContainers or extraInitContainers hold {{ .name | quote }}, which is a container of the chart's: choose another name
{{- end }}
{{- end }}
{{- range $name := list "agent" "sidecar" }}
{{- $context := (get $.Values $name).securityContext | default dict }}
{{- if $context.privileged }}
- {{ $name }}.securityContext.privileged is true: Pod Security "restricted" refuses it, and nothing here needs it; leave it out
{{- end }}
{{- range $key, $value := $context }}
{{- if kindIs "invalid" $value }}
- {{ $name }}.securityContext.{{ $key }} is null, which would take away what Pod Security "restricted" asks for: leave it out
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.agent.env }}
{{- if and (hasKey . "value") (not (kindIs "string" .value)) }}
- agent.env {{ .name }}: its value is {{ .value }}, which is no text: put it in quotes
{{- end }}
{{- end }}
{{- end -}}

{{- define "molecule-sidecar.guards.strategy" -}}
{{- $s := .Values.workload.strategy | default dict -}}
{{- $rolling := $s.rollingUpdate | default dict -}}
{{- if and (eq (toString $s.type) "Recreate") $s.rollingUpdate }}
- workload.strategy is Recreate and has rollingUpdate, which Kubernetes refuses: leave out one of them
{{- end }}
{{- if and (has (toString $rolling.maxSurge) (list "0" "0%")) (has (toString $rolling.maxUnavailable) (list "0" "0%")) }}
- workload.strategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced: let one of them be 1
{{- end }}
{{- end -}}

{{/*
Mounts of one container: no path twice, and none in one of the chart's (a directory cannot be made in a
read-only mount, and sockets and the journal stay alone), but for /tmp. A mount above the chart's does no
harm unless it is read-only.
*/}}
{{- define "molecule-sidecar.guards.mounts" -}}
{{- $all := dict "agent" (concat (include "molecule-sidecar.agentVolumeMounts" . | fromYamlArray) (.Values.agent.volumeMounts | default list)) -}}
{{- if not (include "molecule-sidecar.isWrapper" .) -}}
{{- $_ := set $all "sidecar" (concat (include "molecule-sidecar.volumeMounts" . | fromYamlArray) (.Values.sidecar.extraVolumeMounts | default list)) -}}
{{- end -}}
{{- range $container, $mounts := $all }}
{{- range $i, $one := $mounts }}
{{- range $j, $other := $mounts }}
{{- $a := clean (toString $one.mountPath) }}
{{- $b := clean (toString $other.mountPath) }}
{{- if and (lt $i $j) (eq $a $b) }}
- the {{ $container }}'s container would mount {{ $one.name }} and {{ $other.name }} both at {{ $a }}: give one another path (agent.uploads.dir, agent.secrets.dir or the volume mount of yours)
{{- else if and (ne $a "/tmp") (hasPrefix (print $a "/") $b) (or (hasPrefix "molecule-" $one.name) (and $one.readOnly (hasPrefix "molecule-" $other.name))) }}
- the {{ $container }}'s container would mount {{ $other.name }} at {{ $b }}, inside {{ $one.name }} at {{ $a }}: choose a path outside of it
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
More of _guards.tpl: what Pod Security "restricted" and the API server say of the pod that the values describe, known before either is asked.
*/}}

{{/* Bytes of a quantity: 512Mi, 1.5Gi, 2G; the schema has seen that it is one. */}}
{{- define "molecule-sidecar.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- mulf (regexFind "^[0-9.]+" $text | default "0" | float64) (get $units (regexFind "[A-Za-z]+$" $text) | default 1 | float64) -}}
{{- end -}}

{{/*
Room of the journal of polled messages. It drops old texts from 1 GiB on (docs/journal.md), and beside it lie its log and up to three damaged
ones that were set aside: on less the kubelet evicts the pod, or the disk is full, before the journal begins to trim itself.
*/}}
{{- define "molecule-sidecar.guards.room" -}}
{{- $s := .Values.state -}}
{{- if and (include "molecule-sidecar.isPoll" .) (not (and (eq $s.type "pvc") $s.pvc.existingClaim)) -}}
{{- $key := eq $s.type "pvc" | ternary "state.pvc.size" "state.sizeLimit" -}}
{{- $size := eq $s.type "pvc" | ternary $s.pvc.size $s.sizeLimit -}}
{{- if lt (include "molecule-sidecar.bytes" $size | float64) (include "molecule-sidecar.bytes" "2Gi" | float64) }}
- {{ $key }} is {{ $size }}: must be 2Gi or more where messages are polled, for their journal trims itself only at 1 GiB, and its log and damaged ones that were set aside lie beside it; 4Gi holds all of it
{{- end }}
{{- end -}}
{{- end -}}

{{/*
What a security context and ports say themselves against "restricted", a phrase each: (path, context, ports). What a container of the user's
leaves out is not looked at here: the namespace decides whether that is a mistake.
*/}}
{{- define "molecule-sidecar.unrestricted" -}}
{{- $path := index . 0 -}}
{{- $context := index . 1 | default dict -}}
{{- if and $context.privileged (hasPrefix "extra" $path) }}
{{ $path }}.securityContext.privileged is true
{{- end }}
{{- if $context.allowPrivilegeEscalation }}
{{ $path }}.securityContext.allowPrivilegeEscalation is true
{{- end }}
{{- if and (hasKey $context "runAsNonRoot") (not $context.runAsNonRoot) }}
{{ $path }}.securityContext.runAsNonRoot is false
{{- end }}
{{- with $context.capabilities }}
{{- range .add }}
{{- if ne (toString .) "NET_BIND_SERVICE" }}
{{ $path }}.securityContext.capabilities.add holds {{ . }}
{{- end }}
{{- end }}
{{- if and (hasKey . "drop") (not (has "ALL" (.drop | default list))) }}
{{ $path }}.securityContext.capabilities.drop does not hold ALL
{{- end }}
{{- end }}
{{- range $key := list "seccompProfile" "appArmorProfile" }}
{{- if eq (dig "type" "" (get $context $key | default dict) | toString) "Unconfined" }}
{{ $path }}.securityContext.{{ $key }}.type is Unconfined
{{- end }}
{{- end }}
{{- if ne ($context.procMount | default "Default") "Default" }}
{{ $path }}.securityContext.procMount is {{ $context.procMount }}
{{- end }}
{{- with $context.seLinuxOptions }}
{{- if or .user .role (not (has (.type | default "") (list "" "container_t" "container_init_t" "container_kvm_t" "container_engine_t"))) }}
{{ $path }}.securityContext.seLinuxOptions names a user, a role or a type of its own
{{- end }}
{{- end }}
{{- range index . 2 }}
{{- if .hostPort }}
{{ $path }}.ports holds hostPort {{ int .hostPort }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
"restricted" is a promise of each rendering. An agent may have a reason to break it (one that keeps sandboxes of its own, say); then somebody
writes the reason down, and the namespace has to allow it. The sidecar has none.
*/}}
{{- define "molecule-sidecar.guards.restricted" -}}
{{- $phrases := include "molecule-sidecar.unrestricted" (list "agent" .Values.agent.securityContext .Values.agent.ports) -}}
{{- range $list := list "extraInitContainers" "extraContainers" -}}
{{- range get $.Values $list -}}
{{- $phrases = print $phrases (include "molecule-sidecar.unrestricted" (list (printf "%s %v" $list .name) .securityContext .ports)) -}}
{{- end -}}
{{- end -}}
{{- range $volume := .Values.extraVolumes -}}
{{- range $kind := keys (omit $volume "name") | sortAlpha -}}
{{- if not (has $kind (list "configMap" "csi" "downwardAPI" "emptyDir" "ephemeral" "persistentVolumeClaim" "projected" "secret")) -}}
{{- $phrases = printf "%s\nextraVolumes %s is of the kind %s" $phrases $volume.name $kind -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not .Values.pod.notRestrictedBecause -}}
{{- range splitList "\n" $phrases | compact }}
- {{ . }}: Pod Security "restricted" refuses it; leave it out, or say in pod.notRestrictedBecause why it has to be
{{- end }}
{{- end -}}
{{- range splitList "\n" (include "molecule-sidecar.unrestricted" (list "sidecar" .Values.sidecar.securityContext list)) | compact }}
- {{ . }}: Pod Security "restricted" refuses it, and the sidecar does not need it; leave it out
{{- end }}
{{- end -}}

{{/* Names that have to be there once, and a name server. In another chart's pod (kind None) the volumes are that one's own. */}}
{{- define "molecule-sidecar.guards.references" -}}
{{- $seen := dict -}}
{{- range concat .Values.extraInitContainers .Values.extraContainers }}
{{- if hasKey $seen .name }}
- extraContainers or extraInitContainers hold {{ .name | quote }} twice: give each container a name of its own
{{- end }}
{{- $_ := set $seen .name true }}
{{- end }}
{{- if ne .Values.workload.kind "None" -}}
{{- $volumes := dict "molecule-state" true -}}
{{- range concat (include "molecule-sidecar.volumes" . | fromYamlArray) .Values.extraVolumes -}}
{{- $_ := set $volumes .name true -}}
{{- end -}}
{{- $mounts := dict "agent.volumeMounts" .Values.agent.volumeMounts "sidecar.extraVolumeMounts" .Values.sidecar.extraVolumeMounts -}}
{{- range $list := list "extraInitContainers" "extraContainers" -}}
{{- range get $.Values $list -}}
{{- $_ := set $mounts (printf "%s %v: volumeMounts" $list .name) (.volumeMounts | default list) -}}
{{- end -}}
{{- end -}}
{{- range $where, $all := $mounts }}
{{- range $all }}
{{- if not (hasKey $volumes (toString .name)) }}
- {{ $where }} holds {{ .name | quote }}, and there is no such volume: add it to extraVolumes, or mend the name
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
{{- if and (eq .Values.pod.dnsPolicy "None") (not .Values.pod.dnsConfig.nameservers) }}
- pod.dnsPolicy is None but pod.dnsConfig has no nameservers, which Kubernetes refuses: add them, or leave pod.dnsPolicy empty
{{- end }}
{{- end -}}

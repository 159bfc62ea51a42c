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

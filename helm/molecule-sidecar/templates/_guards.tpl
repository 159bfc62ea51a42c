{{- define "molecule-sidecar.guards" -}}
{{- end -}}

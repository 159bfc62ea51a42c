{{/*
What the kinds of workloads have of their own.
*/}}

{{/* Two pods at once must not poll for one workspace, nor write one journal. */}}
{{- define "molecule-sidecar.needsRecreate" -}}
{{- if and (has .Values.workload.kind (list "Deployment" "None")) (or (include "molecule-sidecar.isPoll" .) (eq .Values.state.type "pvc")) -}}true{{- end -}}
{{- end -}}

{{- define "molecule-sidecar.strategy" -}}
{{- if .Values.workload.strategy -}}
{{- toYaml .Values.workload.strategy -}}
{{- else if include "molecule-sidecar.needsRecreate" . -}}
type: Recreate
{{- else -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: 1
  maxUnavailable: 0
{{- end -}}
{{- end -}}

{{/*
How many pods. With an autoscaler the number is its own: nothing is said, but where a live object is there, its number is said again, for
an upgrade that takes the field away sets it to 1, the API's default. Never less than minReplicas, so that one that was at 0 comes back.
*/}}
{{- define "molecule-sidecar.replicas" -}}
{{- if include "molecule-sidecar.replicasFixed" . -}}
{{- int .Values.workload.replicas -}}
{{- else -}}
{{- $live := lookup "apps/v1" .Values.workload.kind .Release.Namespace (include "molecule-sidecar.fullname" .) | default dict -}}
{{- if $live -}}{{- max (int (dig "spec" "replicas" 1 $live)) (int .Values.autoscaling.minReplicas) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The spec of a Job, and of the Jobs of a CronJob. By itself a Job makes the next pod as soon as one is being deleted, so that two would be one
workspace for up to the grace; from 1.29 on it can be told to wait for the end. Before, nothing can.
*/}}
{{- define "molecule-sidecar.jobSpec" -}}
{{- if semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version -}}
podReplacementPolicy: Failed
{{ end -}}
{{- include "molecule-sidecar.jobWork" . -}}
{{- end -}}

{{/* Those parts of it that are the same in each cluster. */}}
{{- define "molecule-sidecar.jobWork" -}}
{{- with .Values.workload.job -}}
backoffLimit: {{ int .backoffLimit }}
{{- if not (kindIs "invalid" .activeDeadlineSeconds) }}
activeDeadlineSeconds: {{ int .activeDeadlineSeconds }}
{{- end }}
{{- if not (kindIs "invalid" .ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ int .ttlSecondsAfterFinished }}
{{- end }}
{{- end }}
template:
  {{- include "molecule-sidecar.podTemplate" . | nindent 2 }}
{{- end -}}

{{/*
A Job cannot be changed once it is there, so another template is another Job. The same values are the same one, also after an update of the
cluster: nothing in it is drawn (molecule-sidecar.hasDrain), and what the version of Kubernetes adds is not counted.
*/}}
{{- define "molecule-sidecar.jobName" -}}
{{- printf "%s-%s" (include "molecule-sidecar.fullname" .) (include "molecule-sidecar.jobWork" . | sha256sum | trunc 8) -}}
{{- end -}}

{{- define "molecule-sidecar.claimSpec" -}}
{{- with .Values.state.pvc -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClassName }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end }}
{{- end -}}

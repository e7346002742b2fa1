{{- define "faceline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for what Kubernetes and this chart append. */}}
{{- define "faceline.fullname" -}}
{{- $name := include "faceline.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "faceline.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "faceline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "faceline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Pods beside the workers have another name, or selectors, which are name and instance, would take them for workers. */}}
{{- define "faceline.besideName" -}}
{{- printf "%s-admin" (include "faceline.name" . | trunc 57 | trimSuffix "-") -}}
{{- end -}}

{{/* (dict "root" . "component" "worker"), "beside" true for pods that are no workers, "more" labels that go before the
     common ones: a name that stood twice would be a key that stands twice. */}}
{{- define "faceline.labels" -}}
helm.sh/chart: {{ include "faceline.chart" .root }}
{{ include "faceline.podLabels" . }}
{{- end -}}

{{/* The same but for the chart's version: a chart that brings another dashboard must not roll the workers. */}}
{{- define "faceline.podLabels" -}}
app.kubernetes.io/name: {{ ternary (include "faceline.besideName" .root) (include "faceline.name" .root) (default false .beside) }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: faceline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with merge dict (default dict .more) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "faceline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "faceline.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "faceline.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- $default := printf "%s%s" .Chart.AppVersion (ternary "-gpu" "" (eq $image.variant "gpu")) -}}
{{- printf "%s:%s" $image.repository (default $default $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" where an object of the operators' kinds is wanted and can be had; checks.yaml refuses what can't. */}}
{{- define "faceline.hasOperator" -}}
{{- if and (ne (toString .enabled) "false") (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}true{{- end -}}
{{- end -}}

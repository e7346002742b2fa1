{{/* Ports of the bootstrap servers and those named beside them, separated by commas, each once. */}}
{{- define "faceline.kafkaPorts" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.config.kafka.bootstrap_servers -}}
{{- $port := regexFind "[0-9]+$" (trim .) -}}
{{- $ports = append $ports (default "9092" $port) -}}
{{- end -}}
{{- range $name, $port := .Values.networkPolicy.kafkaPorts -}}{{- $ports = append $ports (int $port | toString) -}}{{- end -}}
{{- $ports | uniq | join "," -}}
{{- end -}}

{{/* Where traces go; empty where none are sent. */}}
{{- define "faceline.collectorPort" -}}
{{- if eq (include "faceline.setting" (dict "root" . "path" "tracing.enabled" "default" false)) "true" -}}
{{- $endpoint := include "faceline.setting" (dict "root" . "path" "tracing.endpoint" "default" "") -}}
{{- if not $endpoint -}}{{- $endpoint = toString (default "" .Values.env.OTEL_EXPORTER_OTLP_ENDPOINT) -}}{{- end -}}
{{- $port := regexFind ":[0-9]+" (regexReplaceAll "^[a-z]+://" $endpoint "") | trimPrefix ":" -}}
{{- $usual := ternary "443" (ternary "80" "4318" (hasPrefix "http://" $endpoint)) (hasPrefix "https://" $endpoint) -}}
{{- default $usual $port -}}
{{- end -}}
{{- end -}}

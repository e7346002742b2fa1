{{/* The port that an address or a URL names, or else the usual one: (dict "of" "[fd00::5]:9093" "default" "9092"). */}}
{{- define "faceline.portOf" -}}
{{- $host := regexReplaceAll "[/?#].*$" (regexReplaceAll "^[A-Za-z_]+://" (trim .of) "") "" -}}
{{- ternary (regexFind "[0-9]+$" $host) .default (regexMatch "^(\\[[^]]*\\]|[^:]*):[0-9]+$" $host) -}}
{{- end -}}

{{/* Ports of the bootstrap servers and those named beside them, separated by commas, each once. */}}
{{- define "faceline.kafkaPorts" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.config.kafka.bootstrap_servers -}}
{{- with trim . -}}{{- $ports = append $ports (include "faceline.portOf" (dict "of" . "default" "9092")) -}}{{- end -}}
{{- end -}}
{{- range $name, $port := .Values.networkPolicy.kafkaPorts -}}{{- $ports = append $ports (int $port | toString) -}}{{- end -}}
{{- $ports | uniq | join "," -}}
{{- end -}}

{{/* The variable that says where traces go; empty where config.tracing.endpoint does, none does, or none are sent. */}}
{{- define "faceline.collectorVariable" -}}
{{- $sent := eq (include "faceline.setting" (dict "root" . "path" "tracing.enabled" "default" false)) "true" -}}
{{- if and $sent (not (include "faceline.setting" (dict "root" . "path" "tracing.endpoint" "default" ""))) -}}
{{- $named := "" -}}
{{- range list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" -}}
{{- if get $.Values.env . -}}{{- $named = . -}}{{- end -}}
{{- end -}}
{{- $named -}}
{{- end -}}
{{- end -}}

{{/* Where traces go; empty where none are sent, or where another object says where: networkPolicy.egress opens that way. */}}
{{- define "faceline.collectorPort" -}}
{{- if eq (include "faceline.setting" (dict "root" . "path" "tracing.enabled" "default" false)) "true" -}}
{{- $endpoint := include "faceline.setting" (dict "root" . "path" "tracing.endpoint" "default" "") -}}
{{- with include "faceline.collectorVariable" . -}}{{- $endpoint = get $.Values.env . -}}{{- end -}}
{{- if kindIs "string" $endpoint -}}
{{- $usual := ternary "443" (ternary "80" "4318" (hasPrefix "http://" $endpoint)) (hasPrefix "https://" $endpoint) -}}
{{- include "faceline.portOf" (dict "of" $endpoint "default" $usual) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Peers by name as the list that Kubernetes wants. */}}
{{- define "faceline.peers" -}}
{{- range $name, $peer := . }}
- {{ toYaml $peer | indent 2 | trim }}
{{- end }}
{{- end -}}

{{/* What every pod needs: names, Kafka, and the ways that were asked for. */}}
{{- define "faceline.egress" -}}
{{- $policy := .Values.networkPolicy -}}
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
  {{- with $policy.dns }}
  to: {{- include "faceline.peers" . | nindent 4 }}
  {{- end }}
- ports:
    {{- range include "faceline.kafkaPorts" . | splitList "," }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with $policy.kafka }}
  to: {{- include "faceline.peers" . | nindent 4 }}
  {{- end }}
{{- range $name, $rule := $policy.egress }}
- {{ toYaml $rule | indent 2 | trim }}
{{- end }}
{{- end -}}

{{/* A change of the number moves partitions, so workers go one at a time and late. */}}
{{- define "faceline.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Percent, value: 100, periodSeconds: 60}, {type: Pods, value: 2, periodSeconds: 60}]
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownStabilizationSeconds }}
  policies: [{type: Pods, value: 1, periodSeconds: 120}]
{{- end -}}

{{/* KEDA's word for the mechanism. */}}
{{- define "faceline.kedaSasl" -}}
{{- $words := dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512" -}}
{{- get $words (include "faceline.setting" (dict "root" . "path" "kafka.sasl_mechanism" "default" "")) -}}
{{- end -}}

{{/* Where KEDA finds user, password and certificates: a TriggerAuthentication's spec; empty where nothing is needed. */}}
{{- define "faceline.kedaParameters" -}}
{{- $sasl := hasPrefix "SASL" (include "faceline.protocol" .) -}}
{{- $secrets := .Values.secrets -}}
{{- $found := list -}}
{{- if $sasl -}}{{- $found = append $found (dict "parameter" "password" "name" $secrets.kafkaPassword.name "key" $secrets.kafkaPassword.key) -}}{{- end -}}
{{- with $secrets.kafkaAuthority -}}{{- if .name -}}{{- $found = append $found (dict "parameter" "ca" "name" .name "key" .key) -}}{{- end -}}{{- end -}}
{{- with $secrets.kafkaClient -}}
{{- if .name -}}
{{- $found = append $found (dict "parameter" "cert" "name" .name "key" .certKey) -}}
{{- $found = append $found (dict "parameter" "key" "name" .name "key" .keyKey) -}}
{{- if .keyPasswordKey -}}{{- $found = append $found (dict "parameter" "keyPassword" "name" .name "key" .keyPasswordKey) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $found -}}
secretTargetRef: {{- toYaml $found | nindent 2 }}
{{- if $sasl }}
configMapTargetRef:
  - {parameter: username, name: {{ include "faceline.fullname" . }}-keda, key: username}
{{- end }}
{{- end -}}
{{- end -}}

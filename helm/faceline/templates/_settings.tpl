{{/* A worker's setting as it will be in force: (dict "root" . "path" "kafka.security_protocol" "default" "PLAINTEXT"). */}}
{{- define "faceline.setting" -}}
{{- $group := index (splitList "." .path) 0 -}}
{{- $name := index (splitList "." .path) 1 -}}
{{- $value := index (index .root.Values.config $group | default dict) $name -}}
{{- if kindIs "invalid" $value -}}{{- .default -}}
{{- else if kindIs "float64" $value -}}{{- ternary (printf "%d" (int64 $value)) (toString $value) (eq (float64 (int64 $value)) $value) -}}
{{- else -}}{{- $value -}}
{{- end -}}
{{- end -}}

{{- define "faceline.port" -}}{{- include "faceline.setting" (dict "root" . "path" "http.port" "default" 9464) -}}{{- end -}}
{{- define "faceline.engine" -}}{{- include "faceline.setting" (dict "root" . "path" "engine.kind" "default" "auto") -}}{{- end -}}
{{- define "faceline.protocol" -}}{{- include "faceline.setting" (dict "root" . "path" "kafka.security_protocol" "default" "PLAINTEXT") -}}{{- end -}}
{{- define "faceline.cacheDir" -}}{{- include "faceline.setting" (dict "root" . "path" "engine.cache_dir" "default" "/var/cache/faceline/engines") -}}{{- end -}}
{{- define "faceline.modelsDir" -}}{{- include "faceline.setting" (dict "root" . "path" "models.dir" "default" "/opt/faceline/models") -}}{{- end -}}
{{- define "faceline.secretsDir" -}}/etc/faceline/secrets{{- end -}}

{{/* The settings file: config, and where the secrets are mounted. */}}
{{- define "faceline.settingsFile" -}}
{{- $dir := include "faceline.secretsDir" . -}}
{{- $kafka := dict -}}
{{- $made := dict "kafka" $kafka -}}
{{- with .Values.secrets -}}
{{- if .kafkaPassword.name -}}{{- $_ := set $kafka "sasl_password_file" (printf "%s/kafka-password" $dir) -}}{{- end -}}
{{- if .kafkaAuthority.name -}}{{- $_ := set $kafka "ssl_cafile" (printf "%s/kafka-authority.pem" $dir) -}}{{- end -}}
{{- if .kafkaClient.name -}}
{{- $_ := set $kafka "ssl_certfile" (printf "%s/kafka-client.pem" $dir) -}}
{{- $_ := set $kafka "ssl_keyfile" (printf "%s/kafka-client.key" $dir) -}}
{{- end -}}
{{- if .galleryKey.name -}}{{- $_ := set $made "encryption" (dict "key_file" (printf "%s/gallery-keys" $dir)) -}}{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $made) -}}
{{- end -}}

{{/* Settings file and secrets in one volume, since nothing can be mounted inside a volume that is read only.
     (dict "root" . "configMap" NAME), "admin" true for the administrator's own secrets, "withoutGallery" true where nobody
     opens it, "bare" true for the settings alone. */}}
{{- define "faceline.settingsVolume" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $admin := ternary .root.Values.admin dict (default false .admin) -}}
{{- $password := ternary $admin.kafkaPassword $secrets.kafkaPassword (not (empty (dig "kafkaPassword" "name" "" $admin))) -}}
{{- $client := default $secrets.kafkaClient.name (dig "kafkaClient" "name" "" $admin) -}}
name: {{ ternary "bare-settings" "settings" (default false .bare) }}
projected:
  defaultMode: 288  # 0440: fsGroup may read it
  sources:
    - configMap:
        name: {{ .configMap }}
        items: [{key: faceline.yaml, path: faceline.yaml}]
    {{- if not .bare }}
    {{- if $password.name }}
    - secret:
        name: {{ $password.name }}
        items: [{key: {{ $password.key | quote }}, path: secrets/kafka-password}]
    {{- end }}
    {{- with $secrets.kafkaAuthority }}
    {{- if .name }}
    - secret:
        name: {{ .name }}
        items: [{key: {{ .key | quote }}, path: secrets/kafka-authority.pem}]
    {{- end }}
    {{- end }}
    {{- with $secrets.kafkaClient }}
    {{- if .name }}
    - secret:
        name: {{ $client }}
        items:
          - {key: {{ .certKey | quote }}, path: secrets/kafka-client.pem}
          - {key: {{ .keyKey | quote }}, path: secrets/kafka-client.key}
    {{- end }}
    {{- end }}
    {{- with $secrets.galleryKey }}
    {{- if and .name (not $.withoutGallery) }}
    - secret:
        name: {{ .name }}
        items: [{key: {{ .key | quote }}, path: secrets/gallery-keys}]
    {{- end }}
    {{- end }}
    {{- end }}
{{- end -}}

{{/* Variables of every container, with "admin" and "bare" as above. The image sets the two folders by variables, which go
     before the file. */}}
{{- define "faceline.env" -}}
{{- $admin := ternary .root.Values.admin dict (default false .admin) -}}
{{- $client := .root.Values.secrets.kafkaClient -}}
- name: FACELINE_CONFIG
  value: /etc/faceline/faceline.yaml
- name: FACELINE_MODELS__DIR
  value: {{ include "faceline.modelsDir" .root | quote }}
- name: FACELINE_ENGINE__CACHE_DIR
  value: {{ include "faceline.cacheDir" .root | quote }}
{{- if and $client.name $client.keyPasswordKey (not .bare) }}
- name: FACELINE_KAFKA__SSL_KEY_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ default $client.name (dig "kafkaClient" "name" "" $admin) }}
      key: {{ $client.keyPasswordKey | quote }}
{{- end }}
{{- with dig "username" "" $admin }}
- name: FACELINE_KAFKA__SASL_USERNAME
  value: {{ . | quote }}
- name: FACELINE_KAFKA__SASL_PASSWORD_FILE  # the workers' may be a file of their own, by config
  value: {{ include "faceline.secretsDir" $ }}/kafka-password
{{- end }}
{{- range $name, $value := .root.Values.env }}
{{- if kindIs "string" $value }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- else }}
- name: {{ $name }}
  valueFrom: {{- toYaml $value.valueFrom | nindent 4 }}
{{- end }}
{{- end }}
{{- end -}}

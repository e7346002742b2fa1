{{/* Each template prints a line for each thing that is wrong. */}}

{{- define "faceline.problems.kafka" -}}
{{- $kafka := .Values.config.kafka | default dict }}
{{- $protocol := include "faceline.protocol" . }}
{{- if not $kafka.bootstrap_servers }}
config.kafka.bootstrap_servers is empty: expected host:port of your brokers, several separated by commas
{{- end }}
{{- range list "sasl_password" "ssl_key_password" }}
{{- if index $kafka . }}
config.kafka.{{ . }} would put a password into a ConfigMap: name a secret in {{ ternary "secrets.kafkaPassword" "secrets.kafkaClient with its keyPasswordKey" (eq . "sasl_password") }}
{{- end }}
{{- end }}
{{- if $kafka.group_instance_id }}
config.kafka.group_instance_id is one name for all workers, expected one a worker: set kind to StatefulSet, then each pod's name is its worker's
{{- end }}
{{- $sessions := include "faceline.setting" (dict "root" . "path" "kafka.session_timeout_seconds" "default" 10) | float64 }}
{{- $transactions := include "faceline.setting" (dict "root" . "path" "kafka.transaction_timeout_seconds" "default" 10) | float64 }}
{{- if gt $transactions $sessions }}
config.kafka.transaction_timeout_seconds {{ $transactions }} is above session_timeout_seconds {{ $sessions }}: lower it, or raise the other; who takes over would wait for the dead worker's transaction
{{- end }}
{{- if hasPrefix "SASL" $protocol }}
{{- range list "sasl_mechanism" "sasl_username" }}
{{- if not (index $kafka .) }}
config.kafka.{{ . }} is missing, and config.kafka.security_protocol {{ $protocol }} needs it
{{- end }}
{{- end }}
{{- if not (or .Values.secrets.kafkaPassword.name $kafka.sasl_password_file $kafka.sasl_password) }}
secrets.kafkaPassword.name is missing, and config.kafka.security_protocol {{ $protocol }} needs a password: name the secret that holds it
{{- end }}
{{- else if or .Values.secrets.kafkaPassword.name .Values.admin.username }}
{{ ternary "secrets.kafkaPassword.name" "admin.username" (not (empty .Values.secrets.kafkaPassword.name)) }} is set, and config.kafka.security_protocol {{ $protocol }} asks for no user: expected SASL_SSL or SASL_PLAINTEXT, or no password
{{- end }}
{{- end -}}

{{- define "faceline.problems.keda" -}}
{{- $kafka := .Values.config.kafka | default dict }}
{{- if and (eq .Values.autoscaling.mode "keda") (eq (toString $kafka.ssl_check_hostname) "false") }}
config.kafka.ssl_check_hostname is false, and KEDA can't leave out names alone: use certificates that name the brokers, or autoscaling.mode hpa
{{- end }}
{{- end -}}

{{- define "faceline.problems.secrets" -}}
{{- $kafka := .Values.config.kafka | default dict }}
{{- $secrets := .Values.secrets }}
{{- $protocol := include "faceline.protocol" . }}
{{- range $secret, $settings := dict "kafkaPassword" (list "sasl_password_file") "kafkaAuthority" (list "ssl_cafile") "kafkaClient" (list "ssl_certfile" "ssl_keyfile") }}
{{- range $settings }}
{{- if and (get $secrets $secret).name (index $kafka .) }}
config.kafka.{{ . }} and secrets.{{ $secret }}.name are both set: expected one of them
{{- end }}
{{- end }}
{{- end }}
{{- if and $secrets.galleryKey.name (index (.Values.config.encryption | default dict) "key_file") }}
config.encryption.key_file and secrets.galleryKey.name are both set: expected one of them
{{- end }}
{{- range list "kafkaAuthority" "kafkaClient" }}
{{- if and (get $secrets .).name (not (hasSuffix "SSL" $protocol)) }}
secrets.{{ . }}.name is set, and config.kafka.security_protocol {{ $protocol }} uses no TLS: expected SSL or SASL_SSL
{{- end }}
{{- end }}
{{- range $secret, $usual := dict "kafkaPassword" "password" "kafkaAuthority" "ca.crt" "galleryKey" "key" }}
{{- $given := get $secrets $secret }}
{{- if and (not $given.name) (ne $given.key $usual) }}
secrets.{{ $secret }}.name is missing: a key is named ({{ $given.key }}), but not its secret
{{- end }}
{{- end }}
{{- with $secrets.kafkaClient }}
{{- if and (not .name) (or .keyPasswordKey (ne .certKey "tls.crt") (ne .keyKey "tls.key")) }}
secrets.kafkaClient.name is missing: keys are named, but not their secret
{{- end }}
{{- end }}
{{- with .Values.admin }}
{{- if and .username (not .kafkaPassword.name) (hasPrefix "SASL" $protocol) }}
admin.kafkaPassword.name is missing: admin.username {{ .username }} needs a password of its own
{{- end }}
{{- if and (not .kafkaPassword.name) (ne .kafkaPassword.key "password") }}
admin.kafkaPassword.name is missing: a key is named ({{ .kafkaPassword.key }}), but not its secret
{{- end }}
{{- if and $.Values.doctor.asAdmin (not (or .username .kafkaClient.name)) }}
doctor.asAdmin is true, and admin names nobody: expected admin.username or admin.kafkaClient.name
{{- end }}
{{- if and .kafkaPassword.name (not .username) }}
admin.username is missing: admin.kafkaPassword.name {{ .kafkaPassword.name }} is of which user?
{{- end }}
{{- if and .kafkaClient.name (not $secrets.kafkaClient.name) }}
admin.kafkaClient.name is set without secrets.kafkaClient.name: expected both, or the workers have no certificate
{{- end }}
{{- end }}
{{- end -}}

{{- define "faceline.problems.workers" -}}
{{- $partitions := int .Values.topics.partitions }}
{{- $scaling := .Values.autoscaling }}
{{- if eq $scaling.mode "none" }}
{{- if gt (int .Values.replicas) $partitions }}
replicas {{ int .Values.replicas }} is above topics.partitions {{ $partitions }}: the others would have nothing to do; lower it, or add partitions to the frames topic and say so in topics.partitions
{{- end }}
{{- else }}
{{- if gt (int $scaling.maxReplicas) $partitions }}
autoscaling.maxReplicas {{ int $scaling.maxReplicas }} is above topics.partitions {{ $partitions }}: the others would have nothing to do; lower it, or add partitions to the frames topic and say so in topics.partitions
{{- end }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
autoscaling.minReplicas {{ int $scaling.minReplicas }} is above autoscaling.maxReplicas {{ int $scaling.maxReplicas }}: expected at most as many
{{- end }}
{{- end }}
{{- if and (eq $scaling.mode "keda") .Values.config.kafka.sasl_password_file (not .Values.secrets.kafkaPassword.name) }}
secrets.kafkaPassword.name is missing, and autoscaling.mode keda needs it: KEDA reads the lag with the workers' password, and can't read a file in their pods
{{- end }}
{{- if and (eq $scaling.mode "hpa") (not (dig "requests" "cpu" "" (default dict .Values.resources))) }}
resources.requests.cpu is missing, and autoscaling.mode hpa scales by a share of it
{{- end }}
{{- if and (eq .Values.kind "StatefulSet") (not (and (eq (int .Values.rollingUpdate.maxSurge) 1) (eq (int .Values.rollingUpdate.maxUnavailable) 0))) }}
rollingUpdate is of a Deployment, and kind is StatefulSet, which replaces one pod after the other: leave it out
{{- end }}
{{- if and (eq .Values.kind "Deployment") (eq (int .Values.rollingUpdate.maxSurge) 0) (eq (int .Values.rollingUpdate.maxUnavailable) 0) }}
rollingUpdate.maxSurge and rollingUpdate.maxUnavailable are both 0: expected one of them above, or no roll-out can begin
{{- end }}
{{- end -}}

{{- define "faceline.problems.engine" -}}
{{- $engine := include "faceline.engine" . }}
{{- $cache := .Values.engineCache }}
{{- $image := .Values.image }}
{{- if and (eq $engine "tensorrt") (not .Values.gpu.resourceName) }}
gpu.resourceName is empty, and config.engine.kind tensorrt needs a GPU: expected what your device plugin offers, such as nvidia.com/gpu (kubectl describe node says it)
{{- end }}
{{- if .Values.gpu.resourceName }}
{{- if eq $engine "onnxruntime" }}
gpu.resourceName {{ .Values.gpu.resourceName }} would stand idle, since config.engine.kind is onnxruntime: set that to tensorrt, or the resource to ""
{{- end }}
{{- if and (eq $image.variant "cpu") (not (or $image.tag $image.digest)) }}
image.variant is cpu, and gpu.resourceName {{ .Values.gpu.resourceName }} needs TensorRT in the image: expected gpu, or a tag of your own image
{{- end }}
{{- end }}
{{- if and (eq $cache.type "hostPath") (not $cache.hostPath.path) }}
engineCache.hostPath.path is empty, and engineCache.type hostPath needs it: expected a folder on each node that uid 10001 may write
{{- end }}
{{- if and (eq $cache.type "pvc") (eq .Values.kind "Deployment") (not $cache.pvc.existingClaim) (ne $cache.pvc.accessMode "ReadWriteMany") }}
engineCache.pvc.accessMode {{ $cache.pvc.accessMode }} can't be shared by the pods of a Deployment: expected ReadWriteMany and a storage class that has it, or kind StatefulSet, whose pods have a claim each
{{- end }}
{{- end -}}

{{- define "faceline.problems.network" -}}
{{- if .Values.networkPolicy.enabled }}
{{- with include "faceline.collectorVariable" . }}
{{- if and (not (kindIs "string" (get $.Values.env .))) (not $.Values.networkPolicy.egress) }}
env.{{ . }} is another object's, so networkPolicy can't know its port: expected config.tracing.endpoint, a text, or a rule of networkPolicy.egress that leads to the collector
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "faceline.problems.operators" -}}
{{- $has := .Capabilities.APIVersions }}
{{- range list "podMonitor" "prometheusRule" }}
{{- if and (eq (toString (get $.Values .).enabled) "true") (not ($has.Has "monitoring.coreos.com/v1")) }}
{{ . }}.enabled is true, and this cluster has no monitoring.coreos.com/v1: install the Prometheus operator first, or set it to auto or false (with helm template: --api-versions monitoring.coreos.com/v1)
{{- end }}
{{- end }}
{{- if and (eq .Values.autoscaling.mode "keda") (not ($has.Has "keda.sh/v1alpha1")) }}
autoscaling.mode is keda, and this cluster has no keda.sh/v1alpha1: install KEDA first, or set it to hpa or none (with helm template: --api-versions keda.sh/v1alpha1)
{{- end }}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" }}
{{- with (fromYaml ($.Files.Get $path)).Error }}
{{ $path }} can't be read, so this chart is broken: {{ . | replace "\n" " " }}
{{- end }}
{{- end }}
{{- $names := include "faceline.alertNames" . | trim | splitList "\n" | sortAlpha }}
{{- range $name, $_ := .Values.prometheusRule.alerts }}
{{- if not (has $name $names) }}
prometheusRule.alerts.{{ $name }} names no alert: expected one of {{ join ", " $names }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "faceline.problems.pods" -}}
{{- if eq .Values.image.tag "latest" }}
image.tag latest is no version, so pods would differ: expected a version, or leave it empty for {{ .Chart.AppVersion }}
{{- end }}
{{- $port := include "faceline.port" . | int }}
{{- if lt $port 1024 }}
config.http.port {{ $port }} can't be probed: expected 1024 or above; workers aren't root, and with 0 nobody knows the port
{{- end }}
{{- $host := include "faceline.setting" (dict "root" . "path" "http.host" "default" "0.0.0.0") }}
{{- if not (has $host (list "0.0.0.0" "::")) }}
config.http.host {{ $host }} can't be reached by probes and Prometheus: expected 0.0.0.0, or :: for IPv6
{{- end }}
{{- range $name, $_ := .Values.env }}
{{- if hasPrefix "FACELINE_" (upper $name) }}
env.{{ $name }} would go before config unseen: expected the setting under config
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.extraVolumeMounts }}
{{- if not (hasKey $.Values.extraVolumes $name) }}
extraVolumeMounts.{{ $name }} mounts no volume: expected one of that name in extraVolumes
{{- end }}
{{- end }}
{{- $commit := add (include "faceline.setting" (dict "root" . "path" "kafka.transaction_timeout_seconds" "default" 10) | float64 | ceil | int) (include "faceline.setting" (dict "root" . "path" "kafka.request_timeout_seconds" "default" 10) | float64 | ceil | int) }}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $commit) }}
terminationGracePeriodSeconds {{ int .Values.terminationGracePeriodSeconds }} may cut a commit off: expected at least {{ $commit }}, the sum of config.kafka.transaction_timeout_seconds and request_timeout_seconds
{{- end }}
{{- end -}}

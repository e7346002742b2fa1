{{/* The template of a worker's pod, the same in a Deployment and in a StatefulSet. */}}
{{- define "faceline.workerTemplate" -}}
metadata:
  annotations:
    checksum/config: {{ include "faceline.settingsFile" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "faceline.podLabels" (dict "root" . "component" "worker" "more" .Values.podLabels) | nindent 4 }}
spec:
  {{- include "faceline.podBasics" . | nindent 2 }}
  serviceAccountName: {{ include "faceline.serviceAccountName" . }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpread }}
  topologySpreadConstraints: {{- include "faceline.topologySpread" $ | trim | nindent 4 }}
  {{- end }}
  {{- $compiles := and .Values.compile.enabled (eq (include "faceline.engine" .) "tensorrt") }}
  {{- if $compiles }}
  initContainers:
    - name: compile
      {{- include "faceline.workerContainer" (dict "root" . "args" "compile, --no-check" "resources" .Values.compile.resources "bare" true) | nindent 6 }}
  {{- end }}
  containers:
    - name: worker
      {{- include "faceline.workerContainer" (dict "root" . "args" "run" "resources" .Values.resources) | nindent 6 }}
      ports:
        - {name: http, containerPort: {{ include "faceline.port" . }}, protocol: TCP}
      {{- with .Values.probes }}
      startupProbe:
        httpGet: {path: /startupz, port: http}
        periodSeconds: {{ .startup.periodSeconds }}
        failureThreshold: {{ .startup.failureThreshold }}
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: {{ .readiness.periodSeconds }}
        failureThreshold: {{ .readiness.failureThreshold }}
        timeoutSeconds: 5
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: {{ .liveness.periodSeconds }}
        failureThreshold: {{ .liveness.failureThreshold }}
        timeoutSeconds: 5
      {{- end }}
  volumes:
    - {{ include "faceline.settingsVolume" (dict "root" . "configMap" (include "faceline.fullname" .)) | indent 6 | trim }}
    {{- if $compiles }}
    - {{ include "faceline.settingsVolume" (dict "root" . "configMap" (include "faceline.fullname" .) "bare" true) | indent 6 | trim }}
    {{- end }}
    {{- include "faceline.volumes" . | nindent 4 }}
    {{- include "faceline.enginesVolume" . | trim | nindent 4 }}
{{- end -}}

{{/* (dict "root" . "args" ARGS "resources" R), and "bare" true for one that needs no secret. */}}
{{- define "faceline.workerContainer" -}}
image: {{ include "faceline.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .args }}]
securityContext: {{- include "faceline.containerSecurity" . | nindent 2 }}
env:
  {{- include "faceline.env" (dict "root" .root "bare" .bare) | nindent 2 }}
  {{- if eq .root.Values.kind "StatefulSet" }}
  - name: FACELINE_KAFKA__GROUP_INSTANCE_ID
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- end }}
resources: {{- include "faceline.resourcesWithGpu" (dict "root" .root "resources" .resources) | nindent 2 }}
volumeMounts:
  {{- include "faceline.mounts" (dict "root" .root "settings" (ternary "bare-settings" "settings" (default false .bare))) | nindent 2 }}
  - {name: engines, mountPath: {{ include "faceline.cacheDir" .root | quote }}}
{{- end -}}

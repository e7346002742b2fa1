{{/* What holds for every pod: (dict "root" . ). The Pod Security Standard "restricted". */}}
{{- define "faceline.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false  # a Service called faceline would set FACELINE_PORT, which is no setting
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range $name, $wanted := . }}
  {{- if $wanted }}
  - name: {{ $name }}
  {{- end }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- range $name, $toleration := . }}
  - {{ toYaml $toleration | indent 4 | trim }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "faceline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* (dict "root" . "resources" R): R, and the GPU where there is one. */}}
{{- define "faceline.resourcesWithGpu" -}}
{{- $made := deepCopy (default dict .resources) -}}
{{- with .root.Values.gpu -}}
{{- if .resourceName -}}
{{- $gpu := dict .resourceName (int .count) -}}
{{- $_ := set $made "limits" (mergeOverwrite (default dict $made.limits) $gpu) -}}
{{- $_ := set $made "requests" (mergeOverwrite (default dict $made.requests) $gpu) -}}
{{- end -}}
{{- end -}}
{{- toYaml $made -}}
{{- end -}}

{{/* (dict "root" . "settings" VOLUME), by default the one with secrets. */}}
{{- define "faceline.mounts" -}}
- {name: {{ default "settings" .settings }}, mountPath: /etc/faceline, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.models.existingClaim }}
- {name: models, mountPath: {{ include "faceline.modelsDir" .root | quote }}, readOnly: true}
{{- end }}
{{- range $name, $mount := .root.Values.extraVolumeMounts }}
- {{ toYaml (merge (dict "name" $name) $mount) | indent 2 | trim }}
{{- end }}
{{- end -}}

{{- define "faceline.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmpSize }}}
{{- if .Values.models.existingClaim }}
- name: models
  persistentVolumeClaim: {claimName: {{ .Values.models.existingClaim }}, readOnly: true}
{{- end }}
{{- range $name, $volume := .Values.extraVolumes }}
- {{ toYaml (merge (dict "name" $name) $volume) | indent 2 | trim }}
{{- end }}
{{- end -}}

{{/* A StatefulSet's own claims are no volumes of its template. */}}
{{- define "faceline.enginesVolume" -}}
{{- $cache := .Values.engineCache -}}
{{- if eq $cache.type "emptyDir" }}
- name: engines
  emptyDir: {sizeLimit: {{ $cache.size }}}
{{- else if eq $cache.type "hostPath" }}
- name: engines
  hostPath: {path: {{ $cache.hostPath.path | quote }}, type: Directory}
{{- else if or $cache.pvc.existingClaim (eq .Values.kind "Deployment") }}
- name: engines
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-engines" (include "faceline.fullname" .)) $cache.pvc.existingClaim }}
{{- end }}
{{- end -}}

{{- define "faceline.engineClaim" -}}
accessModes: [{{ .accessMode }}]
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: {storage: {{ .size }}}
{{- end -}}

{{- define "faceline.topologySpread" -}}
{{- $root := . -}}
{{- range $name, $spread := .Values.topologySpread }}
- topologyKey: {{ $spread.topologyKey }}
  maxSkew: {{ default 1 $spread.maxSkew }}
  whenUnsatisfiable: {{ default "ScheduleAnyway" $spread.whenUnsatisfiable }}
  labelSelector:
    matchLabels: {{- include "faceline.selectorLabels" $root | nindent 6 }}
  {{- if eq $root.Values.kind "Deployment" }}
  matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

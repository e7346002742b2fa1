{{/* Groups of a Prometheus rule file, less the alerts that are switched off, plus labels: (dict "root" . "text" FILE). */}}
{{- define "faceline.ruleGroups" -}}
{{- $wanted := .root.Values.prometheusRule -}}
{{- range $group := (fromYaml .text).groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $own := get $wanted.alerts (default "" $rule.alert) | default dict -}}
{{- if $rule.alert -}}
{{- $_ := set $rule "labels" (mergeOverwrite (default dict $rule.labels) (deepCopy $wanted.labels) (deepCopy (default dict $own.labels))) -}}
{{- end -}}
{{- if ne (toString $own.enabled) "false" -}}{{- $rules = append $rules $rule -}}{{- end -}}
{{- end -}}
{{- if $rules }}
- {{ toYaml (set $group "rules" $rules) | indent 2 | trim }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of all alerts, as lines. */}}
{{- define "faceline.alertNames" -}}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" -}}
{{- range $group := (fromYaml ($.Files.Get $path)).groups -}}
{{- range $group.rules -}}{{- with .alert }}{{ . }}{{ "\n" }}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

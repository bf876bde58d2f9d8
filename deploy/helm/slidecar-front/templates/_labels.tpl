{{- define "slidecar-front.selector" -}}
app.kubernetes.io/name: slidecar-front
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "slidecar-front.labels" -}}
{{ include "slidecar-front.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end }}

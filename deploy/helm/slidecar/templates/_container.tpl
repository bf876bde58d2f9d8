{{/*
The container. `.` is the root context of the chart that includes it, whose `.Values.slidecar` this chart fills with defaults.
*/}}
{{- define "slidecar.container" -}}
{{- $values := .Values.slidecar -}}
{{- include "slidecar.check" . -}}
name: slidecar
image: {{ printf "%s:%s" $values.image.repository ($values.image.tag | default .Subcharts.slidecar.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
ports:
  - name: slidecar
    containerPort: {{ include "slidecar.port" . }}
  - name: admin
    containerPort: {{ include "slidecar.adminPort" . }}
env:
  {{- range $name, $value := $values.settings }}
  - name: {{ $name }}
    {{- /* A whole number that YAML has read as a float must not become 1e+06. */}}
    value: {{ (kindIs "float64" $value | ternary (printf "%.0f" (float64 $value)) (toString $value)) | quote }}
  {{- end }}
  {{- range $name, $_ := $values.secrets }}
  - name: {{ $name }}_FILE
    value: /etc/slidecar/key/{{ $name }}
  {{- end }}
  {{- if $values.policyConfigMap }}
  - name: SESSION_POLICY_DIR
    value: /etc/slidecar/policy
  {{- end }}
volumeMounts:
  - name: slidecar-key
    mountPath: /etc/slidecar/key
    readOnly: true
  {{- if $values.policyConfigMap }}
  - name: slidecar-policy
    mountPath: /etc/slidecar/policy
    readOnly: true
  {{- end }}
startupProbe:
  httpGet:
    path: /startupz
    port: admin
  periodSeconds: 1
  failureThreshold: 30
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  failureThreshold: 3
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop:
      - ALL
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* The native sidecar, an item for `initContainers`. */}}
{{- define "slidecar.sidecar" -}}
- {{ include "slidecar.container" . | nindent 2 | trim }}
  restartPolicy: Always
{{- end }}

{{/* Items for `volumes`. */}}
{{- define "slidecar.volumes" -}}
- name: slidecar-key
  projected:
    sources:
      {{- range $name, $from := .Values.slidecar.secrets }}
      - secret:
          name: {{ $from.name | quote }}
          {{- /* What belongs to a rotation comes and goes. */}}
          optional: {{ hasPrefix "JWT_PREVIOUS_" $name }}
          items:
            - key: {{ $from.key | quote }}
              path: {{ $name }}
      {{- end }}
{{- with .Values.slidecar.policyConfigMap }}
- name: slidecar-policy
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end }}

{{/*
`lifecycle` of the APPLICATION's container: it gets SIGTERM first, while requests still come. So it waits until they do not.
*/}}
{{- define "slidecar.lifecycle" -}}
preStop:
  sleep:
    seconds: 5
{{- end }}

{{/* Seconds: 5 of that wait, 30 in which the application may stop, 25 in which slidecar ends what is in flight. */}}
{{- define "slidecar.terminationGracePeriodSeconds" -}}60{{- end }}

{{/* Label of the pods, for a NetworkPolicy or a PodMonitor. */}}
{{- define "slidecar.labels" -}}
slidecar: "on"
{{- end }}

{{/* The port that the Service leads to. By number: names of a sidecar's ports lead nowhere before Kubernetes 1.32. */}}
{{- define "slidecar.port" -}}
{{ (.Values.slidecar.settings.SLIDECAR_LISTEN | default "0.0.0.0:8080") | splitList ":" | last }}
{{- end }}

{{- define "slidecar.adminPort" -}}
{{ (.Values.slidecar.settings.SLIDECAR_ADMIN_LISTEN | default "0.0.0.0:9180") | splitList ":" | last }}
{{- end }}

{{/* What a schema cannot say. */}}
{{- define "slidecar.check" -}}
{{- $values := .Values.slidecar -}}
{{- if not $values.settings.SLIDECAR_UPSTREAM -}}
{{- fail "slidecar.settings.SLIDECAR_UPSTREAM is missing: say where the backend listens, such as http://127.0.0.1:3000" -}}
{{- end -}}
{{- if not (or $values.secrets.JWT_SECRET $values.secrets.JWT_PRIVATE_KEY) -}}
{{- fail "slidecar.secrets has no key: name the Secret that holds the one that the backend signs with, such as JWT_SECRET: {name: legacy, key: JWT_SECRET}" -}}
{{- end -}}
{{- range $name, $_ := $values.secrets -}}
{{- if hasKey $values.settings $name -}}
{{- fail (printf "%s stands in slidecar.settings and in slidecar.secrets; leave it in one of them" $name) -}}
{{- end -}}
{{- end -}}
{{- if $values.policyConfigMap -}}
{{- range list "JWT_EXPIRES_IN" "JWT_DEMO_EXPIRES_IN" "SESSION_REFRESH_THRESHOLD" "SESSION_HEARTBEAT_INTERVAL" "SESSION_TIMEOUT_BUFFER" "SESSION_ABSOLUTE_TIMEOUT" -}}
{{- if hasKey $values.settings . -}}
{{- fail (printf "%s stands in slidecar.settings although slidecar.policyConfigMap holds the clocks: that would be two clocks; remove one" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

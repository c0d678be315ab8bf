{{/* Names and labels that the other templates share. */}}

{{- define "lagrange.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 63 characters, because a Service's name is a DNS label. */}}
{{- define "lagrange.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{- $name := include "lagrange.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Cluster-wide names include the release's namespace, so that two releases may share one. */}}
{{- define "lagrange.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "lagrange.fullname" .) }}
{{- end }}

{{- define "lagrange.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lagrange.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
Not the labels of the operator's Pods: Service and PodDisruptionBudget would count the Pod of
`helm test` too.
*/}}
{{- define "lagrange.testLabels" -}}
app.kubernetes.io/name: {{ include "lagrange.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lagrange.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "lagrange.labels" -}}
helm.sh/chart: {{ include "lagrange.chart" . }}
{{ include "lagrange.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lagrange.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "lagrange.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "lagrange.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end }}
{{- end }}
{{- end }}

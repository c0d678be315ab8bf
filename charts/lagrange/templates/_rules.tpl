{{/*
What the operator may do in a namespace. Each rule says which calls need it; what no call needs is not here.
Used by the ClusterRole and, with watchNamespaces, by a Role in each of them.
*/}}
{{- define "lagrange.rules" -}}
# Watches of what users write.
- apiGroups: [lagrange.dev]
  resources: [consumergroups, kafkaclusters]
  verbs: [list, watch]
# Reads a ConsumerGroup anew when somebody else was faster to write it.
- apiGroups: [lagrange.dev]
  resources: [consumergroups]
  verbs: [get]
# Status: conditions and numbers, and each action before it is taken.
- apiGroups: [lagrange.dev]
  resources: [consumergroups/status, kafkaclusters/status]
  verbs: [patch]
# Watches of targets: rollout, ready replicas and replicas set by hand; get says who set them.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch]
# Scaling: reads the scale right before an action and writes it with that resourceVersion.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, patch]
{{- range .Values.scaleTargets }}
# scaleTargets: who set the replicas of {{ .resource }}.
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource }}]
  verbs: [get]
# scaleTargets: scaling of {{ .resource }}.
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch]
{{- end }}
{{- if .Values.scaleTargets }}
# scaleTargets: readiness and rollout of kinds that only their Pods tell of.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}
# Watch of HorizontalPodAutoscalers: one that holds the same target is not fought.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
# Events: one for each action, and for what lasts.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if not .Values.secrets.namespaces }}
{{ include "lagrange.secretRules" . }}
{{- end }}
{{- end }}

{{/* What it may do where credentials are: in every namespace that it works in, or in those of secrets.namespaces. */}}
{{- define "lagrange.secretRules" -}}
# Watches of the Secrets and ConfigMaps that tls and sasl name: one for each, by its name. RBAC cannot know the names beforehand.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [list, watch]
{{- end }}

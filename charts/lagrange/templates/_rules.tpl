{{/*
What the operator may do in a namespace. Each rule says which calls need it; what no call needs is not here.
Used by the ClusterRole and, with watchNamespaces, by a Role in each of them.
*/}}
{{- define "lagrange.rules" -}}
# Watches of what users write.
- apiGroups: [lagrange.dev]
  resources: [consumergroups, kafkaclusters]
  verbs: [list, watch]
# Status: conditions and numbers, and each action before it is taken.
- apiGroups: [lagrange.dev]
  resources: [consumergroups/status, kafkaclusters/status]
  verbs: [patch]
# Watches of targets: rollout, ready replicas and replicas set by hand.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [list, watch]
# Scaling: reads the scale right before an action and writes it with that resourceVersion.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, patch]
{{- range .Values.scaleTargets }}
# scaleTargets: scaling of {{ .resource }}.
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch]
{{- end }}
{{- if .Values.scaleTargets }}
# scaleTargets: rollout of kinds that only their Pods tell of.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}
# Watch of HorizontalPodAutoscalers: one that holds the same target is not fought.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
# Events: one for each action; patch counts a repeated one up.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

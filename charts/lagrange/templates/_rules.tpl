{{/*
What the operator may do in a namespace. Each rule says which calls need it. A right that no call
needs is not here. Used by the ClusterRole and, with watchNamespaces, by a Role in each of them.
*/}}
{{- define "lagrange.rules" -}}
# Watches of the resources that users write.
- apiGroups: [lagrange.dev]
  resources: [consumergroups, kafkaclusters]
  verbs: [list, watch]
# Reads a ConsumerGroup again after a conflict with another write.
- apiGroups: [lagrange.dev]
  resources: [consumergroups]
  verbs: [get]
# Status: conditions, numbers, and each action before it is taken.
- apiGroups: [lagrange.dev]
  resources: [consumergroups/status, kafkaclusters/status]
  verbs: [patch]
# Watches of targets: rollout, ready replicas, external changes; get shows who made these.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch]
# Scaling: reads the scale just before an action and writes it with that resourceVersion.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, patch]
{{- range .Values.scaleTargets }}
# scaleTargets: shows who changed the replicas of {{ .resource }}.
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource }}]
  verbs: [get]
# scaleTargets: scaling of {{ .resource }}.
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch]
{{- end }}
{{- if .Values.scaleTargets }}
# scaleTargets: readiness and rollout of kinds that only their Pods show.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}
# Watch of HorizontalPodAutoscalers: Lagrange holds while one of them scales the same target.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
# Events: one for each action, and for states that last.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if not .Values.secrets.namespaces }}
{{ include "lagrange.secretRules" . }}
{{- end }}
{{- end }}

{{/*
Rights where credentials are: in every namespace that it watches, or in those of secrets.namespaces.
*/}}
{{- define "lagrange.secretRules" -}}
# Watches of the Secrets and ConfigMaps that tls and sasl name: one for each, by its name. A
# role cannot list the names in advance.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [list, watch]
{{- end }}

{{/*
Rights in the release's namespace, for leader election.
*/}}
{{- define "lagrange.leaderElectionRules" -}}
# Creates the Lease of the leader. A right to create cannot be limited to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# Reads, takes, renews and releases it.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "lagrange.fullname" . | quote }}]
  verbs: [get, update]
{{- end }}

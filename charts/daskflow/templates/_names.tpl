{{- define "daskflow.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The name of the Deployment and of what belongs to it. */}}
{{- define "daskflow.fullname" -}}
{{- $name := include "daskflow.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "daskflow.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (include "daskflow.fullname" .) }}
{{- end -}}

{{- define "daskflow.leaseName" -}}
{{ .Values.leaderElection.leaseName | default (include "daskflow.fullname" .) }}
{{- end -}}

{{/* The first part of a repository is a registry if it has a dot or a colon in it, or is localhost. */}}
{{- define "daskflow.image" -}}
{{- $image := .Values.image -}}
{{- $repository := $image.repository -}}
{{- if $image.registry -}}
{{- $repository = printf "%s/%s" $image.registry (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{- if and $image.digest (not $image.tag) -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods; a Deployment can never change it. The NetworkPolicies of clusters let the operator in
by its name and component, so neither follows nameOverride, or the alias under which another chart has this one. */}}
{{- define "daskflow.selectorLabels" -}}
app.kubernetes.io/name: daskflow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Of every object. */}}
{{- define "daskflow.labels" -}}
{{- include "daskflow.labelsAnd" (dict "root" . "more" dict) -}}
{{- end -}}

{{/* The same and more of the values. Give it a dict of root and more; no key may be there twice, and ours stay. */}}
{{- define "daskflow.labelsAnd" -}}
{{- $ours := fromYaml (include "daskflow.ownLabels" .root) -}}
{{- toYaml (merge $ours .more .root.Values.commonLabels) -}}
{{- end -}}

{{/* Of the operator's pods: without the chart's version, so that a new chart with the same operator leaves them alone. */}}
{{- define "daskflow.podLabels" -}}
{{- toYaml (omit (fromYaml (include "daskflow.labelsAnd" (dict "root" . "more" .Values.podLabels))) "helm.sh/chart") -}}
{{- end -}}

{{- define "daskflow.ownLabels" -}}
{{ include "daskflow.selectorLabels" . }}
app.kubernetes.io/part-of: daskflow
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "daskflow-%s" .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Whether a definition of dask-kubernetes comes from this release: not where something else has installed it, as their chart
does, which would be taken from it. Give it a dict of root and crd. */}}
{{- define "daskflow.installsDaskKubernetes" -}}
{{- $values := .root.Values.compatibility.daskKubernetes -}}
{{- if and .root.Values.crds.enabled $values.enabled $values.crds -}}
{{- $there := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" .crd -}}
{{- $owner := dig "metadata" "annotations" dict $there -}}
{{- $release := get $owner "meta.helm.sh/release-name" -}}
{{- $namespace := get $owner "meta.helm.sh/release-namespace" -}}
{{- if or (not $there) (and (eq $release .root.Release.Name) (eq $namespace .root.Release.Namespace)) -}}
yes
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "daskflow.crdAnnotations" -}}
{{- with merge (ternary (dict "helm.sh/resource-policy" "keep") dict .Values.crds.keep) .Values.crds.annotations -}}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{/* The part of metadata that objects for the monitoring have in common. Give it a dict of root and values. */}}
{{- define "daskflow.monitoringMetadata" -}}
namespace: {{ .values.namespace | default .root.Release.Namespace }}
labels:
  {{- include "daskflow.labelsAnd" (dict "root" .root "more" .values.labels) | nindent 2 }}
{{- with .values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "daskflow.testName" -}}
{{ include "daskflow.fullname" . | trunc 57 | trimSuffix "-" }}-ready
{{- end -}}

{{/* Of the pod of "helm test": not those that select the operator's pods. */}}
{{- define "daskflow.testLabels" -}}
app.kubernetes.io/name: daskflow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{/* Of the page and what belongs to it: nothing that selects the operator's pods finds its pods. */}}
{{- define "daskflow.uiName" -}}
{{ include "daskflow.fullname" . | trunc 60 | trimSuffix "-" }}-ui
{{- end -}}

{{- define "daskflow.uiSelectorLabels" -}}
app.kubernetes.io/name: daskflow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: ui
{{- end -}}

{{- define "daskflow.uiLabels" -}}
{{- toYaml (set (fromYaml (include "daskflow.labels" .)) "app.kubernetes.io/component" "ui") -}}
{{- end -}}

{{- define "daskflow.uiPodLabels" -}}
{{- toYaml (omit (fromYaml (include "daskflow.uiLabels" .)) "helm.sh/chart") -}}
{{- end -}}

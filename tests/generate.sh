#!/bin/bash
# Writes the files that are made from others: the CRDs and the field reference from the Rust types, the rights and the
# metrics from their tables, manifests/install.yaml from the chart.
#
# DASKFLOW names a program that was compiled from these sources; without it, it is compiled.
. "$(dirname "$0")/lib.sh"
cd "$root"
daskflow=(cargo run --quiet --locked --)
[ -z "${DASKFLOW:-}" ] || daskflow=("$DASKFLOW")
"${daskflow[@]}" generate crds --out crds
"${daskflow[@]}" generate crds --out charts/daskflow/templates/crds --helm
"${daskflow[@]}" generate crds --dask-kubernetes --out crds/dask-kubernetes
"${daskflow[@]}" generate crds --dask-kubernetes --out charts/daskflow/templates/crds/dask-kubernetes --helm
# By way of a variable: what fails leaves the file as it was.
rights=$("${daskflow[@]}" generate rbac --helm)
printf '%s\n' "$rights" >charts/daskflow/templates/rbac.yaml
rights=$("${daskflow[@]}" generate rbac --markdown)
printf '%s\n' "$rights" >docs/rights.md
reference=$("${daskflow[@]}" generate crds --markdown)
printf '%s\n' "$reference" >docs/reference.md
# An image is compiled without the pages.
cp docs/troubleshooting.md src/view/troubleshooting.md
metrics=$("${daskflow[@]}" generate metrics)
printf '%s\n' "$metrics" >docs/metrics.md
if ! command -v "${HELM:=helm}" >/dev/null; then # the embedded Kubernetes has one
	tests/cluster.sh build
	HELM=$build/bin/helm
fi
HELM=$HELM manifests/generate.sh

#!/bin/bash
# Writes the files that are made from others: the CRDs and the field reference from the Rust types, the rights and the
# metrics from their tables, manifests/install.yaml from the chart.
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo run --quiet --locked -- crds --out crds
cargo run --quiet --locked -- crds --out charts/daskflow/templates/crds --helm
# By way of a variable: what fails leaves the file as it was.
rights=$(cargo run --quiet --locked -- rbac --helm)
printf '%s\n' "$rights" >charts/daskflow/templates/rbac.yaml
rights=$(cargo run --quiet --locked -- rbac --markdown)
printf '%s\n' "$rights" >docs/rights.md
reference=$(cargo run --quiet --locked -- crds --markdown)
printf '%s\n' "$reference" >docs/reference.md
metrics=$(cargo run --quiet --locked -- metrics)
printf '%s\n' "$metrics" >docs/metrics.md
if ! command -v "${HELM:=helm}" >/dev/null; then # the embedded Kubernetes has one
	tests/cluster.sh build
	HELM=$build/bin/helm
fi
HELM=$HELM manifests/generate.sh

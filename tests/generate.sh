#!/bin/bash
# Writes the files that are made from others: the CRDs from the Rust types, docs/metrics.md from the table of metrics, manifests/install.yaml from the chart.
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo run --quiet --locked -- crds --out crds
cargo run --quiet --locked -- crds --out charts/daskflow/templates/crds --helm
cargo run --quiet --locked -- metrics >docs/metrics.md
if ! command -v "${HELM:=helm}" >/dev/null; then # the embedded Kubernetes has one
	tests/cluster.sh build
	HELM=$build/bin/helm
fi
HELM=$HELM manifests/generate.sh

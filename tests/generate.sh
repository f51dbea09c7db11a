#!/bin/bash
# Writes the files that are made from others: the CRDs and the field reference from the Rust types, manifests/install.yaml
# from the chart.
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo run --quiet --locked -- crds --out crds
cargo run --quiet --locked -- crds --out charts/daskflow/templates/crds --helm
cargo run --quiet --locked -- crds --markdown >"$build/reference.md" # through a file: a failure leaves the page as it was
mv "$build/reference.md" docs/reference.md
if ! command -v "${HELM:=helm}" >/dev/null; then # the embedded Kubernetes has one
	tests/cluster.sh build
	HELM=$build/bin/helm
fi
HELM=$HELM manifests/generate.sh

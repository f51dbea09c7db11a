#!/bin/bash
# Writes the files that are made from the Rust types: CRDs and manifests.
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo run --quiet --locked -- crds --out crds
cargo run --quiet --locked -- manifests --out manifests

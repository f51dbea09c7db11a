#!/bin/bash
# What must be true of the sources before anything runs: format, lints, generated files up to date.
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
tests/supply/deny.sh
tests/generate.sh
generated=(crds manifests charts docs/metrics.md docs/reference.md docs/rights.md)
changed=$(git status --porcelain -- "${generated[@]}")
if [ -n "$changed" ]; then
	git --no-pager diff -- "${generated[@]}"
	fail "generated files are not up to date, or not committed: $changed"
fi

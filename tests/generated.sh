#!/bin/bash
# Fails when a file that is made from others is not what it would be made anew, or is not committed.
. "$(dirname "$0")/lib.sh"
cd "$root"
tests/generate.sh
generated=(crds manifests charts docs/metrics.md docs/reference.md docs/rights.md)
changed=$(git status --porcelain -- "${generated[@]}")
if [ -n "$changed" ]; then
	git --no-pager diff -- "${generated[@]}"
	fail "generated files are not up to date, or not committed: $changed"
fi

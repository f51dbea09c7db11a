#!/bin/bash
# What `daskflow local` costs on this machine: from its start to the first task, beside Dask's own LocalCluster; its memory and
# processor time at rest; and 100 Flows that are due each minute.
#
# DASKFLOW=PATH is the program (default: the release build, which is built first), PYTHON=PATH the Python with Dask (default: that
# of tests/dask/venvs.sh with the newest release), MINUTES=N how long the 100 Flows run (default: 10). SMALL=1: all at the
# smallest size. Results: .build/local/figures.md, and on standard output.
. "$(dirname "$0")/../../tests/lib.sh"

cd "$root"
mkdir -p "$build/local"
if [ -z "${DASKFLOW:-}" ]; then
	cargo build --locked --release --bin daskflow
	DASKFLOW=${CARGO_TARGET_DIR:-target}/release/daskflow
fi
if [ -z "${PYTHON:-}" ]; then
	tests/dask/venvs.sh "$build/dask-venvs"
	PYTHON=$(sed -n 's/^DASKFLOW_DASK_2026_8_0=//p' "$build/dask-venvs")
	[ -n "$PYTHON" ] || fail "there is no Python with Dask 2026.8.0: see tests/dask/venvs.sh, or name one with PYTHON"
fi
small=()
[ -z "${SMALL:-}" ] || small=(--small)
"$PYTHON" benches/local/measure.py --daskflow "$DASKFLOW" --minutes "${MINUTES:-10}" "${small[@]}" | tee "$build/local/figures.md"

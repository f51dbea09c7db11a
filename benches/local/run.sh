#!/bin/bash
# What `daskflow local` costs on this machine: from its start to the first task, beside Dask's own LocalCluster; its memory and
# processor time at rest; and 100 Flows that are due each minute, for MINUTES. Program and sizes: benches/program.sh.
#
# PYTHON=PATH is the Python with Dask (default: that of tests/dask/venvs.sh with the newest release).
. "$(dirname "$0")/../../tests/lib.sh"
. "$root/benches/program.sh"

if [ -z "${PYTHON:-}" ]; then
	"$root/tests/dask/venvs.sh" "$build/dask-venvs"
	PYTHON=$(sed -n 's/^DASKFLOW_DASK_2026_8_0=//p' "$build/dask-venvs")
	[ -n "$PYTHON" ] || fail "there is no Python with Dask 2026.8.0: see tests/dask/venvs.sh, or name one with PYTHON"
fi
figures local "$PYTHON"

#!/bin/bash
# Each bench at its smallest size, in a few minutes: whether it still works. Its figures mean nothing. "make test" runs it.
#
#   small.sh             those that need no cluster
#   small.sh cluster     those that need one, on an embedded cluster of their own with fake nodes
#
# benches/rest is a test of the end-to-end tests, and they run its smallest size.
. "$(dirname "$0")/../tests/lib.sh"
cd "$root"

# Where cargo notes how long tests take, it would run a bench twice.
unset CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER

if [ "${1:-}" != cluster ]; then
	# It compiles the program as well. "cargo build" would compile half of the dependencies anew, without the features that tests need.
	cargo test --locked --bench planning --bench rpc
	SMALL=1 DASKFLOW=${CARGO_TARGET_DIR:-target}/debug/daskflow benches/page/run.sh
	tests/dask/venvs.sh "$build/dask-venvs"
	if grep -q '^DASKFLOW_DASK_2026_8_0=' "$build/dask-venvs"; then
		SMALL=1 DASKFLOW=${CARGO_TARGET_DIR:-target}/debug/daskflow benches/local/run.sh
	else
		say "LEFT OUT: benches/local: there is no Python with Dask 2026.8.0"
		[ "${E2E:-}" != required ] || exit 1
	fi
	exit
fi
export TESTCLUSTER_DIR=$build/small/cluster
finish() {
	end_phase $?
	tests/cluster.sh down
}
trap finish EXIT
tests/cluster.sh down
tests/cluster.sh up --nodes fake --audit >&2
export SMALL=1
benches/burst/run.sh
if benches/peer/venv.sh >/dev/null; then
	benches/peer/run.sh
else
	say "LEFT OUT: benches/peer: the environment of dask-kubernetes cannot be made"
	[ "${E2E:-}" != required ] || exit 1
fi

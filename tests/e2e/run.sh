#!/bin/bash
# The end-to-end tests: run.sh [NAME]
#
# Without a name all of them, on a clean cluster. With one, those whose names hold it, on the cluster that is there; so
# too all of them with E2E_CLUSTER_IS_UP=1, where up.sh has made a clean one a moment before.
# Prints what it leaves out and why; with E2E=required, leaving out is a failure.
. "$(dirname "$0")/../lib.sh"
. "$root/tests/e2e/cluster.sh"

name=${1:-}
choose_cluster
if [ -z "$where" ]; then
	say "LEFT OUT: end-to-end tests: $why_none"
	[ "${E2E:-}" != required ] || fail "E2E=required, and the end-to-end tests cannot run here"
	exit 0
fi
say "end-to-end tests on: $where"
fresh=fresh
[ -z "$name${E2E_CLUSTER_IS_UP:-}" ] || fresh=
phase "cluster up ($where)" bring_up $fresh
phase "images into the cluster" bring_images "${all_images[@]}"
phase "operator into the cluster" install_operator

if [ -z "${DASKFLOW_KUBECLUSTER_PYTHON:-}" ]; then
	DASKFLOW_KUBECLUSTER_PYTHON=$("$root/benches/peer/venv.sh") && export DASKFLOW_KUBECLUSTER_PYTHON || true
fi

# Here every test can run; where E2E=required, each of them must.
unset DASKFLOW_E2E
[ "$where" != embedded ] && [ "${E2E:-}" != required ] || export DASKFLOW_E2E=required
# A thread for each, so that the tests see one another; how many run side by side is for their harness to say.
export RUST_TEST_THREADS=${E2E_THREADS:-200}
log=$build/logs/e2e.log
run_tests() { cd "$root" && cargo test --locked --test e2e -- ${name:+"$name"} | tee "$log"; }
code=0
phase "end-to-end tests" run_tests || code=$?

# The times of all tests, longest first. Those of a whole run are kept: tests/e2e/times.txt is a copy of them.
times=$build/e2e/times.txt
[ -z "$name" ] || times=$build/e2e/times-of-some.txt
sed -n 's/^time: //p' "$log" | sort -k1,1nr -k3 >"$times"
{ echo "times of the end-to-end tests ($times):"; cat "$times"; } >&2
[ $code = 0 ] || {
	save_state
	# At the end, where whoever sees no more than that finds it.
	sed -n '/^failures:$/,/^failures:$/{/panicked at/,/^stack backtrace\|^note: run with\|^$/p}' "$log" | cut -c1-600 | head -n 60 >&2
}
exit $code

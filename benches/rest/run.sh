#!/bin/bash
# What the operator costs at rest, with 1,000 Flows and 100 DaskClusters: its memory, and what it writes in ten minutes.
#
# On an embedded cluster of its own (.build/rest, or TESTCLUSTER_DIR), made anew and stopped at the end. The requests are
# counted twice: by the operator itself (daskflow_api_requests_total), and in the API server's audit log.
# DASKFLOW_REST_S=60 rests shorter; without it, among the end-to-end tests, the same is tried in seconds. Results: .build/rest/figures.txt, and on standard output.
. "$(dirname "$0")/../../tests/lib.sh"
. "$root/tests/e2e/cluster.sh"

export TESTCLUSTER_DIR=${TESTCLUSTER_DIR:-$build/rest/cluster} CLUSTER=embedded DASKFLOW_E2E=required
figures=$build/rest/figures.txt
mkdir -p "$build/rest" "$build/logs"
choose_cluster

finish() {
	end_phase $?
	"$root/tests/cluster.sh" down
}
trap finish EXIT
"$root/tests/cluster.sh" down
"$root/tests/cluster.sh" up --audit >&2
bring_up
bring_images "${all_images[@]}"
install_operator

cd "$root"
export DASKFLOW_REST_S=${DASKFLOW_REST_S:-600}
cargo test --locked --test e2e -- --exact at_rest::at_rest | tee "$figures"

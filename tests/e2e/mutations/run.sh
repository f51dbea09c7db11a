#!/bin/bash
# Every field of every kind changed on living objects, and back: run.sh [NAME]
#
# With names, and commas between them, only the bases whose names hold one of them (bases.rs). On the cluster that is up, with the operator installed anew.
# What was found is printed at the end, and kept in .build/logs/mutations.log. It fails on any anomaly.
. "$(dirname "$0")/../../lib.sh"
. "$root/tests/e2e/cluster.sh"

choose_cluster
[ -n "$where" ] || fail "no cluster for the mutations: $why_none"
say "mutations on: $where"
phase "cluster up ($where)" bring_up
phase "images into the cluster" bring_images "${all_images[@]}"
phase "operator into the cluster" install_operator

log=$build/logs/mutations.log
run_tests() {
	cd "$root"
	DASKFLOW_E2E=required DASKFLOW_MUTATIONS=${1:-} \
		cargo test --locked --test e2e -- --ignored --exact mutations::mutations | tee "$log"
}
phase "mutations" run_tests "${1:-}"

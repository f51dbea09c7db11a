#!/bin/bash
# Many Flows that are due at one instant, beside Kubernetes' CronJobs and the limit: run.sh [FLAGS, see --help of the bench]
#
# On an embedded cluster of its own with fake nodes (.build/burst/cluster, or TESTCLUSTER_DIR), made anew and stopped at the
# end. The operator is a process of this machine, in the release profile; PROFILE=e2e compiles sooner. An hour and a half, most
# of it the controllers of Kubernetes at their limits; --rounds 1 --busy-rounds 0 is a quarter of that. The tables are also
# in .build/burst/tables.md.
#
# SMALL=1: whether all of it works, in seconds, with what "cargo test" has compiled, on a cluster that is up.
. "$(dirname "$0")/../../tests/lib.sh"
. "$root/benches/cluster.sh"

out=$build/burst
export TESTCLUSTER_DIR=${TESTCLUSTER_DIR:-$out/cluster}
mkdir -p "$out"
cd "$root"
if [ -n "${SMALL:-}" ]; then
	begin_cluster
	log=$out/small.log
	cargo test --locked --bench burst -- --small --directory "$TESTCLUSTER_DIR" "$@" >"$log" 2>&1 || { tail -30 "$log" >&2; exit 1; }
	exit
fi

cargo bench --locked --profile "${PROFILE:-bench}" --bench burst --no-run
finish() {
	end_phase $?
	end_cluster
}
trap finish EXIT
begin_cluster --nodes fake
{
	echo "$(date -u +%F), commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- || echo ' with changes'), profile ${PROFILE:-release};" \
		"$(nproc) cores, $(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB," \
		"load before: $(cut -d' ' -f1-3 /proc/loadavg); $(kubectl version | sed -n 's/^Server Version: v/Kubernetes /p')."
	echo "benches/burst/run.sh $*"
	echo
	cargo bench --locked --profile "${PROFILE:-bench}" --bench burst -- --directory "$TESTCLUSTER_DIR" "$@"
} | tee "$out/tables.md"

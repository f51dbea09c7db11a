#!/bin/bash
# A clean cluster with the images of the end-to-end tests in it, for run.sh: up.sh [JOB...]
#
# It waits for these background jobs of the script that starts it (tests/background.sh).
. "$(dirname "$0")/../lib.sh"
. "$root/tests/e2e/cluster.sh"

for job; do
	# One that fails ends the script, and this with it.
	until [ -f "$build/background/$job.done" ]; do sleep 1; done
done
choose_cluster
[ "$where" != current ] || exit 0
# Kubernetes has the priority of the tests, not that of background work.
renice --priority 0 --pid $$ >/dev/null 2>&1 || true
bring_up fresh
renice --priority 19 --pid $$ >/dev/null
bring_images "${all_images[@]}"

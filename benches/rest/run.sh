#!/bin/bash
# What the operator costs at rest, with 1,000 Flows and 100 DaskClusters: its memory, and what it writes in ten minutes.
#
# On an embedded cluster of its own (.build/rest, or TESTCLUSTER_DIR), made anew and stopped at the end. The requests are
# counted twice: by the operator itself (daskflow_api_requests_total), and in the API server's audit log.
# DASKFLOW_REST_S=60 rests shorter. Results: .build/rest/figures.txt, and on standard output.
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
cargo test --locked --test e2e -- --ignored --exact at_rest::at_rest | tee "$figures"

# Every request that writes, by whom, between the two moments that the test printed. A lease is renewed all the time.
read -r begin end < <(sed -n 's/^rest: //p' "$figures")
python3 - "$TESTCLUSTER_DIR/logs/audit.log" "$begin" "$end" <<'END' | tee -a "$figures"
import collections, datetime, json, sys

path, begin, end = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
writes = collections.Counter()
for line in open(path):
    entry = json.loads(line)
    if entry["verb"] not in ("create", "update", "patch", "delete", "deletecollection"):
        continue
    at = datetime.datetime.fromisoformat(entry["requestReceivedTimestamp"].replace("Z", "+00:00"))
    if begin <= at.timestamp() <= end and entry["user"]["username"].startswith("system:serviceaccount:daskflow-system:"):
        target = entry.get("objectRef", {})
        resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
        writes[entry["verb"] + " " + resource] += 1
for what, count in writes.most_common():
    print("figure: rest_audit %s %d requests" % (what, count))
print("figure: rest_audit_writes %d requests" % sum(writes.values()))
END

#!/bin/bash
# Beside dask-kubernetes, on one embedded cluster: run.sh [FLAGS OF measure.py, such as --rounds 3,3,1,1,1,1]
#
# Operators run as processes of this machine, one after the other: ours with its own objects, ours with those of
# dask-kubernetes, and dask-kubernetes. Ours is the program out of the image that tests/images/build.sh makes;
# PROFILE=release makes it as it is published, which takes long; DASKFLOW_PROGRAM=FILE takes another one. The cluster is one of its own (.build/peer/cluster, or TESTCLUSTER_DIR), made anew and stopped at
# the end. Results: .build/peer/results.jsonl, and a table on standard output.
#
# PRIORITY=-10, for machines that do other work as well: etcd, the API server, Kubernetes' controllers and scheduler,
# the operator and the client go before that work; pods do not.
#
# SMALL=1: whether it works, with one cluster of each, the program that "cargo test" has compiled, and the cluster that is up.
. "$(dirname "$0")/../../tests/lib.sh"
. "$root/tests/images/names.sh"
. "$root/benches/cluster.sh"

here=$root/benches/peer
out=$build/peer
export TESTCLUSTER_DIR=${TESTCLUSTER_DIR:-$out/cluster}
mkdir -p "$out"

python=$("$here/venv.sh")

# The operator's image is one layer with one file in it.
program_of_image() {
	local tar=$build/images/operator.tar layer
	layer=$(tar -xOf "$tar" manifest.json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Layers"][-1])')
	tar -xOf "$tar" "$layer" | tar -xO daskflow >"$1.new"
	chmod +x "$1.new" && mv "$1.new" "$1"
}
program=${DASKFLOW_PROGRAM:-$out/daskflow}
if [ -n "${SMALL:-}" ]; then
	program=${CARGO_TARGET_DIR:-$root/target}/debug/daskflow
elif [ -n "${DASKFLOW_PROGRAM:-}" ]; then
	"$root/tests/images/build.sh" dask
else
	"$root/tests/images/build.sh" operator dask
	program_of_image "$program"
fi

measuring=
finish() {
	end_phase $?
	# It stops the operator that runs.
	[ -z "$measuring" ] || { kill "$measuring" 2>/dev/null && wait "$measuring" || true; }
	end_cluster
}
trap finish EXIT
begin_cluster
[ -n "${SMALL:-}" ] || "$build/bin/testcluster" load "$build/images/dask.tar"
site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
chart=$site/dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator
kubectl apply --server-side -f "$chart/crds" >"$out/crds.log"
kubectl wait --for=condition=Established --timeout=60s -f "$chart/crds" >>"$out/crds.log"

# prefer PID: also among sessions, where the kernel shares the processor out between those first.
prefer() {
	[ ! -e "/proc/$1/autogroup" ] || echo "$priority" >"/proc/$1/autogroup"
	renice -n "$priority" -p $(ls "/proc/$1/task") >/dev/null
}
priority=${PRIORITY:-0}
for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do
	prefer "$(cut -d' ' -f1 "$TESTCLUSTER_DIR/pids/$component")"
done

say "load before: $(cut -d' ' -f1-3 /proc/loadavg), cores: $(nproc)"
measure() {
	prefer $BASHPID
	exec "$python" "$here/measure.py" "$@"
}
export -f prefer measure
export priority python here
setsid bash -c 'measure "$@"' measure --kubeconfig "$KUBECONFIG" --audit "$TESTCLUSTER_DIR/logs/audit.log" \
	--program "$program" --image "$image_dask" --directory "$out" --out "$out/${SMALL:+small-}results.jsonl" ${SMALL:+--small} "$@" &
measuring=$!
wait "$measuring"

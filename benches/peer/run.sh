#!/bin/bash
# Beside dask-kubernetes, on one embedded cluster: run.sh [FLAGS OF measure.py, such as --rounds 3,3,1,1,1]
#
# Both operators run as processes of this machine, one after the other. Ours is the program out of the image that
# tests/images/build.sh makes; PROFILE=release makes it as it is published, which takes long. The cluster is one of its
# own (.build/peer/cluster, or TESTCLUSTER_DIR), and is stopped at the end. Results: .build/peer/results.jsonl.
. "$(dirname "$0")/../../tests/lib.sh"
. "$root/tests/images/names.sh"

here=$root/benches/peer
out=$build/peer
export TESTCLUSTER_DIR=${TESTCLUSTER_DIR:-$out/cluster}
mkdir -p "$out"

why=$("$root/tests/cluster.sh" can)
[ -z "$why" ] || fail "$why"
need_packages python3.11=python3.11-venv unshare=util-linux

# The peer's environment, in the cache under the hash of its pins.
venv=$cache/venvs/dask-kubernetes-$(hash_of benches/peer/requirements.txt "python=$(python3.11 -VV)")
make_venv() {
	[ ! -e "$venv/.made" ] || return 0
	say "making ${venv##*/}"
	rm -rf "$venv"
	python3.11 -m venv "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
	touch "$venv/.made"
}
locked "$venv.lock" make_venv

"$root/tests/images/build.sh" operator dask
program=$out/daskflow
layer_of() { tar -xOf "$build/images/operator.tar" manifest.json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Layers"][-1])'; }
tar -xOf "$build/images/operator.tar" "$(layer_of)" | tar -xO daskflow >"$program.new"
chmod +x "$program.new" && mv "$program.new" "$program"

trap 'end_phase $?; "$root/tests/cluster.sh" down' EXIT
"$root/tests/cluster.sh" down
"$root/tests/cluster.sh" up --audit >&2
eval "$("$root/tests/cluster.sh" env)"
"$build/bin/testcluster" load "$build/images/dask.tar"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
chart=$site/dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator
kubectl apply --server-side -f "$root/crds" -f "$chart/crds" >"$out/crds.log"
kubectl wait --for=condition=Established --timeout=60s -f "$root/crds" -f "$chart/crds" >>"$out/crds.log"

say "load before: $(cut -d' ' -f1-3 /proc/loadavg), cores: $(nproc)"
"$venv/bin/python" "$here/measure.py" --kubeconfig "$KUBECONFIG" --audit "$TESTCLUSTER_DIR/logs/audit.log" \
	--program "$program" --image "$image_dask" --directory "$out" --out "$out/results.jsonl" "$@"

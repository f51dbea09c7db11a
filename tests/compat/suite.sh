#!/bin/bash
# The tests of dask-kubernetes 2026.3.0, as they come with its package, with this operator in the place of theirs:
#
#   suite.sh [PYTEST ARGUMENTS]        such as -k simplecluster; DEFINITIONS=theirs: with their definitions instead of ours
#
# On the embedded cluster, or with CLUSTER=current on that of KUBECONFIG, where nothing else of these kinds may be. Each test has a namespace and an operator of its
# own (suite/shim.py). Left out are tests of their own Python: suite/left-out.txt. Their tests install the definitions, and delete
# them at the end, with all objects of these kinds.
. "$(dirname "$0")/../lib.sh"
. "$root/tests/e2e/cluster.sh"
here=$root/tests/compat/suite
stubs=$build/compat-suite
mkdir -p "$stubs"

choose_cluster
[ -n "$where" ] || fail "there is no cluster: $why_none"
bring_up
bring_images operator dask
if [ "$where" = embedded ]; then
	renamed=$stubs/$(basename "$(readlink -f "$build/images/dask.tar")" .tar)-$(hash_of tests/compat/suite/rename.py).tar
	[ -e "$renamed" ] ||
		python3 "$here/rename.py" "$build/images/dask.tar" "$renamed" docker.io/library/dask-kubernetes:dev ghcr.io/dask/dask:latest
	load_images "$renamed"
	kubectl apply --filename "$here/loaded-image.yaml" >&2
else
	say "the cluster must have an image dask-kubernetes:dev, with Dask, and be able to pull ghcr.io/dask/dask:latest"
fi

# What their conftest calls: nothing is built here, and the definitions are there already.
printf '#!/bin/sh\n' >"$stubs/docker"
cat >"$stubs/k8s-crd-resolver" <<'END'
#!/bin/bash
# k8s-crd-resolver -r -j PATCH DEFINITION OUT
name=$(basename "$5" .yaml)
cp "${DEFINITIONS_FOLDER}/$name${DEFINITIONS_PLURAL}.yaml" "$5"
END
chmod +x "$stubs/docker" "$stubs/k8s-crd-resolver"

cat "$root/benches/peer/requirements.txt" "$here/pytest.txt" >"$stubs/pins.txt"
python=$("$root/tests/venv.sh" dask-kubernetes-suite 3.11 "$stubs/pins.txt" dask_kubernetes pytest pytest_timeout)
cd "$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
export DEFINITIONS_FOLDER=$root/crds/dask-kubernetes DEFINITIONS_PLURAL=s
if [ "${DEFINITIONS:-ours}" = theirs ]; then
	DEFINITIONS_FOLDER=$PWD/dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds DEFINITIONS_PLURAL=
fi
left_out=()
while read -r name _; do left_out+=(--deselect "$name"); done < <(grep -v '^#' "$here/left-out.txt")
export PATH=$stubs:$build/bin:$PATH PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
export CHART=$root/charts/daskflow OPERATOR=$DASKFLOW_E2E_IMAGE_OPERATOR
# Their client looks for the name of the Service for ten seconds, twice, before it forwards a port. It never has one here.
export DASK_KUBERNETES__PORT_FORWARD_CLUSTER_IP=True

# Definitions that are still being deleted, of a run before, would take new objects along.
without_definitions() {
	kubectl get crd --output name | sed -n 's#.*/\(.*\.kubernetes\.dask\.org\)$#crd/\1#p' |
		xargs -r kubectl wait --for=delete --timeout=60s >/dev/null
}
kubectl apply --server-side --force-conflicts --kustomize "$root/crds" >/dev/null
code=0
"$python" -m pytest -p shim -p no:cacheprovider --timeout 60 --durations 0 "${left_out[@]}" "$@" dask_kubernetes/operator || code=$?
without_definitions || say "definitions of dask-kubernetes are still being deleted"
# The next run would find one that is being deleted.
kubectl delete namespace dask-k8s-operator --ignore-not-found --timeout=120s >&2 || say "the namespace dask-k8s-operator is still being deleted"
kubectl delete clusterroles,clusterrolebindings --selector app.kubernetes.io/instance=operator >&2
kubectl delete --ignore-not-found --filename "$here/loaded-image.yaml" >&2
exit "$code"

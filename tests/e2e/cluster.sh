# A Kubernetes cluster with the operator in it: what the end-to-end tests and the demo have in common. Sourced.
#
# CLUSTER=embedded | kind | current chooses the cluster. Without it: embedded where the machine can, else kind where
# docker and kind are. "current", whatever kubectl points at, is taken only when asked for by name.
. "$root/tests/images/names.sh"

kind_name=daskflow-e2e
manifest_dir=$build/e2e

# choose_cluster sets $where, or leaves it empty and says in $why_none why there is none.
choose_cluster() {
	local why
	where='' why_none=''
	case ${CLUSTER:-} in
	embedded)
		why=$("$root/tests/cluster.sh" can)
		[ -z "$why" ] || fail "CLUSTER=embedded: $why"
		where=embedded
		;;
	kind)
		kind_possible || fail "CLUSTER=kind needs kind, kubectl and a running docker"
		where=kind
		;;
	current) where=current ;;
	'')
		why=$("$root/tests/cluster.sh" can)
		if [ -z "$why" ]; then
			where=embedded
		elif kind_possible; then
			where=kind
		else
			why_none="$why; and there is no kind with a running docker"
		fi
		;;
	*) fail "CLUSTER=$CLUSTER: say embedded, kind or current" ;;
	esac
}
kind_possible() {
	command -v kind >/dev/null && command -v kubectl >/dev/null && timeout 10 docker info >/dev/null 2>&1
}

# bring_up [fresh]: afterwards kubectl speaks to the cluster, and so does all that is started from here.
bring_up() {
	case $where in
	embedded)
		[ "${1:-}" != fresh ] || "$root/tests/cluster.sh" down
		local flags=()
		# Whether it logs what it is asked is settled when it is made.
		[ -f "${TESTCLUSTER_DIR:-$build/cluster}/cluster.json" ] || flags=(--audit)
		"$root/tests/cluster.sh" up "${flags[@]}" >&2
		eval "$("$root/tests/cluster.sh" env)"
		export DASKFLOW_E2E_CLUSTER_TOOL=$build/bin/testcluster
		[ ! -f "$TESTCLUSTER_DIR/logs/audit.log" ] || export DASKFLOW_E2E_AUDIT_LOG=$TESTCLUSTER_DIR/logs/audit.log
		;;
	kind)
		export KUBECONFIG=$build/kind.kubeconfig
		[ "${1:-}" != fresh ] || kind delete cluster --name "$kind_name" --kubeconfig "$KUBECONFIG"
		kind get clusters | grep -qx "$kind_name" ||
			kind create cluster --name "$kind_name" --config "$root/tests/e2e/kind.yaml" --kubeconfig "$KUBECONFIG" --wait 180s
		kind export kubeconfig --name "$kind_name" --kubeconfig "$KUBECONFIG"
		;;
	current)
		say "CLUSTER=current: installing into and testing on this cluster:"
		kubectl config get-contexts "$(kubectl config current-context)" >&2
		kubectl cluster-info >&2 || fail "it does not answer"
		[ -n "${KUBECONFIG:-}" ] || export KUBECONFIG=$HOME/.kube/config
		;;
	esac
	export DASKFLOW_E2E_CLUSTER=$where
}

# bring_images SHORT...: builds what changed, and loads what the cluster lacks. For a cluster of somebody else's, its
# images must have been pushed to where it pulls from, and their names given.
bring_images() {
	local short variable tars=()
	for short; do
		variable=DASKFLOW_E2E_IMAGE_${short^^}
		if [ "$where" = current ]; then
			[ -n "${!variable:-}" ] || fail "CLUSTER=current: set $variable to an image that this cluster can pull"
		else
			local name=image_$short
			export "$variable=${!name}"
			tars+=("$build/images/$short.tar")
		fi
	done
	[ "$where" != current ] || return 0
	"$root/tests/images/build.sh" "$@"
	say "loading images"
	load_images "${tars[@]}" && return
	say "loading failed: making the images once more"
	for short in "${tars[@]}"; do rm -f "$(readlink -f "$short")"; done
	"$root/tests/images/build.sh" "$@"
	load_images "${tars[@]}"
}
load_images() {
	local tar
	case $where in
	embedded) "$DASKFLOW_E2E_CLUSTER_TOOL" load "$@" ;;
	kind) for tar; do kind load image-archive --name "$kind_name" "$tar" || return; done ;;
	esac
}

# install_operator: manifests/install.yaml, with the image under test.
install_operator() {
	local image=$DASKFLOW_E2E_IMAGE_OPERATOR count deployment hash
	[ -f "$root/manifests/install.yaml" ] || fail "there is no manifests/install.yaml: run 'make generate'"
	mkdir -p "$manifest_dir"
	sed -E "s#^( *(- )?image: +)[\"']?[^ \"']*daskflow[^ \"']*[\"']?\$#\1$image#" "$root/manifests/install.yaml" >"$manifest_dir/install.yaml"
	count=$(grep -cE "^ *(- )?image: $image\$" "$manifest_dir/install.yaml") || true
	[ "$count" = 1 ] || fail "manifests/install.yaml names the operator's image $count times, not once"
	# The tag stays the same when the image changes; this makes a new pod when it does, and only then.
	hash=$(basename "$(readlink -f "$build/images/operator.tar")" .tar)
	cat >"$manifest_dir/kustomization.yaml" <<-END
		resources: [install.yaml]
		patches:
		- target: {kind: Deployment}
		  patch: |-
		    apiVersion: apps/v1
		    kind: Deployment
		    metadata: {name: any}
		    spec: {template: {metadata: {annotations: {daskflow.dev/image-under-test: "$hash"}}}}
	END
	say "installing the operator"
	kubectl apply --server-side --force-conflicts -k "$manifest_dir" >"$build/logs/install.log" ||
		{ cat "$build/logs/install.log" >&2; fail "cannot install the operator"; }
	kubectl wait --for=condition=Established --timeout=60s crd -l app.kubernetes.io/part-of=daskflow >/dev/null 2>&1 || true
	while read -r deployment; do
		# shellcheck disable=SC2086
		kubectl rollout status --timeout=120s $deployment >&2 || {
			kubectl get pods ${deployment%% *} >&2
			kubectl logs ${deployment%% *} --tail=30 ${deployment#* } >&2 || true
			save_state
			fail "the operator does not start"
		}
	done < <(kubectl get -k "$manifest_dir" -o jsonpath='{range .items[?(@.kind=="Deployment")]}--namespace={.metadata.namespace} deployment/{.metadata.name}{"\n"}{end}')
}

# save_state keeps what is needed to find out what went wrong.
save_state() {
	local to=$build/e2e/state namespace pod
	rm -rf "$to" && mkdir -p "$to"
	kubectl get all,configmaps,flows,flowruns,flowbackfills,daskclusters -A -o wide >"$to/objects.txt" 2>&1 || true
	kubectl get flows,flowruns,flowbackfills,daskclusters -A -o yaml >"$to/resources.yaml" 2>&1 || true
	kubectl get events -A --sort-by=.lastTimestamp >"$to/events.txt" 2>&1 || true
	while read -r namespace pod; do
		kubectl logs --namespace "$namespace" --all-containers "$pod" >"$to/$namespace.$pod.log" 2>&1 || true
		kubectl logs --namespace "$namespace" --all-containers --previous "$pod" >"$to/$namespace.$pod.previous.log" 2>/dev/null ||
			rm -f "$to/$namespace.$pod.previous.log"
	done < <(kubectl get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}' 2>/dev/null)
	say "state of the cluster: $to"
}

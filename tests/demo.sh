#!/bin/bash
# From nothing to scheduled runs: a cluster, the operator, the example flow, and two runs of it, counted.
. "$(dirname "$0")/lib.sh"
. "$root/tests/background.sh"
. "$root/tests/e2e/cluster.sh"

namespace=${DEMO_NAMESPACE:-daskflow-demo}
want_runs=2
want_tasks=304
: >"$phases"
trap 'code=$?; end_phase $code; end_background; exit $code' EXIT
trap 'exit 130' INT TERM

choose_cluster
[ -n "$where" ] || fail "no cluster for the demo: $why_none"

# announce says what comes, what of it is there already, and roughly how long the rest takes.
announce() {
	local packages='' missing=''
	say "make demo, on a cluster of the kind \"$where\" (CLUSTER=embedded|kind|current), $(nproc) cores:"
	[ "$where" != embedded ] || packages=$("$root/tests/packages.sh" missing images node | xargs)
	[ "$where" = current ] || missing=$("$root/tests/images/build.sh" --missing operator prefect1)
	part "Debian packages" "$packages" "$(about_time packages 40), ${packages:-none missing}"
	if [ "$where" = embedded ]; then
		part "Kubernetes" "$("$root/tests/cluster.sh" built || echo missing)" "$(about_time cluster 540), built from its Go modules"
	fi
	part "operator's image" "$(grep -x operator <<<"$missing")" "$(about_time operator 420), compiled beside"
	part "flow's image" "$(grep -x prefect1 <<<"$missing")" "$(about_time prefect1 150), with Prefect 1.4.1 and Dask, beside"
	part "cluster, operator" yes "about 40 s"
	part "two runs" yes "about 2 min: a run each minute"
}
part() { say "    $(printf '%-20s' "$1")$([ -n "$2" ] && echo "$3" || echo "there already")"; }
announce

# prepare: all that has to be built, side by side; whatever fails ends the demo at once.
prepare() {
	local jobs=() name missing=''
	[ "$where" = current ] || missing=$("$root/tests/images/build.sh" --missing operator prefect1)
	if [ "$where" = embedded ]; then
		need_packages node ${missing:+images}
		if ! "$root/tests/cluster.sh" built; then
			in_background cluster "$root/tests/cluster.sh" build
			jobs+=(cluster)
		fi
	fi
	for name in $missing; do
		in_background "$name" "$root/tests/images/build.sh" "$name"
		jobs+=("$name")
	done
	await "${jobs[@]}"
	for name in "${jobs[@]}"; do took "$name" "$(cat "$background/$name.done")"; done
}
say "1/5 what has to be built"
phase "packages, builds" prepare
say "2/5 cluster and images"
phase "cluster" bring_up
phase "images" bring_images operator prefect1
say "3/5 the operator, from manifests/install.yaml"
phase "operator" install_operator

say "4/5 the example, from manifests/samples/example, in namespace $namespace"
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
k() { kubectl --namespace "$namespace" "$@"; }
if [ -f "$root/manifests/samples/example/kustomization.yaml" ]; then
	k apply -k "$root/manifests/samples/example" >&2
else
	k apply -f "$root/manifests/samples/example" >&2
fi
flow=$(k get flows -o jsonpath='{.items[0].metadata.name}')
cluster=$(k get flow "$flow" -o jsonpath='{.spec.cluster.ref.name}')
started=$(date -u +%FT%TZ)

# started_tasks FROM TO SELECTOR: the "Starting task run" lines in the logs of some pods, in a stretch of time.
started_tasks() {
	k logs --selector "$3" --tail=-1 --timestamps --since-time="$1" --max-log-requests=20 2>/dev/null |
		awk -v from="$1" -v to="$2" '/Starting task run/ && substr($1, 1, 19) >= substr(from, 1, 19) && substr($1, 1, 19) <= substr(to, 1, 19)' | wc -l
}

# check_run NAME PHASE FROM TO: a run that is over; counts where its tasks ran.
check_run() {
	local on_workers in_runner
	[ "$2" = Succeeded ] || { k get flowrun "$1" -o yaml >&2; say "run $1: $2"; return 1; }
	on_workers=$(started_tasks "$3" "$4" "dask.org/cluster-name=$cluster,dask.org/component=worker")
	in_runner=$(started_tasks "$3" "$4" "daskflow.dev/run=$1,dask.org/component=runner")
	say "run $1: $2, $on_workers of $want_tasks tasks on Dask workers, $in_runner in the runner"
	[ "$on_workers" = "$want_tasks" ] && [ "$in_runner" = 0 ]
}

# watch_runs: until enough runs are over, at most eight minutes. Says what changes; runs that were over before do not count.
watch_runs() {
	local deadline=$((SECONDS + 480)) seen='' now done_runs good name state from to
	while [ $SECONDS -lt $deadline ]; do
		now=$(
			k get daskcluster "$cluster" -o jsonpath='cluster {.metadata.name}: {.status.workers.ready} of {.status.workers.desired} workers{"\n"}' 2>/dev/null || true
			k get pods -o jsonpath='{range .items[*]}pod {.metadata.name}: {.status.phase}{"\n"}{end}' 2>/dev/null || true
			k get flow "$flow" -o jsonpath='flow {.metadata.name}: next tick {.status.nextTick}{"\n"}' 2>/dev/null || true
			k get flowruns -o jsonpath='{range .items[*]}run {.metadata.name}: {.status.phase} {.status.reason}{"\n"}{end}' 2>/dev/null || true
		)
		grep -vxF -e "${seen:-nothing}" <<<"$now" | while read -r line; do say "    $line"; done
		seen=$now
		done_runs=0 good=0
		while read -r name state from to; do
			[[ "$from" > "$started" || "$from" = "$started" ]] || continue
			done_runs=$((done_runs + 1))
			[ $done_runs -gt $want_runs ] || ! is_checked "$name" "$state" "$from" "$to" || good=$((good + 1))
		done < <(k get flowruns -l "daskflow.dev/flow=$flow" --sort-by=.metadata.creationTimestamp \
			-o jsonpath='{range .items[?(@.status.finishedAt)]}{.metadata.name} {.status.phase} {.status.startedAt} {.status.finishedAt}{"\n"}{end}')
		if [ $done_runs -ge $want_runs ]; then
			[ $good -ge $want_runs ]
			return
		fi
		sleep 2
	done
	say "after eight minutes, $done_runs of $want_runs runs are over"
	return 1
}
declare -A checked
is_checked() { # each run is counted once
	[ -n "${checked[$1]:-}" ] || { if check_run "$@"; then checked[$1]=0; else checked[$1]=1; fi; }
	return "${checked[$1]}"
}

say "5/5 waiting for $want_runs runs of flow $flow, one each minute, on the Dask cluster $cluster"
code=0
phase "runs" watch_runs || code=$?
if [ $code != 0 ]; then
	save_state
	k describe flow,daskcluster >&2 || true
fi

echo
k get flows,flowruns,daskclusters || true
echo
if [ $code = 0 ]; then
	echo "$want_runs scheduled runs succeeded, $want_tasks of $want_tasks tasks each on Dask workers. The flow goes on, every minute."
else
	echo "The demo did NOT succeed."
fi
cat "$phases"
service=$(k get service "$cluster-scheduler" -o jsonpath='{.spec.clusterIP}' 2>/dev/null || true)
cat <<END

Look around:

    export KUBECONFIG=$KUBECONFIG
$([ "$where" != embedded ] || echo "    export PATH=$TESTCLUSTER_DIR/bin:\$PATH        # kubectl and helm")
    kubectl --namespace $namespace get flows,flowruns,daskclusters,pods
    kubectl --namespace $namespace describe flow $flow
    kubectl --namespace $namespace logs --prefix --selector dask.org/component=worker --tail=20

The Dask dashboard:

$(if [ "$where" = embedded ]; then
	echo "    http://$service:8787/status        # on this machine; from elsewhere by ssh -L 8787:$service:8787 THIS-MACHINE"
else
	echo "    kubectl --namespace $namespace port-forward service/$cluster-scheduler 8787:8787        # then http://localhost:8787/status"
fi)

$([ "$where" = current ] && echo "Remove it with: kubectl delete namespace $namespace; kubectl delete -k $manifest_dir" || echo "The cluster stays up. To end it: make cluster-down")
END
exit $code

# An embedded cluster with daskflow's kinds, for one bench. Sourced after lib.sh.
#
# With SMALL=1 it is the one that is up, which benches/small.sh begins and ends.

begin_cluster() { # FLAGS OF "testcluster up"...
	local why
	if [ -z "${SMALL:-}" ]; then
		why=$("$root/tests/cluster.sh" can)
		[ -z "$why" ] || fail "$why"
		"$root/tests/cluster.sh" down
		"$root/tests/cluster.sh" up --audit "$@" >&2
	fi
	eval "$("$root/tests/cluster.sh" env)"
	kubectl apply --server-side -k "$root/crds" >"$build/logs/bench-crds.log"
	kubectl wait --for=condition=Established --timeout=60s crd -l app.kubernetes.io/part-of=daskflow >>"$build/logs/bench-crds.log"
}
end_cluster() {
	[ -n "${SMALL:-}" ] || "$root/tests/cluster.sh" down
}

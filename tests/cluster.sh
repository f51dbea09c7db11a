#!/bin/bash
# The embedded Kubernetes of this checkout: cluster.sh COMMAND
#
#   build          make the program (.build/bin/testcluster, also kubectl and helm), unless it is there
#   up [FLAGS]     start it, or what does not run of it; flags as of "testcluster up"
#   down           stop it and delete its data, from whatever state a killed run left
#   env            print export lines for KUBECONFIG, PATH and TESTCLUSTER_DIR
#   built          succeed if there is nothing to build
#   can            say why this machine cannot run it; nothing when it can
. "$(dirname "$0")/lib.sh"

export TESTCLUSTER_DIR=${TESTCLUSTER_DIR:-$build/cluster}
tool=$build/bin/testcluster

# The program depends only on its sources and on the Go that compiles them. It lies in the cache under their hash.
place_of_tool() {
	cd "$root"
	echo "$cache/cluster/$(hash_of tests/cluster/*.go tests/cluster/go.{mod,sum} tests/cluster/{build.sh,packages.txt} "go=$(go -C tests/cluster env GOVERSION)")/testcluster"
}
build_tool() {
	local made
	command -v go >/dev/null || fail "the embedded cluster needs Go (https://go.dev/dl)"
	made=$(place_of_tool)
	locked "$cache/cluster.lock" make_tool "$made"
	touch "$(dirname "$made")"
	find "$cache/cluster" -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -r {} + # nobody asked for them for two weeks
	mkdir -p "$build/bin"
	ln -sfn "$made" "$tool"
	ln -sfn "$made" "$build/bin/kubectl" # it acts as the program by whose name it is called
	ln -sfn "$made" "$build/bin/helm"
}
make_tool() {
	"$1" --help >/dev/null 2>&1 && return # a damaged one does not run
	say "building the embedded Kubernetes (once)"
	local begin=$SECONDS
	: >"$build/logs/cluster-build.log"
	[ -z "${DASKFLOW_PROGRESS:-}" ] || echo "progress: $build/logs/cluster-build.log ^[a-z] =packages packages" >&2
	"$root/tests/cluster/build.sh" "$1" >"$build/logs/cluster-build.log" 2>&1 </dev/null ||
		{ tail -20 "$build/logs/cluster-build.log" >&2; fail "cannot build the embedded Kubernetes"; }
	say "embedded Kubernetes built in $((SECONDS - begin)) s"
}

can() {
	[ "$(uname -sm)" = "Linux x86_64" ] || { echo "the embedded cluster needs Linux on amd64, this is $(uname -sm)"; return; }
	[ "$(id -u)" = 0 ] || { echo "the embedded cluster needs root for its node"; return; }
	[ -x "$tool" ] || command -v go >/dev/null || echo "the embedded cluster needs Go to be built"
}

mkdir -p "$build/logs"
case "${1:-}" in
build) build_tool ;;
up)
	build_tool
	need_packages node
	"$tool" "$@"
	;;
down) # without a program there never was a cluster
	if [ -d "$TESTCLUSTER_DIR" ]; then build_tool && "$tool" "$@"; fi ;;
env)
	"$tool" env
	printf 'export TESTCLUSTER_DIR=%q\n' "$TESTCLUSTER_DIR"
	;;
built) "$(place_of_tool)" --help >/dev/null 2>&1 ;;
can) can ;;
*)
	sed -n '2,9p' "$0" >&2
	exit 2
	;;
esac

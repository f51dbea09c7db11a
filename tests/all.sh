#!/bin/bash
# All tests, cheapest first, while what the dear ones need is built in the background.
. "$(dirname "$0")/lib.sh"
. "$root/tests/background.sh"
. "$root/tests/e2e/cluster.sh"
cd "$root"
# cargo test leaves the end-to-end tests to their own script, further down, and need not say so.
unset DASKFLOW_E2E_CLUSTER
export DASKFLOW_E2E=later
# Where nobody edits, what makes the next compilation quicker only fills the disk: 5 GB of it.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0
: >"$phases"
mkdir -p "$build/logs"
left_out=()
begin=$SECONDS

# Everything started here ends with this script, whichever way it ends.
finish() {
	local code=$?
	end_phase $code
	end_background
	# After a failure the cluster stays for a look at it, unless nobody is there to look.
	if [ "${where:-}" = embedded ] && { [ $code = 0 ] || [ -n "${CI:-}" ]; }; then tests/cluster.sh down || true; fi
	{
		echo
		tests/timed.sh --slowest 15
		echo
		cat "$phases"
		printf '%5d s  all\n' $((SECONDS - begin))
		for what in "${left_out[@]}"; do echo "LEFT OUT: $what"; done
		[ $code = 0 ] && echo "passed" || echo "FAILED"
	} >&2
}
trap finish EXIT
trap 'exit 130' INT TERM

# The compiled dependencies depend on Cargo.lock, the profile and the compiler only: a fresh clone takes them from the cache. Nothing of
# our own is in there: cargo judges by file times, and would take another checkout's sources for compiled.
target=${CARGO_TARGET_DIR:-$root/target}/debug
profile=$(sed -n '/^\[profile\.dev/,/^$/p' Cargo.toml)
kept_target=$cache/target/$(hash_of Cargo.lock "rust=$(rustc -vV)" "flags=${RUSTFLAGS:-}" "profile=$profile")
take_dependencies() {
	[ ! -e "$target/.fingerprint" ] && [ -d "$kept_target" ] || return 0
	say "taking compiled dependencies from $kept_target"
	mkdir -p "$target"
	cp -a --reflink=auto "$kept_target/." "$target/"
	touch "$kept_target"
}
keep_dependencies() {
	[ ! -d "$kept_target" ] || return 0
	local copy=$kept_target.$$
	mkdir -p "$copy"
	cp -a --reflink=auto "$target/.fingerprint" "$target/build" "$target/deps" "$copy/"
	rm -rf "$copy"/.fingerprint/daskflow-*
	find "$copy/deps" -maxdepth 1 -type f \( -name '*daskflow*' -o -perm /111 -not -name '*.so' \) -delete
	mv -T "$copy" "$kept_target" 2>/dev/null || rm -rf "$copy" # another checkout was quicker
	ls -td "$cache"/target/* | tail -n +3 | xargs -r rm -rf # a gigabyte each
}

choose_cluster
if [ -z "$where" ]; then
	left_out+=("end-to-end tests: $why_none")
	[ "${E2E:-}" != required ] || fail "E2E=required, and the end-to-end tests cannot run here: $why_none"
fi

# announce says what comes, what of it is there already, and roughly how long the rest takes.
announce() {
	say "make test, end-to-end tests on: ${where:-no cluster ($why_none)}; $(nproc) cores:"
	[ "$where" != embedded ] || part "Debian packages" "$(tests/packages.sh missing images node tests | xargs)" "$(about_time packages 40)"
	[ "$where" != embedded ] || part "Kubernetes" "$(tests/cluster.sh built || echo missing)" "$(about_time cluster 540), in the background"
	[ -z "$where" ] || [ "$where" = current ] || part "images" "$(tests/images/build.sh --missing "${all_images[@]}" | xargs)" "$(about_time images 600), in the background"
	part "dependencies" "$([ -d "$kept_target" ] || echo missing)" "$(about_time dependencies 300) to compile"
	part "tests" yes "$(about_time tests 900)"
}
part() { say "    $(printf '%-18s' "$1")$([ -n "$2" ] && echo "$3" || echo "there already")"; }
announce

in_the_background=()
prepare() { # NAME COMMAND...
	in_the_background+=("$1")
	in_background "$@"
}
if [ -n "$where" ]; then
	if [ "$where" = embedded ]; then
		phase "Debian packages" need_packages images node tests
		prepare cluster tests/cluster.sh build
	fi
	[ "$where" = current ] || prepare images tests/images/build.sh
	prepare sbom tests/supply/sbom.sh
	# Loading two gigabytes of images takes minutes in which a core has little to do.
	prepare node tests/e2e/up.sh cluster images
fi

# Pythons of the tests come from package indexes, while the compiler works. One that cannot be made is spoken of where it is needed.
prepare environments bash -c '
	tests/dask/venvs.sh >/dev/null
	tests/schedule/venv.sh >/dev/null
	tests/gateway/venv.sh >/dev/null
	tests/gateway/venv.sh 2023.1.1 >/dev/null
	benches/peer/venv.sh >/dev/null
	tests/runner/run.sh --list kubecluster-2023.3.0 kubecluster-2024.9.0 kubecluster-2026.3.0 >/dev/null
	tests/runner/run.sh -- -n 0 --collect-only --quiet
	true'
take_dependencies
phase "compile" cargo test --locked --no-run
keep_dependencies
phase "environments of Python (rest of the background work)" await environments

# dask_venvs: real schedulers of several versions, for the tests of src/dask.
dask_venvs() {
	[ "${E2E:-}" != required ] || export DASKFLOW_DASK_REQUIRED=1
	tests/dask/venvs.sh "$build/dask-venvs"
}
if [ -x tests/dask/venvs.sh ]; then
	phase "Dask releases" dask_venvs
	export DASKFLOW_DASK_VENVS=$build/dask-venvs
	while read -r _ what; do left_out+=("$what"); done < <(grep '^#' "$build/dask-venvs")
fi
# prefect_venvs: the environments of the runner's tests, for tests/local.
prefect_venvs() {
	[ "${E2E:-}" != required ] || export DASKFLOW_PREFECT_REQUIRED=1
	tests/runner/run.sh --list >"$build/prefect-venvs"
}
phase "Prefect releases" prefect_venvs
export DASKFLOW_PREFECT_VENVS=$build/prefect-venvs
while read -r _ what; do left_out+=("$what"); done < <(grep '^#' "$build/prefect-venvs")
# schedule_oracles: other people's cron programs, for tests/schedule/oracles.rs.
schedule_oracles() {
	[ "${E2E:-}" != required ] || export DASKFLOW_ORACLES_REQUIRED=1
	if DASKFLOW_ORACLES_PYTHON=$(tests/schedule/venv.sh); then
		export DASKFLOW_ORACLES_PYTHON
		return
	fi
	left_out+=("schedules against croniter, cronsim and dateutil: their environment cannot be made")
	[ "${E2E:-}" != required ] || fail "E2E=required, and the environment of tests/schedule cannot be made"
}
phase "schedule oracles" schedule_oracles
# browser: Chromium is among the packages, axe comes from PyPI; for tests/web.
browser() {
	[ "${E2E:-}" != required ] || export DASKFLOW_BROWSER_REQUIRED=1
	# type -P fails where one of several names is not found, and any of these will do.
	if [ -z "$(type -P chromium chromium-browser google-chrome google-chrome-stable)" ]; then
		left_out+=("the page in a browser: there is no Chromium")
	elif DASKFLOW_AXE=$(tests/web/axe.sh); then
		export DASKFLOW_AXE
	else
		left_out+=("the page by the rules of axe: it cannot be had from PyPI")
	fi
}
phase "browser" browser
# dask_gateway: a Dask Gateway with its proxy, for tests/gateway.
dask_gateway() {
	[ "${E2E:-}" != required ] || export DASKFLOW_GATEWAY_REQUIRED=1
	if DASKFLOW_GATEWAY_PYTHON=$(tests/gateway/venv.sh) && DASKFLOW_GATEWAY_OLDER_PYTHON=$(tests/gateway/venv.sh 2023.1.1); then
		export DASKFLOW_GATEWAY_PYTHON DASKFLOW_GATEWAY_OLDER_PYTHON
		return
	fi
	left_out+=("runs on clusters of a Dask Gateway: its environment cannot be made")
	[ "${E2E:-}" != required ] || fail "E2E=required, and the environment of tests/gateway cannot be made"
}
phase "Dask Gateway" dask_gateway
# kubecluster: clients of dask-kubernetes as they come from PyPI, with Prefect, for tests/compat.
kubecluster() {
	[ "${E2E:-}" != required ] || export DASKFLOW_KUBECLUSTER_REQUIRED=1
	tests/runner/run.sh --list kubecluster-2023.3.0 kubecluster-2024.9.0 kubecluster-2026.3.0 >"$build/kubecluster-venvs"
}
phase "KubeCluster" kubecluster
export DASKFLOW_KUBECLUSTER_VENVS=$build/kubecluster-venvs
while read -r _ what; do left_out+=("$what"); done < <(grep '^#' "$build/kubecluster-venvs")
# The times of all tests of these programs; the slowest of them are printed at the end.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$root/tests/timed.sh
rm -f "$build/test-times"
# The tests of "files" start real programs and wait for them: it leaves most of two cores to the others.
beside files cargo test --locked --test files
others=(--lib)
for test in tests/*/main.rs; do
	test=$(basename "$(dirname "$test")")
	[ "$test" = files ] || others+=(--test "$test")
done
phase "unit and integration tests" cargo test --locked "${others[@]}"
phase "benches at their smallest" benches/small.sh
# Of the program that the tests were compiled with: a release build would take minutes.
phase "wheel" env DASKFLOW="$target/daskflow" tests/wheel/test.sh
if [ -x tests/runner/run.sh ]; then
	phase "runner tests" tests/runner/run.sh
fi
phase "tests of files (the rest of them)" await files
cat "$background/files.log"
if [ -n "$where" ]; then
	phase "cluster up, images built and loaded (rest of the background work)" await "${in_the_background[@]}"
	for name in cluster images; do
		seconds=$(cat "$background/$name.done" 2>/dev/null || echo 0)
		[ "$seconds" -lt 20 ] || took "$name" "$seconds" # less: it was there
	done
fi
# with_kubectl: the tests that were left out above for want of kubectl, or of shells that complete.
with_kubectl() {
	export PATH=$build/bin:$PATH DASKFLOW_KUBECTL_REQUIRED=1
	[ "$where" != embedded ] || export DASKFLOW_SHELLS_REQUIRED=1 # they are among its packages
	cargo test --locked --lib cluster_api::tests::kubectl
	cargo test --locked --test files -- kubectl shells_take_what
}
# The chart is rendered by the Helm that comes with the embedded Kubernetes, or by one on the PATH.
if [ -x "$build/bin/helm" ] || { command -v helm && command -v kubectl; } >/dev/null; then
	phase "Helm chart" env DASKFLOW_CHART_REQUIRED=1 cargo test --locked --test chart
	phase "kubectl on the API in this process" with_kubectl
	# Without the crates that tests need, cargo would compile a good part of the others anew, with other features.
	phase "generated files" env DASKFLOW="$target/daskflow" tests/generated.sh
else
	left_out+=("the Helm chart as helm renders it: there is no helm")
	[ "${E2E:-}" != required ] || fail "E2E=required, and there is no helm for the tests of the chart"
fi
unset CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER # the end-to-end tests say when they wait for their turn
if [ -n "$where" ]; then
	E2E_CLUSTER_IS_UP=1 tests/e2e/run.sh
fi
# There is room for one embedded cluster at a time.
if [ "$where" = embedded ]; then
	tests/cluster.sh down
	phase "benches on a cluster, at their smallest" benches/small.sh cluster
	benches/peer/venv.sh >/dev/null 2>&1 || left_out+=("benches/peer: the environment of dask-kubernetes cannot be made")
else
	left_out+=("benches/burst and benches/peer: there is no embedded cluster")
fi

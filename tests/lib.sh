# What the scripts in tests/ share. Sourced, with bash, never run.
#
# Everything machine-made goes to .build/ in the project's folder. What is dear to make and depends only on its inputs
# (the cluster's program, images, virtual environments) lies in a cache of the user's and is found there by the hash of
# those inputs, so that a fresh clone does not make it again. Deleting either costs time and nothing else.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/.build
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/daskflow
mkdir -p "$build" "$cache"

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

# locked FILE COMMAND...: one at a time on this machine, whoever asks. The lock ends with the command, also when killed;
# what the command leaves running in the background does not hold it.
locked() {
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	(flock 9 && "$@" 9>&-) 9>"$file"
}

# hash_of FILE-OR-FOLDER... : of names and contents, from the project's folder; times and owners do not count. A word
# with "=" in it counts as it is.
hash_of() {
	local thing
	(
		cd "$root"
		for thing; do
			case $thing in
			*=*) printf '%s\n' "$thing" ;;
			*) find "$thing" -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum ;;
			esac
		done
	) | sha256sum | cut -c1-16
}

# need_packages PROGRAM=PACKAGE...: installs the Debian packages whose programs are missing.
need_packages() {
	local pair missing=()
	for pair; do
		command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
	done
	[ ${#missing[@]} = 0 ] && return
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
		fail "missing: ${missing[*]}; install them, or run as root on Debian or Ubuntu"
	say "installing Debian packages: ${missing[*]}"
	locked "$cache/apt.lock" install_packages "${missing[@]}" || fail "cannot install ${missing[*]}"
}
install_packages() {
	local log=$build/logs/apt.log
	mkdir -p "$build/logs"
	{
		apt-get -o DPkg::Lock::Timeout=300 update &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"
	} >"$log" 2>&1 </dev/null || { tail -20 "$log" >&2; return 1; }
}

# phase NAME COMMAND...: runs it and notes the time it took, for the table of phases at the end.
phases=$build/phases
phase() {
	local name=$1 begin=$SECONDS code=0
	shift
	say "--- $name"
	"$@" || code=$?
	printf '%5d s  %s%s\n' $((SECONDS - begin)) "$name" "$([ $code = 0 ] || echo "  (failed: $code)")" >>"$phases"
	return $code
}

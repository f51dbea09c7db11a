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

# need_packages USE...: installs what is missing of the Debian packages of these uses (tests/cluster/packages.txt).
need_packages() { "$root/tests/packages.sh" install "$@"; }

# phase NAME COMMAND...: runs it and notes the time it took, for the table of phases at the end. A failure inside ends the
# script, as it would without "phase", and is noted on the way out.
phases=$build/phases
phase_name='' phase_begin=0
phase() {
	phase_name=$1 phase_begin=$SECONDS
	shift
	say "--- $phase_name"
	"$@"
	local code=$? # not 0 only where the caller deals with it: phase ... || ...
	end_phase $code
	return $code
}
end_phase() {
	[ -n "$phase_name" ] || return 0
	printf '%5d s  %s%s\n' $((SECONDS - phase_begin)) "$phase_name" "$([ "$1" = 0 ] || echo "  (failed: $1)")" >>"$phases"
	phase_name=''
}
trap 'end_phase $?' EXIT

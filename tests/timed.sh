#!/bin/bash
# Runs a test program and notes how long each of its tests took, as cargo's "runner":
#
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$PWD/tests/timed.sh cargo test
#
#   timed.sh --slowest [N]    prints the N slowest of them (20); .build/test-times has them all, the slowest first
#
# Rust's test harness knows these times but keeps them from stable compilers, unless it is run as the compiler's own build
# runs it. Nothing is compiled with that variable. A harness that does not know the flag any more runs without.
set -uo pipefail
build=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.build
times=$build/test-times
mkdir -p "$build"

if [ "${1:-}" = --slowest ]; then
	[ ! -s "$times" ] || head -n "${2:-20}" "$times"
	exit
fi

timed=(-Z unstable-options --report-time)
RUSTC_BOOTSTRAP=1 "$1" "${timed[@]}" --list >/dev/null 2>&1 || exec "$@"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
RUSTC_BOOTSTRAP=1 "$@" "${timed[@]}" | tee "$output"
code=${PIPESTATUS[0]}
program=$(basename "$1") # such as dask-0123456789abcdef
noted=$(sed -nE "s/^test ([^ ]+)( - [^.]*)? \.\.\. .* <([0-9.]+)s>\$/\3 s  ${program%-*} \1/p" "$output")
# Times of an earlier run of the same tests are replaced. Another program may end at the same time.
exec 9>"$times.lock" && flock 9
{ cat "$times" 2>/dev/null; echo "$noted"; } | sed '/^$/d' | tac | awk '!seen[$3" "$4]++' | sort -rn -o "$times.$$" &&
	mv "$times.$$" "$times"
exit "$code"

#!/bin/bash
# What `daskflow ui` costs on this machine: the first byte of each page with 10,000 runs, and its memory with 50 tabs.
#
# DASKFLOW=PATH is the program (default: the release build, which is built first), MINUTES=N how long the tabs are open (default:
# 10). SMALL=1: all at the smallest size. Results: .build/page/figures.md, and on standard output.
. "$(dirname "$0")/../../tests/lib.sh"

cd "$root"
mkdir -p "$build/page"
if [ -z "${DASKFLOW:-}" ]; then
	cargo build --locked --release --bin daskflow
	DASKFLOW=${CARGO_TARGET_DIR:-target}/release/daskflow
fi
options=(--minutes "${MINUTES:-10}")
[ -z "${SMALL:-}" ] || options=(--runs 100 --rounds 1 --tabs 2 --minutes 0.05)
python3 benches/page/measure.py --daskflow "$DASKFLOW" "${options[@]}" | tee "$build/page/figures.md"

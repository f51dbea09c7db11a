#!/bin/bash
# What must be true of the sources before anything runs: format, lints, generated files up to date.
. "$(dirname "$0")/lib.sh"
cd "$root"
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
tests/supply/deny.sh
tests/generated.sh

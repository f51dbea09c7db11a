#!/bin/bash
# Packs a program into a wheel, as `make wheel` does but for the release build, installs it into an empty environment, and runs
# it from there: DASKFLOW=PROGRAM tests/wheel/test.sh. Without DASKFLOW it is the one that `cargo test` or `cargo build` made.
. "$(dirname "$0")/../lib.sh"
cd "$root"
export DASKFLOW=${DASKFLOW:-${CARGO_TARGET_DIR:-$root/target}/debug/daskflow}
[ -x "$DASKFLOW" ] || fail "there is no program at $DASKFLOW: cargo build makes it"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wheel=$(tests/wheel/build.sh "$work/wheels")
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index "$wheel"

# run WORD COMMAND...: from another folder, with nothing on the path but the environment; what it says has the word.
run() {
	local said word=$1
	shift
	said=$(cd / && env -i PATH="$work/venv/bin" "$@") || fail "$*: it ended with $?"
	grep -qF -e "$word" <<<"$said" || fail "$*: \"$word\" is not in: $said"
}
version=$(sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' Cargo.toml)
run "daskflow $version" daskflow --version
run "--env-file" daskflow local --help
run "$version" python -c 'import importlib.metadata as m; print(m.version("daskflow"))'
# The program and what pip says of it, and no module that could be imported by mistake.
files=$("$work/venv/bin/python" -c 'import importlib.metadata as m
print(*sorted({str(f).split("/")[-1] for f in m.files("daskflow") if ".dist-info" not in str(f)}))')
[ "$files" = daskflow ] || fail "the wheel installs more than the program: $files"
say "wheel: $(basename "$wheel"), $(du -k "$wheel" | cut -f1) KiB, installed and run"

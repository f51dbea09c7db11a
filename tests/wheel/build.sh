#!/bin/bash
# Builds the wheel that holds the program into a folder, .build/wheels by default, and says where it is.
#
#   build.sh [FOLDER]                    a release build, linked as the Dockerfile does it
#   DASKFLOW=PROGRAM build.sh [FOLDER]   of a program that is there: nothing is compiled
. "$(dirname "$0")/../lib.sh"
cd "$root"
out=${1:-$build/wheels}
pins=tests/wheel/requirements.txt
venv=$cache/venvs/wheel-$(hash_of "$pins" "python=$(python3 -VV)")
make_venv() {
	[ ! -e "$venv/.made" ] || return 0
	rm -rf "$venv"
	python3 -m venv "$venv" &&
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement "$pins" >&2 &&
		touch "$venv/.made"
}
locked "$cache/venvs/wheel.lock" make_venv || fail "cannot make the environment of $pins"

target=$(rustc -vV | sed -n 's/^host: //p')
options=(--locked --target "$target" --out "$out")
case $target in
# One static program needs nothing of a system but its kernel; it says so to any Linux with glibc, as maturin has no other word for it.
*-linux-*) options+=(--compatibility manylinux2014 --auditwheel skip) && flags="-C target-feature=+crt-static" ;;
*) flags='' ;;
esac
rm -rf "$out"
if [ -n "${DASKFLOW:-}" ]; then
	# A copy: maturin moves what was built to a place of its own, and a copy of that back.
	copy=$(mktemp -d)
	trap 'rm -rf "$copy"' EXIT
	cp --reflink=auto "$DASKFLOW" "$copy/daskflow"
	DASKFLOW=$copy/daskflow DASKFLOW_CARGO=$(command -v cargo) DASKFLOW_ROOT=$root DASKFLOW_VERSION=$(sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' Cargo.toml) \
		CARGO=$root/tests/wheel/cargo.sh "$venv/bin/maturin" build --profile dev "${options[@]}" >&2
else
	RUSTFLAGS="${RUSTFLAGS:-} $flags" SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 315532800)} \
		"$venv/bin/maturin" build --profile release "${options[@]}" >&2
fi
ls "$out"/*.whl

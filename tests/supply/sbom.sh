#!/bin/bash
# Writes the bill of materials of the operator's image, .build/images/daskflow.cdx.json (CycloneDX 1.5): every crate that
# the release build has, with version, licence, hash and package URL. Then it is held against `cargo tree` and the schema.
#
# The image holds one static program and nothing else, so the crates and the C library are all there is.
. "$(dirname "$0")/../lib.sh"
cd "$root"

version=0.5.9
bin=$cache/bin/cargo-cyclonedx-$version
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
out=$build/images/daskflow.cdx.json

install() {
	[ ! -x "$bin/cargo-cyclonedx" ] || return 0
	say "compiling cargo-cyclonedx $version (once; two minutes)"
	local work
	work=$(mktemp -d)
	CARGO_TARGET_DIR=$work/target cargo install --quiet cargo-cyclonedx --locked --version "$version" --root "$work" &&
		mkdir -p "$bin" && mv "$work/bin/cargo-cyclonedx" "$bin/"
	local code=$?
	rm -rf "$work"
	return $code
}
# left_out WHAT: without it there is no bill of materials, which fails only where nothing may be left out.
left_out() {
	[ "${E2E:-}" != required ] || fail "$1"
	say "LEFT OUT: the bill of materials: $1"
	exit 0
}
locked "$cache/cyclonedx.lock" install || left_out "cannot install cargo-cyclonedx $version"

# It writes beside Cargo.toml, and nowhere else. Time and folder are left out: the same sources give the same file.
mkdir -p "$build/images"
trap 'rm -f "$root/daskflow-sbom.json"' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0) "$bin/cargo-cyclonedx" cyclonedx --quiet \
	--format json --spec-version 1.5 --target "$target" --override-filename daskflow-sbom
sed -e "s#path+file://$root\##path+file:///src\##g" -e 's#?download_url=file://\.##g' daskflow-sbom.json >"$out.new"

# crates: names and versions of the release build, from Cargo itself.
crates() {
	cargo tree --locked --prefix none --edges normal,build --target "$target" --format '{p}' |
		sed -E 's/^([^ ]+) v([^ ]+).*/\1 \2/' | LC_ALL=C sort -u
}
grep -qF "$root" "$out.new" && fail "the bill of materials names this folder"

venv=$cache/venvs/sbom-$(hash_of tests/supply/requirements.txt "python=$(python3 -VV)")
make_venv() {
	[ ! -e "$venv/.made" ] || return 0
	rm -rf "$venv"
	python3 -m venv "$venv" &&
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
			--requirement tests/supply/requirements.txt >&2 && touch "$venv/.made"
}
locked "$cache/sbom-venv.lock" make_venv || left_out "cannot make the environment of tests/supply/requirements.txt"
count=$(crates | "$venv/bin/python" tests/supply/sbom.py "$out.new") || fail "the bill of materials is not whole"
mv "$out.new" "$out"
say "bill of materials: ${out#"$root"/}, $count crates"

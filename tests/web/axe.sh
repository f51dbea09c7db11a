#!/bin/bash
# Takes axe, the rules for accessible pages of Deque (axe-core, MPL-2.0), from a wheel of PyPI that has it, or the one that was
# taken earlier, and prints the path of its script. Exit status: 1, with the reason, when it cannot be had.
. "$(dirname "$0")/../lib.sh"

wheel=axe_playwright_python-0.1.8-py3-none-any.whl
sha256=fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8
folder=$cache/axe-${sha256:0:12}

take() {
	[ ! -e "$folder/axe.min.js" ] || return 0
	say "taking $wheel"
	rm -rf "$folder.new"
	mkdir -p "$folder.new"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder.new" axe-playwright-python==0.1.8 >&2
	echo "$sha256  $folder.new/$wheel" | sha256sum --check --quiet >&2
	python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    [name] = [name for name in wheel.namelist() if name.endswith("/axe.min.js")]
    open(sys.argv[2], "wb").write(wheel.read(name))' "$folder.new/$wheel" "$folder.new/axe.min.js"
	rm -rf "$folder"
	mv "$folder.new" "$folder"
}
mkdir -p "$cache"
locked "$cache/axe.lock" take
echo "$folder/axe.min.js"

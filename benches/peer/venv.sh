#!/bin/bash
# Makes the environment of dask-kubernetes, or takes that made earlier, and prints its Python. It lies in the cache, under the
# hash of its pins.
. "$(dirname "$0")/../../tests/lib.sh"
cd "$root"

type -P python3.11 >/dev/null || fail "dask-kubernetes is pinned for Python 3.11, which is not here"
venv=$cache/venvs/dask-kubernetes-$(hash_of benches/peer/requirements.txt "python=$(python3.11 -VV)")
make_venv() {
	[ ! -e "$venv/.made" ] || return 0
	say "making ${venv##*/}"
	rm -rf "$venv"
	python3.11 -m venv "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement benches/peer/requirements.txt >&2
	touch "$venv/.made"
}
locked "$venv.lock" make_venv
echo "$venv/bin/python"

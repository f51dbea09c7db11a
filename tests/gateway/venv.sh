#!/usr/bin/env bash
# Makes the virtual environment with Dask Gateway's server and proxy, or takes the one made earlier, and prints its
# Python:
#
#   DASKFLOW_GATEWAY_PYTHON=$(tests/gateway/venv.sh) cargo test --test files gateway
#
# It lives in ${XDG_CACHE_HOME:-~/.cache}/daskflow/venvs/gateway-<hash of pins and Python>. One that was left half made by
# a killed run has no stamp and is made anew. Exit status: 1, with the reason, when it cannot be made: the proxy is in
# the wheels for Linux and for macOS on Arm, and not elsewhere.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/daskflow/venvs
pins=$here/requirements.txt
mkdir -p "$cache"

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      # Behind a shim of pyenv is the real one: the environment must not depend on the folder it is used from.
      "$candidate" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
      return
    fi
  done
  echo "venv.sh: no Python from 3.10 on with venv; install one or name it: PYTHON=/path/to/python3 $0" >&2
  return 1
}

make_venv() {
  local dir=$1 python=$2
  [ -e "$dir/.made" ] && "$dir/bin/python" -c 'import dask_gateway, dask_gateway_server, distributed' 2>/dev/null && return
  echo "venv.sh: making ${dir##*/} with $python" >&2
  rm -rf "$dir"
  if "$python" -m venv "$dir" &&
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement "$pins" >&2 &&
    "$dir/bin/python" -m pip check >&2; then
    touch "$dir/.made"
    return
  fi
  rm -rf "$dir"
  return 1
}

python=$(find_python)
hash=$({ cat "$pins"; "$python" -VV; } | sha256sum | cut -c1-12)
dir=$cache/gateway-$hash
(flock 9; make_venv "$dir" "$python") 9>"$dir.lock"
echo "$dir/bin/python"

#!/usr/bin/env bash
# Makes a virtual environment of pinned packages, or takes the one made earlier, and prints its Python:
#
#   tests/venv.sh NAME OLDEST PINS MODULE...
#
# OLDEST is the oldest Python that the PINS are for, such as 3.9; the MODULEs are imported to see that all is there. It lives in
# ${XDG_CACHE_HOME:-~/.cache}/daskflow/venvs/NAME-<hash of pins and Python>. One that was left half made by a killed run has no
# stamp and is made anew. Exit status: 1, with the reason, when it cannot be made.
set -euo pipefail
shopt -s inherit_errexit

name=$1 oldest=$2 pins=$3
shift 3
imports=$(IFS=,; echo "import $*")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/daskflow/venvs
mkdir -p "$cache"

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    if "$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${oldest/./, }))" 2>/dev/null; then
      # Behind a shim of pyenv is the real one: the environment must not depend on the folder it is used from.
      "$candidate" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
      return
    fi
  done
  echo "venv.sh: no Python from $oldest on with venv; install one or name it: PYTHON=/path/to/python3" >&2
  return 1
}

make_venv() {
  local dir=$1 python=$2
  [ -e "$dir/.made" ] && "$dir/bin/python" -c "$imports" 2>/dev/null && return
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
dir=$cache/$name-$hash
(flock 9; make_venv "$dir" "$python") 9>"$dir.lock"
echo "$dir/bin/python"

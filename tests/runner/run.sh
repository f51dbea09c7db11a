#!/usr/bin/env bash
# Runs the runner's tests on every engine, or on those named: tests/runner/run.sh [prefect-1.4.1 …] [-- pytest options]
# tests/runner/run.sh --list [ENGINE …] makes the environments only, and writes a line for each, such as
# DASKFLOW_PREFECT_1_4_1=/path/to/python, or a comment with the reason where there is none. It takes any of requirements/: kubecluster-*
# is for tests/compat.
# Virtual environments are made once, from the pins in requirements/, and kept in the user's cache directory.
set -euo pipefail
shopt -s inherit_errexit  # else a failing pip inside $(…) would leave a half-made environment marked as complete
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/daskflow/venvs
all=(prefect-0.13.19 prefect-1.4.1 prefect-3.8.8 dask-2026.8.0)
engines=()
list=''
[ "${1:-}" != "--list" ] || { list=1; shift; }
while [ $# -gt 0 ] && [ "$1" != "--" ]; do engines+=("$1"); shift; done
[ $# -gt 0 ] && shift
[ ${#engines[@]} -gt 0 ] || engines=("${all[@]}")

# The pins were resolved for Python 3.11. Anything else is a different set of packages, so it is said, not guessed.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 "$HOME"/.pyenv/versions/3.11.*/bin/python3.11 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "run.sh: no Python 3.11 with venv found; install one or name it: PYTHON=/path/to/python3.11 $0" >&2
  return 1
}
if [ -n "$list" ]; then
  python=$(find_python 2>/dev/null) || { echo "# ${engines[*]}: there is no Python 3.11"; exit 0; }
else
  python=$(find_python)
fi

# make_venv NAME: prints the python of a virtual environment with exactly the pins of requirements/NAME.txt.
make_venv() {
  local pins=$here/requirements/$1.txt hash dir
  [ -f "$pins" ] || { echo "run.sh: no engine $1; there are: ${all[*]}" >&2; return 1; }
  hash=$({ cat "$pins"; "$python" -VV; } | sha256sum | cut -c1-12)
  dir=$cache/$1-$hash
  mkdir -p "$cache"
  (
    flock 9
    # The file comes last, so a half-made environment is made again; one whose Python is gone too.
    if [ ! -f "$dir/complete" ] || ! "$dir/bin/python" -c 'import pip' 2>/dev/null; then
      echo "run.sh: making $dir" >&2
      rm -rf "$dir"
      "$python" -m venv "$dir" &&
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check -r "$pins" >&2 &&
        "$dir/bin/python" -m pip check >&2 &&
        touch "$dir/complete"
    fi
  ) 9>"$cache/$1.lock" || return
  echo "$dir/bin/python"
}

if [ -n "$list" ]; then
  for engine in "${engines[@]}"; do
    name=DASKFLOW_$(tr 'a-z.-' 'A-Z__' <<<"$engine")
    if path=$(make_venv "$engine"); then echo "$name=$path"; else echo "# $name: its environment cannot be made"; fi
  done
  exit 0
fi

pytest_python=$(make_venv pytest)
pythons=""
for engine in "${engines[@]}"; do
  path=$(make_venv "$engine")
  pythons+="${pythons:+, }\"$engine\": \"$path\""
done
# An older Dask, for the one test of a runner and a cluster too far apart.
old=$(make_venv dask-2024.12.1)
pythons+=", \"dask-2024.12.1\": \"$old\""
export DASKFLOW_RUNNER_PYTHONS="{$pythons}"
cd "$here"
# Two side by side, by engine (conftest.py); one by one, to look for a fault: tests/runner/run.sh -- -n 0
exec "$pytest_python" -m pytest -p no:cacheprovider -rs -n 2 --dist loadgroup --durations=15 --durations-min=2 "$@"

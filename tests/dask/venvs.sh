#!/usr/bin/env bash
# Makes one virtual environment for each file of requirements/, or takes the one made earlier, and lists
# them: a line `DASKFLOW_DASK_2026_8_0=/path/to/python` for each, a comment with the reason for each that could
# not be made. The list goes to standard output, or to a file:
#
#   tests/dask/venvs.sh [FILE]            then: DASKFLOW_DASK_VENVS=FILE cargo test --test dask real
#
# Environments live in ${XDG_CACHE_HOME:-~/.cache}/daskflow/venvs/<name>-<hash of pins and Python>. One that was left
# half made by a killed run has no stamp and is made anew. Runs side by side wait for each other, one lock each.
# Exit status: 0; with DASKFLOW_DASK_REQUIRED=1, 1 when an environment is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/daskflow/venvs
list=${1:-}
missing=0
mkdir -p "$cache"

say() { printf 'venvs: %s\n' "$*" >&2; }

# The Pythons of a minor version at hand, first the ones on PATH, then pyenv's. Each is asked what it is.
pythons_of() {
  local minor=$1 candidate
  for candidate in "python$minor" python3 "${PYENV_ROOT:-$HOME/.pyenv}/versions/$minor".*/bin/python3; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$minor" ] &&
      "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
      # Behind a shim of pyenv is the real one: environments must not depend on the folder they are used from.
      "$candidate" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
      return 0
    fi
  done
  return 1
}

# Makes the environment $2 of the pins $1 with the Python $3, unless it is there and whole.
make_venv() {
  local pins=$1 dir=$2 python=$3
  [ -e "$dir/.made" ] && "$dir/bin/python" -c 'import distributed' 2>/dev/null && return 0
  say "making ${dir##*/} with $python"
  rm -rf "$dir"
  "$python" -m venv "$dir" &&
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement "$pins" >&2 &&
    "$dir/bin/python" -c 'import distributed.cli.dask_scheduler, distributed.cli.dask_worker' >&2 &&
    touch "$dir/.made" && return 0
  rm -rf "$dir"
  return 1
}

# One line for the release whose pins are in $1.
line_for() {
  local pins=$1 release minor python hash dir tried=""
  release=$(basename "$pins" .txt)
  for minor in $(sed -n 's/^# python: //p' "$pins"); do
    tried="$tried $minor"
    python=$(pythons_of "$minor") || continue
    hash=$({ cat "$pins"; "$python" -VV; } | sha256sum | cut -c1-12)
    dir=$cache/dask-$release-$hash
    if (flock 9 && make_venv "$pins" "$dir" "$python") 9>"$dir.lock"; then
      echo "DASKFLOW_DASK_${release//./_}=$dir/bin/python"
      return 0
    fi
    say "dask $release could not be made with Python $minor"
  done
  echo "# DASKFLOW_DASK_${release//./_}: none of the Pythons it works with is here and usable:$tried"
  return 1
}

lines=""
for pins in "$here"/requirements/*.txt; do
  line=$(line_for "$pins") || missing=$((missing + 1))
  lines+=$line$'\n'
done

if [ -n "$list" ]; then
  printf '%s' "$lines" >"$list.new"
  mv "$list.new" "$list"
else
  printf '%s' "$lines"
fi
if [ "$missing" -gt 0 ]; then
  say "$missing release(s) left out"
  [ "${DASKFLOW_DASK_REQUIRED:-0}" = 1 ] && exit 1
fi
exit 0

#!/bin/bash
# The samples on this machine: no Kubernetes, no Docker, no root. Each runs once, on two Dask workers of its own, with the Python
# that is active where it has what the sample imports, else with one in an environment of ours.
#
# DASKFLOW=PROGRAM takes a program that is built already.
. "$(dirname "$0")/lib.sh"
cd "$root"
: >"$phases"
trap 'code=$?; end_phase $code; exit $code' EXIT
trap 'exit 130' INT TERM
work=$build/demo-local
mkdir -p "$work"
daskflow=${DASKFLOW:-${CARGO_TARGET_DIR:-$root/target}/debug/daskflow}

say "make demo-local, on $(nproc) cores: the program is compiled (minutes, the first time), environments of Python are made (a minute,"
say "    the first time), and two samples run (half a minute each)"
compile() { [ -n "${DASKFLOW:-}" ] || cargo build --locked --bin daskflow; }
say "1/3 the program"
phase "program" compile

# major PYTHON PACKAGE: the major version of a package that this Python has, beside Dask.
major() {
	"$1" - "$2" <<-'END' 2>/dev/null
		import sys
		sys.path[:] = [path for path in sys.path if path]
		from importlib.metadata import version
		version("distributed")
		print(version(sys.argv[1]).split(".")[0])
	END
}

# python_of_ours: the first Python that Prefect 3 works with.
python_of_ours() {
	local candidate
	for candidate in python3 python3.13 python3.12 python3.11 python3.10 "${PYENV_ROOT:-$HOME/.pyenv}/versions"/3.1[0-3].*/bin/python3; do
		if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
	return 1
}
# make_newest VENV PYTHON: Prefect 3 and Dask as they are today, where there is no Python for the versions of the tests.
make_newest() {
	[ ! -e "$1/.made" ] || return 0
	rm -rf "$1"
	"$2" -m venv "$1" &&
		"$1/bin/python" -m pip install --quiet --disable-pip-version-check 'prefect>=3,<4' prefect-dask distributed >&2 && touch "$1/.made"
}

# choose_pythons: for Prefect 3, for Prefect 1 (perhaps none), and for plain Dask.
python3_of=() python1_of=()
choose_pythons() {
	local active=${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python} ours venv
	active=${active:-python3}
	if [ "$(major "$active" prefect)" = 3 ] && major "$active" prefect-dask >/dev/null; then
		python3_of=("$active" "the active one")
	elif ours=$(tests/runner/run.sh --list prefect-3.8.8) && [[ "$ours" = DASKFLOW_PREFECT_3_8_8=* ]]; then
		python3_of=("${ours#*=}" "an environment of ours, with the versions of the tests")
	else
		ours=$(python_of_ours) || fail "there is no Python from 3.10 to 3.13 with venv: install one (on Debian: apt install python3 python3-venv)"
		venv=$cache/venvs/prefect-3-newest-$(hash_of "python=$("$ours" -VV)")
		locked "$venv.lock" make_newest "$venv" "$ours" || fail "pip cannot install prefect, prefect-dask and distributed: see above"
		python3_of=("$venv/bin/python" "an environment of ours")
	fi
	if [[ "$(major "$active" prefect)" = [01] ]]; then
		python1_of=("$active" "the active one")
	elif ours=$(tests/runner/run.sh --list prefect-1.4.1) && [[ "$ours" = DASKFLOW_PREFECT_1_4_1=* ]]; then
		python1_of=("${ours#*=}" "an environment of ours, with the versions of the tests")
	fi
}
say "2/3 Python"
phase "Python" choose_pythons

# count WORDS FOLDER FILES: lines with these words in the logs of some pods of one daskflow.
count() { cat "$2"/daskflow-local-*/logs/default/$3 2>/dev/null | grep -c -e "$1" || true; }

# run SAMPLE WHAT TASKS WORDS PYTHON WHOSE: one sample, to its end. Its workers log at least so many lines with these words, and
# the script's own process logs none.
results=() failed=0
run() {
	local name=$1 tasks=$3 words=$4 folder=$work/$1 code=0 on_workers in_runner
	rm -rf "$folder"
	mkdir -p "$folder"
	say "    $name ($2), with $5: $6"
	TMPDIR=$folder "$daskflow" local -f "manifests/samples/$name" --once --python "$5" 2>&1 | sed 's/^/        /' || code=${PIPESTATUS[0]}
	on_workers=$(count "$words" "$folder" '*-default-?????.log')
	in_runner=$(count "$words" "$folder" '*-1-?????.log')
	if [ "$code" = 0 ] && [ "$on_workers" -ge "$tasks" ] && [ "$in_runner" = 0 ]; then
		results+=("$name: succeeded, $on_workers of $tasks tasks on Dask workers")
	else
		results+=("$name: FAILED (exit code $code; $on_workers of $tasks tasks on Dask workers, $in_runner in the script's own process): $folder")
		failed=1
	fi
}
say "3/3 the samples"
samples() {
	run prefect3 "Prefect 3" 21 "Task run .* Finished in state Completed" "${python3_of[@]}"
	if [ ${#python1_of[@]} -gt 0 ]; then
		run example "Prefect 1, 304 tasks" 304 "Starting task run" "${python1_of[@]}"
	else
		results+=("example: left out, since Prefect 1 needs a Python 3.11")
	fi
}
phase "samples" samples

echo
printf '%s\n' "${results[@]}"
cat "$phases"
[ "$failed" = 0 ] || { echo "The demo did NOT succeed."; exit 1; }
cat <<END

The same with a schedule, until Ctrl-C, or with a script of yours:

    $daskflow local -f manifests/samples/prefect3 --python ${python3_of[0]}
    $daskflow local SCRIPT.py --every 1m --python ${python3_of[0]}

Logs of this run are in $work. The page about it: docs/local.md. In Kubernetes: make demo
END

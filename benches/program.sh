# A bench of the program itself, which needs no cluster. Sourced after lib.sh.
#
# DASKFLOW=PATH is the program (default: the release build, which is built first), MINUTES=N how long the longest part takes
# (default: 10). SMALL=1: all at the smallest size.

figures() { # NAME PYTHON: those of benches/NAME/measure.py, into .build/NAME/figures.md and on standard output
	local name=$1 python=$2
	mkdir -p "$build/$name"
	if [ -z "${DASKFLOW:-}" ]; then
		(cd "$root" && cargo build --locked --release --bin daskflow)
		DASKFLOW=$(cd "$root" && realpath "${CARGO_TARGET_DIR:-target}")/release/daskflow
	fi
	"$python" "$root/benches/$name/measure.py" --daskflow "$DASKFLOW" --minutes "${MINUTES:-10}" ${SMALL:+--small} |
		tee "$build/$name/figures.md"
}

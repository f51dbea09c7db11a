#!/bin/sh
# Puts known faults into the operator, and shows that its laws find each of them:
#
#     tests/laws/mutations.sh [NAME..]
#
# Each fault is a patch under tests/laws/mutations. All are applied to one copy of the tree as it is, so that nothing here
# changes and there is one compilation; one that applies no longer fails. There `planted("NAME")` says whether this fault is
# at work, which DASKFLOW_PLANTED names. With none at work the copy must keep all laws. For each fault it says which kept
# histories find it, and after how many random ones it is found (of HISTORIES, 300 unless told). MUTATIONS_DIR says where
# the copy is kept between two calls, and CARGO_TARGET_DIR where it is compiled.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
copy=${MUTATIONS_DIR:-${TMPDIR:-/tmp}/daskflow-mutations}
histories=${HISTORIES:-300}
mkdir -p "$copy/tree" "$copy/logs"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$copy/target}"
all=$(cd tests/laws/mutations && ls ./*.patch | sed 's|^\./||; s|\.patch$||')

rm -rf "$copy/tree.new"
mkdir -p "$copy/tree.new"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$copy/tree.new"
for name in $all; do
    patch --quiet --force -p1 -d "$copy/tree.new" < "$here/tests/laws/mutations/$name.patch" > /dev/null || {
        echo "$name: does not apply any more"
        exit 1
    }
done
cat >> "$copy/tree.new/src/lib.rs" <<'RUST'

/// Whether the fault of this name is at work.
pub(crate) fn planted(name: &str) -> bool {
    std::env::var_os("DASKFLOW_PLANTED").is_some_and(|planted| planted == name)
}
RUST
# Only what differs is written, so that cargo compiles no more than that.
(cd "$copy/tree.new" && find . -type f) | while read -r file; do
    cmp --silent "$copy/tree.new/$file" "$copy/tree/$file" && continue
    mkdir -p "$copy/tree/$(dirname "$file")"
    cp "$copy/tree.new/$file" "$copy/tree/$file"
done
cd "$copy/tree"
cargo test --locked --offline --test laws --no-run > "$copy/logs/compile.log" 2>&1 || {
    echo "it does not compile: $copy/logs/compile.log"
    exit 1
}
laws=$(sed -n 's/.*Executable.*(\(.*\))$/\1/p' "$copy/logs/compile.log")

# Lives through the kept and the random histories with this fault at work.
live_through() {
    log=$copy/logs/$1
    DASKFLOW_PLANTED=$1 "$laws" operator::kept operator::clustered operator::edited > "$log.kept.log" 2>&1 || true
    DASKFLOW_PLANTED=$1 DASKFLOW_LAWS_SEED=0..$histories "$laws" --nocapture operator::whatever > "$log.random.log" 2>&1 || true
    kept=$(sed -n 's/^test operator::\(.*\) \.\.\. FAILED$/\1/p' "$log.kept.log" | tr '\n' ' ')
    random=$(sed -n 's/^\([0-9]*\) histories in .*/\1/p' "$log.random.log" | head -1)
    law=$(sed -n 's/^\(.*\): DASKFLOW_LAWS_SEED=.*/\1/p' "$log.random.log" | head -1)
}

failed=
live_through none
if [ -n "$kept$law" ]; then
    echo "none: laws are broken without any fault: $kept$law"
    failed=none
fi
echo "none: $random random histories, and no law is broken"
for name in ${*:-$all}; do
    live_through "$name"
    if [ -n "$law" ]; then
        echo "$name: found by random history $random of $histories: $law"
    fi
    if [ -n "$kept" ]; then
        echo "$name: found by kept histories: $kept"
    fi
    if [ -z "$kept$law" ]; then
        echo "$name: not found"
        failed="$failed $name"
    fi
done
test -z "$failed"

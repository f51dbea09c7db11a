#!/bin/sh
# Puts known faults into the operator, one at a time, and shows that its laws find each of them:
#
#     tests/laws/mutations.sh [NAME..]
#
# Each fault is a patch under tests/laws/mutations. It is applied to a copy of the tree as it is, so that nothing here
# changes; one that applies no longer fails. Each costs a compilation. MUTATIONS_DIR says where the copy and its
# target directory are kept between two calls.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
copy=${MUTATIONS_DIR:-${TMPDIR:-/tmp}/daskflow-mutations}
mkdir -p "$copy"
export CARGO_TARGET_DIR="$copy/target"

names=${*:-$(cd tests/laws/mutations && ls ./*.patch | sed 's|^\./||; s|\.patch$||')}
failed=
for name in $names; do
    patch="$here/tests/laws/mutations/$name.patch"
    rm -rf "$copy/tree.new"
    mkdir -p "$copy/tree.new" "$copy/tree"
    git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$copy/tree.new"
    if ! patch --quiet --force -p1 -d "$copy/tree.new" < "$patch" > /dev/null; then
        echo "$name: does not apply any more"
        failed="$failed $name"
        continue
    fi
    # Only what differs is written, so that cargo compiles no more than that.
    (cd "$copy/tree.new" && find . -type f) | while read -r file; do
        cmp --silent "$copy/tree.new/$file" "$copy/tree/$file" && continue
        mkdir -p "$(dirname "$copy/tree/$file")"
        cp "$copy/tree.new/$file" "$copy/tree/$file"
    done
    log="$copy/$name.log"
    if ! (cd "$copy/tree" && cargo test --locked --offline --test laws --no-run) > "$log" 2>&1; then
        echo "$name: does not compile: $log"
        failed="$failed $name"
    elif (cd "$copy/tree" && cargo test --locked --offline --test laws operator -- --nocapture) > "$log" 2>&1; then
        echo "$name: not found"
        failed="$failed $name"
    else
        echo "$name: found; $(grep -o '[0-9]* histories in .*' "$log" | head -1); $(grep -m 1 'DASKFLOW_LAWS_SEED=' "$log" | cut -c 1-200)"
    fi
done
test -z "$failed"

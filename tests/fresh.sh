#!/bin/bash
# Tries the last commit as on a fresh machine: an empty file system with Debian's base and a clone, nothing cached, and no
# package but those of a base system; only the toolchains (Rust, Go, Python) are this machine's, mounted read-only.
#
#   fresh.sh                 make demo, make cluster-down, make test
#   fresh.sh COMMAND...      each is run by a shell in the clone, one after the other, until one fails
#
# For a person before a release: about as long as both commands take on a machine that has nothing. Needs root, Debian or
# Ubuntu, and 30 GB below TMPDIR. It shares this machine's network: no embedded cluster may be up meanwhile.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || fail "a file system of its own needs root"
need_packages images # for mmdebstrap
[ $# -gt 0 ] || set -- "make demo" "make cluster-down" "make test"

# What a machine with the base toolchains has. The second line is what Pythons that were compiled on this machine link to.
base=ca-certificates,git,make,gcc,g++,libc6-dev,python3,python3-venv,python3-dev,procps,util-linux,iproute2
base+=,libssl3,libffi8,libsqlite3-0,libreadline8,libbz2-1.0,liblzma5,zlib1g,libncursesw6,libuuid1

work=$(mktemp -d "${TMPDIR:-/tmp}/daskflow-fresh.XXXXXX")
new=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
say "making an empty Debian in $new"
mmdebstrap --quiet --variant=minbase --include="$base" bookworm "$new"
git clone --quiet "file://$root" "$new/srv/daskflow"

# The network's names, certificates and package sources of this machine, and where its package clients are told of them.
mkdir -p "$new/etc/ssl/certs" "$new/etc/apt" "$new/usr/local/share/ca-certificates"
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do [ ! -e "$file" ] || cp -L "$file" "$new$file"; done
for folder in /etc/ssl/certs /etc/apt /usr/local/share/ca-certificates /usr/share/keyrings; do
	[ ! -d "$folder" ] || { mkdir -p "$new$folder" && cp -a "$folder/." "$new$folder/"; }
done

# mounts: FROM TO, one a line: the toolchains, under the same paths.
mounts() {
	rustc --print sysroot
	go env GOROOT
	[ ! -d "${PYENV_ROOT:-$HOME/.pyenv}/versions" ] || echo "${PYENV_ROOT:-$HOME/.pyenv}/versions"
}
path=$(rustc --print sysroot)/bin:$(go env GOROOT)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
settings=$(env | grep -E '^[A-Z_]*(SSL_CERT|CA_BUNDLE|PIP_|GOPROXY|GOSUMDB|GOFLAGS|CARGO_(HTTP|NET|REGISTR)|http_proxy|https_proxy|HTTPS?_PROXY|NO_PROXY)[A-Z_]*=' || true)

# inside: in namespaces of its own for mounts and processes, so that nothing outlives it, with $new as the root.
inside() {
	local from
	mount --bind "$new" "$new"
	mount -t proc proc "$new/proc"
	mount --rbind /sys "$new/sys"
	mount --rbind /dev "$new/dev"
	mount -t tmpfs tmpfs "$new/run"
	while read -r from; do
		mkdir -p "$new$from"
		mount --bind "$from" "$new$from"
		mount -o remount,bind,ro "$new$from"
	done < <(mounts)
	mkdir -p "$new/old"
	cd "$new"
	pivot_root . old
	exec chroot . /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH="$path" TERM="${TERM:-dumb}" ${settings:+$settings} \
		PYENV_ROOT="${PYENV_ROOT:-$HOME/.pyenv}" CI="${FRESH_CI:-}" E2E="${E2E:-}" \
		bash -c 'umount -l /old && cd /srv/daskflow && for command; do
			begin=$SECONDS
			echo "+ $command"
			bash -c "$command" || { code=$?; echo "FAILED ($code) after $((SECONDS - begin)) s: $command"; exit $code; }
			echo "$command: $((SECONDS - begin)) s"
		done' fresh "$@"
}
export -f inside mounts
export new path settings
say "in it: $*"
code=0
unshare --mount --pid --fork --propagation private bash -c 'set -euo pipefail; inside "$@"' inside "$@" </dev/null || code=$?
[ $code = 0 ] && say "all of it went well on a fresh machine" || say "FAILED on a fresh machine: $code"
exit $code

#!/bin/bash
# Builds the images of the tests and saves each as .build/images/SHORT.tar, unless one of the same inputs is there.
#
#   build.sh                    all of them
#   build.sh SHORT...           some: operator, prefect1, prefect3, prefect0, dask (names.sh has the full names)
#
# The operator's is built with PROFILE=e2e, if not told otherwise, and has the labels REVISION and SOURCE where they are
# given. Its times are SOURCE_DATE_EPOCH (0), so that the same inputs give the same image.
#
# With a Docker engine: "docker build". Without one: buildah, which needs root, no engine and no image registry; the base
# images that the Dockerfiles ask for are then made from Debian packages. The Dockerfiles know nothing of that.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/names.sh"

# The machine's own image store stays as it is: the base images here have names that mean something else elsewhere.
store=$cache/containers
runroot=/run/daskflow-images${XDG_CACHE_HOME:+-${XDG_CACHE_HOME//\//-}} # two stores must not share it
buildah() { command buildah --root "$store" --runroot "$runroot" "$@"; }
python_base=docker.io/library/python:3.11-slim-bookworm
log=$build/logs/images.log

use_docker() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

# base NAME RECIPE PACKAGES [FLAGS]: a Debian root file system as an image. The label tells one of another recipe, or a
# half-made one, from the one that is wanted.
base() {
	local name=$1 packages=$2 recipe work container
	shift 2
	recipe=$(printf '%s\n' "$name" "$packages" "$@" | sha256sum | cut -c1-16)
	[ "$(buildah inspect --type image --format '{{index .OCIv1.Config.Labels "recipe"}}' "$name" 2>/dev/null)" = "$recipe" ] && return
	say "making the base image $name from Debian packages"
	work=$(mktemp -d)
	mmdebstrap --quiet --variant=minbase --include="$packages" "$@" bookworm "$work/root.tar" &&
		container=$(buildah from scratch) &&
		buildah add --quiet "$container" "$work/root.tar" / &&
		buildah config --cmd bash --label recipe="$recipe" --env PATH="$base_path" "$container" &&
		buildah commit --quiet --rm "$container" "$name" || { rm -r "$work"; return 1; }
	rm -r "$work"
}
base_path=/usr/local/rust/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin

# As in the official image, "python" is Python 3 and pip may install system-wide: Debian's own refuses that without the
# second hook.
python_base() {
	base "$python_base" ca-certificates,netbase,tzdata,python3,python3-pip,python3-venv \
		--customize-hook='ln -s python3 "$1/usr/bin/python"' \
		--customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
}

# The toolchain is this machine's: it is mounted while the build runs, and the base image holds only the C parts.
rust_version() { rustc --version | cut -d' ' -f2 | cut -d. -f1,2; }
rust_base() { base "docker.io/library/rust:$(rust_version)-slim-bookworm" ca-certificates,gcc,libc6-dev; }

# What the machine knows of the network (certificates, mirrors) is mounted for the time of the build, so that neither
# Dockerfile nor image knows of it.
mounts=()
collect_mounts() {
	local from to
	while read -r from to; do
		[ -e "$from" ] && mounts+=(--volume "$from:$to:ro")
	done <<-END
		/etc/ssl/certs /etc/ssl/certs
		/usr/local/share/ca-certificates /usr/local/share/ca-certificates
		/usr/share/ca-certificates /usr/share/ca-certificates
		${CARGO_HOME:-$HOME/.cargo}/config.toml /.cargo/config.toml
	END
	# pip's settings, from whatever of its files and variables they come; a variable counts most
	{
		echo '[global]'
		{ python3 -m pip config list 2>/dev/null || true; } | LC_ALL=C sort |
			sed -nE "s/^[^=]*\.(index-url|extra-index-url|cert|trusted-host)='(.*)'$/\1 = \2/p" | awk '!seen[$1]++'
	} >"$build/images/pip.conf"
	mounts+=(--volume "$build/images/pip.conf:/etc/pip.conf:ro")
}

# describe SHORT: its folder, its build arguments and what its hash counts.
describe() {
	args=()
	case $1 in
	operator)
		folder=.
		args=(--build-arg PROFILE="${PROFILE:-e2e}" --build-arg RUST_VERSION="$(rust_version)"
			--build-arg SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:=0}")
		[ -z "${REVISION:-}" ] || args+=(--build-arg REVISION="$REVISION")
		[ -z "${SOURCE:-}" ] || args+=(--build-arg SOURCE="$SOURCE")
		inputs=(Dockerfile .dockerignore Cargo.toml Cargo.lock src "rust=$(rustc --version)")
		;;
	dask) folder=tests/images/dask inputs=(tests/images/dask) ;;
	prefect0 | prefect1 | prefect3) folder=tests/images/flow-$1 inputs=("tests/images/flow-$1") ;;
	*) fail "no image $1: ${all_images[*]}" ;;
	esac
	inputs+=("builder=$builder" "args=${args[*]}")
	[ "$builder" = docker ] || inputs+=("bases=$(declare -f base python_base rust_base)")
}

# image SHORT: makes .build/images/SHORT.tar.
image() {
	local short=$1 name=image_$1 folder args inputs kept begin=$SECONDS
	describe "$short"
	name=${!name}
	kept=$cache/images/$short-$(hash_of "${inputs[@]}").tar
	if ! whole "$kept"; then
		say "building $name"
		rm -f "$kept"* # a damaged one
		"build_with_$builder" >>"$log" 2>&1 </dev/null || { tail -40 "$log" >&2; fail "cannot build $name (whole log: $log)"; }
		mv "$kept.new" "$kept"
		stat -c %s "$kept" >"$kept.size"
		say "built $name in $((SECONDS - begin)) s ($(du -h "$kept" | cut -f1))"
	fi
	touch "$kept" "$kept.size"
	ln -sfn "$kept" "$build/images/$short.tar"
	# Nobody asked for them for two weeks; of the operator's, which each change makes anew, no more than four are kept.
	find "$cache/images" -name "$short-*" -mtime +14 -delete
	ls -t "$cache/images/$short"-*.tar | tail -n +5 | while read -r old; do rm -f "$old" "$old.size"; done
}
whole() { [ -s "$1.size" ] && [ "$(stat -c %s "$1" 2>/dev/null)" = "$(cat "$1.size")" ]; }

build_with_docker() {
	DOCKER_BUILDKIT=1 docker build "${args[@]}" --tag "$name" "$root/$folder" && docker save --output "$kept.new" "$name"
}

build_with_buildah() {
	local volumes=("${mounts[@]}")
	if [ "$short" = operator ]; then
		rust_base || return
		volumes+=(--volume "$(rustc --print sysroot):/usr/local/rust:ro")
		# What depends on when and by which buildah it was made.
		volumes+=(--timestamp "$SOURCE_DATE_EPOCH" --identity-label=false)
	else
		python_base || return
	fi
	buildah build --pull=never --isolation chroot --network host --layers "${volumes[@]}" "${args[@]}" \
		--tag "$name" "$root/$folder" &&
		buildah push --quiet "$name" "docker-archive:$kept.new:$name"
}

build_some() {
	local short
	: >"$log"
	if use_docker; then builder=docker; else builder=buildah; fi
	if [ $builder = buildah ]; then
		need_packages buildah=buildah mmdebstrap=mmdebstrap
		healthy || { say "the image store is damaged: making it anew"; rm -rf "$store" "$runroot"; }
		collect_mounts
	fi
	for short; do image "$short"; done
}

# A killed build can leave a store that refuses everything.
healthy() { [ ! -e "$store" ] || buildah images >/dev/null 2>&1; }

mkdir -p "$build/images" "$build/logs" "$cache/images"
[ $# -gt 0 ] || set -- "${all_images[@]}"
locked "$cache/images.lock" build_some "$@"

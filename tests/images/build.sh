#!/bin/bash
# Builds the images of the tests and saves each as .build/images/SHORT.tar, unless one of the same inputs is there.
#
#   build.sh                    all of them
#   build.sh SHORT...           some: operator, prefect1, prefect3, prefect0, dask, gateway (names.sh has the full names)
#
#   build.sh --missing SHORT... print those of them that are not there yet
#
# The operator's is built with PROFILE=e2e, if not told otherwise, and has the labels REVISION and SOURCE where they are
# given. Its times are SOURCE_DATE_EPOCH (0), so that the same inputs give the same image. With COMPILE=here, which is the
# default without a Docker engine, the program is compiled by this machine's cargo, which keeps what it compiled, and takes the place
# of the Dockerfile's first stage; with COMPILE=container all of the Dockerfile is built, as for a release.
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

use_docker() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

# base NAME RECIPE PACKAGES [FLAGS]: a Debian root file system as an image. The label tells one of another recipe, or a
# half-made one, from the one that is wanted.
base() {
	local name=$1 packages=$2 recipe
	shift 2
	recipe=$(printf '%s\n' "$name" "$packages" "$@" | sha256sum | cut -c1-16)
	locked "$cache/images-base.lock" make_base "$@"
}
make_base() {
	local work container
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

# With COMPILE=container the toolchain is this machine's: it is mounted while the build runs, and the base image holds only the C parts.
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
		inputs=(Dockerfile .dockerignore Cargo.toml Cargo.lock src templates "rust=$(rustc --version)")
		;;
	dask | gateway) folder=tests/images/$1 inputs=("tests/images/$1") ;;
	prefect0 | prefect1 | prefect3) folder=tests/images/flow-$1 inputs=("tests/images/flow-$1") ;;
	*) fail "no image $1: ${all_images[*]}" ;;
	esac
	[ "$1" != operator ] || inputs+=("compile=$compile")
	inputs+=("builder=$builder" "args=${args[*]}")
	[ "$builder" = docker ] || inputs+=("bases=$(declare -f base make_base python_base rust_base)")
}

# image SHORT: makes .build/images/SHORT.tar.
image() {
	local short=$1 name=image_$1 folder args inputs kept log=$build/logs/image-$1.log begin=$SECONDS
	name=${!name}
	kept=$(kept_as "$short")
	describe "$short"
	if ! whole "$kept"; then
		say "building $name"
		say_progress
		rm -f "$kept"* # a damaged one
		"build_with_$builder" >"$log" 2>&1 </dev/null || { tail -40 "$log" >&2; fail "cannot build $name (whole log: $log)"; }
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
# say_progress names what shows how far the build is, for a script that runs this one in the background.
say_progress() {
	[ -n "${DASKFLOW_PROGRESS:-}" ] || return 0
	if [ "$short" = operator ] && [ "$compile" = here ]; then
		: >"$compile_log"
		echo "progress: $compile_log Compiling $(cd "$root" && cargo tree --locked --edges normal,build --prefix none --format '{p}' | sort -u | wc -l) crates"
	else
		: >"$log"
		echo "progress: $log ^STEP $(grep -c '^[A-Z]' "$root/$folder/Dockerfile") steps"
	fi >&2
}
kept_as() {
	local folder args inputs
	describe "$1"
	echo "$cache/images/$1-$(hash_of "${inputs[@]}").tar"
}
whole() { [ -s "$1.size" ] && [ "$(stat -c %s "$1" 2>/dev/null)" = "$(cat "$1.size")" ]; }

build_with_docker() {
	DOCKER_BUILDKIT=1 docker build "${args[@]}" --tag "$name" "$root/$folder" && docker save --output "$kept.new" "$name"
}

build_with_buildah() {
	local volumes=("${mounts[@]}")
	if [ "$short" = operator ]; then
		if [ "$compile" = here ]; then
			compile_operator || return
			volumes+=(--build-context "build=$program_dir")
		else
			rust_base || return
			volumes+=(--volume "$(rustc --print sysroot):/usr/local/rust:ro")
		fi
		# What depends on when and by which buildah it was made.
		volumes+=(--timestamp "$SOURCE_DATE_EPOCH" --identity-label=false)
	else
		python_base || return
	fi
	buildah build --pull=never --isolation chroot --network host --layers "${volumes[@]}" "${args[@]}" \
		--tag "$name" "$root/$folder" &&
		buildah push --quiet "$name" "docker-archive:$kept.new:$name"
}

# compile_operator: the program as the Dockerfile's first stage makes it (static, this profile), by this machine's cargo.
# Cargo keeps in its folder what it compiled, so that the dependencies are compiled once for all checkouts.
compile_operator() {
	local host
	host=$(rustc -vV | sed -n 's/^host: //p')
	program_dir=$build/images/program
	mkdir -p "$program_dir"
	(cd "$root" && CARGO_TARGET_DIR=$cache/image-target RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --locked --bin daskflow --profile "${PROFILE:-e2e}" --target "$host" 2>"$compile_log") ||
		{ tail -n 30 "$compile_log"; return 1; }
	cp "$cache/image-target/$host/${PROFILE:-e2e}/daskflow" "$program_dir/daskflow" &&
		touch --date="@$SOURCE_DATE_EPOCH" "$program_dir/daskflow"
}
compile_log=$build/logs/image-compile.log

choose_builder() {
	if use_docker; then builder=docker compile=container; else builder=buildah compile=${COMPILE:-here}; fi
}

# Images of different names are built side by side: the store has locks of its own.
build_some() {
	local short
	if [ $builder = buildah ] && [ -n "$(print_missing "$@")" ]; then
		need_packages images
		locked "$cache/images-store.lock" mend_store
		collect_mounts
	fi
	for short; do locked "$cache/images-$short.lock" image "$short"; done
}

print_missing() {
	local short
	for short; do whole "$(kept_as "$short")" || echo "$short"; done
}

# A killed build can leave a store that refuses everything.
mend_store() {
	[ -e "$store" ] && ! buildah images >/dev/null 2>&1 || return 0
	say "the image store is damaged: making it anew"
	rm -rf "$store" "$runroot"
}

mkdir -p "$build/images" "$build/logs" "$cache/images"
choose_builder
if [ "${1:-}" = --missing ]; then
	shift
	print_missing "$@"
	exit
fi
[ $# -gt 0 ] || set -- "${all_images[@]}"
build_some "$@"

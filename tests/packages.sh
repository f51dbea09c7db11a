#!/bin/bash
# The Debian packages that the scripts here need, from the list tests/cluster/packages.txt:
#
#   packages.sh install USE...   what is missing of those uses (images, node, tests)
#   packages.sh missing USE...   print it
#   packages.sh take-away        remove those that a script here installs again, so that a missing step is noticed. For CI
#                                and for trying out; nothing goes but what the list names
. "$(dirname "$0")/lib.sh"
list=$root/tests/cluster/packages.txt

# rows: program, package, use, and whether it may be taken away.
rows() { grep -v '^#' "$list"; }

# A shell function or an alias of the same name is not the program: type -P looks for files alone.
is_there() {
	local folder
	case $1 in
	cni:*)
		for folder in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do [ ! -x "$folder/${1#cni:}" ] || return 0; done
		return 1
		;;
	*) type -P "$1" >/dev/null ;;
	esac
}

missing() {
	local use program package used_by
	for use; do
		while read -r program package used_by _; do
			[ "$used_by" != "$use" ] || is_there "$program" || echo "$package"
		done < <(rows)
	done
}

install() {
	local packages log=$build/logs/apt.log
	mapfile -t packages < <(missing "$@")
	[ ${#packages[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] && type -P apt-get >/dev/null ||
		fail "missing: ${packages[*]}; install them, or run as root on Debian or Ubuntu"
	say "installing Debian packages: ${packages[*]}"
	mkdir -p "$build/logs"
	{
		apt-get -o DPkg::Lock::Timeout=300 update &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends \
				"${packages[@]}"
	} >"$log" 2>&1 </dev/null || { tail -20 "$log" >&2; fail "cannot install ${packages[*]} (whole log: $log)"; }
	mapfile -t packages < <(missing "$@")
	[ ${#packages[@]} = 0 ] || fail "installed, and their programs are still not found: ${packages[*]}"
}

# take_away removes each installed package of the list that may go, if apt says that nothing but packages of the list would
# go with it.
take_away() {
	local package there=() gone unnamed
	[ "$(id -u)" = 0 ] && type -P apt-get >/dev/null || { say "not as root on Debian: all packages stay"; return 0; }
	while read -r _ package _ spare; do
		[ "$spare" = yes ] && [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || continue
		gone=$(apt-get --simulate remove "$package" 2>/dev/null | sed -n 's/^Remv \([^ ]*\).*/\1/p')
		unnamed=$(grep -vxFf <(rows | awk '$4 == "yes" { print $2 }') <<<"$gone" || true)
		if [ -n "$unnamed" ]; then
			say "$package stays: with it would go ${unnamed//$'\n'/ }"
		else
			there+=("$package")
		fi
	done < <(rows)
	[ ${#there[@]} -gt 0 ] || { say "none of the packages that the scripts install is here"; return 0; }
	say "removing, to see that they are installed again: ${there[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 remove --yes "${there[@]}" >"$build/logs/apt-remove.log" 2>&1 </dev/null ||
		{ tail -20 "$build/logs/apt-remove.log" >&2; fail "cannot remove ${there[*]}"; }
}

mkdir -p "$build/logs"
case "${1:-}" in
install)
	shift
	locked "$cache/apt.lock" install "$@"
	;;
missing)
	shift
	missing "$@"
	;;
take-away) locked "$cache/apt.lock" take_away ;;
*)
	sed -n '2,8p' "$0" >&2
	exit 2
	;;
esac

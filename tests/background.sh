# Work in the background, its progress and its failures, for the scripts that prepare and run much. Sourced after lib.sh.
#
# What fails in the background ends the script at once, whatever it is waiting for at that moment.
background=$build/background # for each job NAME.pid, NAME.log, NAME.done (the seconds it took); and "failed", with the names of those that did
rm -rf "$background" && mkdir -p "$background"
script=$$

# in_background NAME COMMAND...: at the lowest priority, so that tests with clocks in them do not notice.
in_background() { start_job 19 "$@"; }
# beside NAME COMMAND...: as everything else.
beside() { start_job 0 "$@"; }

start_job() { # NICENESS NAME COMMAND...
	local nice=$1 name=$2
	shift 2
	(
		trap 'kill -- "-$child" 2>/dev/null; exit 143' TERM
		local begin=$SECONDS child
		DASKFLOW_PROGRESS=1 setsid nice -n "$nice" "$@" >"$background/$name.log" 2>&1 </dev/null &
		child=$!
		if wait "$child"; then
			echo $((SECONDS - begin)) >"$background/$name.done"
			exit 0
		fi
		echo "$name" >>"$background/failed"
		end_foreground
	) &
	echo $! >"$background/$name.pid"
}

# end_foreground ends what the script runs at the moment, but for its other background jobs; then "set -e" ends the script.
end_foreground() {
	local child
	for child in $(cat "/proc/$script/task/$script/children" 2>/dev/null); do
		is_background "$child" || end_tree "$child"
	done
}
is_background() { [ "$1" = "$BASHPID" ] || cat "$background"/*.pid 2>/dev/null | grep -qx "$1"; }
end_tree() {
	local child
	for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do end_tree "$child"; done
	kill "$1" 2>/dev/null || true
}

has_failed() { [ -s "$background/failed" ]; }
is_running() { [ -f "$background/$1.pid" ] && [ ! -f "$background/$1.done" ] && ! has_failed; }

# await NAME...: until these background jobs are done; a line of progress every 20 seconds. Fails as soon as any job does.
await() {
	local name begin=$SECONDS said=$SECONDS waiting=1 line
	while [ -n "$waiting" ]; do
		! has_failed || return 1
		waiting=''
		for name; do ! is_running "$name" || waiting+=" $name"; done
		[ -n "$waiting" ] || break
		if [ $((SECONDS - said)) -ge 20 ]; then
			said=$SECONDS line=''
			for name in $waiting; do line+="${line:+, }$(progress_of "$name")"; done
			say "    $(printf '%d:%02d' $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60)))  $line"
		fi
		sleep 0.5
	done
	! has_failed
}

# progress_of NAME: its log names by lines "progress: FILE PATTERN TOTAL UNIT" what is to be counted where. "=WORD" as the
# total stands for the number in that file behind "WORD: ". Else: the last line of the log.
progress_of() {
	local file pattern total unit
	read -r file pattern total unit < <(sed -n 's/^progress: //p' "$background/$1.log" | tail -n 1) || true
	[[ "${total:-}" != =* ]] || total=$(sed -n "s/^${total#=}: //p" "$file" | tail -n 1)
	if [ -n "${unit:-}" ]; then
		echo "$1: $(grep -c -- "$pattern" "$file" 2>/dev/null || true) of ${total:-?} $unit"
	else
		echo "$1: $(tail -n 1 "$background/$1.log" | cut -c1-100)"
	fi
}

# end_background ends what still runs, and says why the script fails where a job is the cause. For the trap on EXIT.
end_background() {
	local file name
	for file in "$background"/*.pid; do
		[ -f "${file%.pid}.done" ] || kill "$(cat "$file" 2>/dev/null)" 2>/dev/null || true
		# What had failed in a test program that is ended here.
		[ -f "${file%.pid}.done" ] || grep -H '^test .* FAILED' "${file%.pid}.log" >&2 || true
	done
	! has_failed || while read -r name; do
		say "FAILED in the background: $name; the last lines of $background/$name.log:"
		last_lines "$background/$name.log" >&2
	done <"$background/failed"
}

# last_lines FILE: the last forty; of a test program all that it says of its failures.
last_lines() {
	if grep -q '^failures:$' "$1"; then sed -n '/^failures:$/,$p' "$1" | tail -n 400; else tail -n 40 "$1"; fi
}

# What parts take: about_time KEY SECONDS prints how long the part took here the last time that it was not cached, else
# SECONDS (measured on two cores), as words. took KEY SECONDS remembers it.
times=$cache/times
about_time() {
	local seconds
	seconds=$(sed -n "s/^$1 //p" "$times" 2>/dev/null | tail -n 1)
	seconds=${seconds:-$2}
	if [ "$seconds" -ge 90 ]; then echo "about $(((seconds + 30) / 60)) min"; else echo "about $seconds s"; fi
}
took() {
	{ grep -v "^$1 " "$times" 2>/dev/null || true; echo "$1 $2"; } >"$times.$$" && mv "$times.$$" "$times"
}

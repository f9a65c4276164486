#!/usr/bin/env bats
# One line of 4 GiB: the monitor's memory stays what it is for a short line, and what it makes itself
# is no more than that of Debian's conmon, $CONMON, for the same input.

load common

bench=$top/tests/bench

setup() {
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 -static "$bench/workload.c" -o "$rootfs/bin/workload"
}

# watch NAME STEP: runs a step of workload.c in the container NAME, which ends with code 7, and sets
# peak and own to amounts of memory in KiB that its monitor has had: the most of all, and the most of
# its own, without programs and libraries. No random addresses: on them depends how many of the
# libraries' pages the kernel maps around each one that is used.
watch() {
	local end pid PODMAN=(setarch -R "${PODMAN[@]}")
	mkfifo "$shared/$1"
	container -d --name "$1" --log-opt max-size=10mb -- \
		workload run "$2" "wait:/shared/$1" exit:7
	pid=$(field "$1" '{{.State.ConmonPid}}')
	exec {end}<>"$shared/$1" # this way it does not block; the workload goes on when it is closed
	read -r peak own < <(cd "$bench" && timeout "$limit" python3 -B -c \
		"import measure; print(*measure.most($pid, $end))")
	equal 1 "$(timeout "$limit" head -c 1 <&"$end" | wc -c)"
	exec {end}>&-
	equal 7 "$(podman wait "$1")"
	wait_gone "$pid"
}

@test "an endless line: memory, log and exit code" {
	watch short write:4096:4096:0
	local short=$peak
	watch endless write:0:$((4 << 30)):0
	local endless=$peak ours=$own
	local log
	log=$(field endless '{{.HostConfig.LogConfig.Path}}')
	(($(stat -c %s "$log") <= 10 << 20))
	run -0 "$rootfs/bin/workload" scan "$log" 0
	echo "$output"
	[[ $output == *" full=0 partial="[1-9]*" torn=0 wrong=0 longest=16384" ]]

	PODMAN+=(--conmon "${CONMON:-/usr/bin/conmon}")
	watch conmon write:0:$((4 << 30)):0
	echo "KiB at most: short line $short, endless line $endless; of its own: $ours, conmon $own"
	((ours > 0))
	((endless <= short + 1024))
	((ours <= own))
}

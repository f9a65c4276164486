#!/usr/bin/env bats
# Kills for want of memory on cgroup v2, where systemd removes a cgroup as soon as it is empty.

load common

# Takes more than the 16 MiB that containers have here.
hog='dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null'

is_marked() {
	[[ -e $bundle/persist/oom && -e $bundle/oom ]]
}

is_not_marked() {
	[[ ! -e $bundle/persist/oom && ! -e $bundle/oom ]]
}

ended_with() {
	equal "$1" "$(cat "$bundle/exits/$id")"
}

# marked MONITOR TIMES: how many of so many killed containers it has marked
marked() {
	local i count=0
	for ((i = 0; i < $2; i++)); do
		new_container "$(script "exec $hog")"
		create "$1"
		start
		wait_end
		ended_with 137
		[[ -e $bundle/oom ]] && count=$((count + 1))
	done
	echo "$count"
}

@test "killed, and the cgroup is gone at once: 50 of 50" {
	ours=$(marked "$conward" 50)
	conmon=$(marked /usr/bin/conmon 5)
	echo "# conward: $ours of 50; $(conmon --version | head -n 1): $conmon of 5" >&3
	equal 50 "$ours"
}

@test "killed by somebody" {
	for i in {1..5}; do
		new_container "$(script 'sleep 1000')"
		create "$conward"
		start
		crun kill "$id" KILL
		wait_end
		ended_with 137
		is_not_marked
	done
}

@test "at its limits and not killed, and later killed" {
	new_container "$(script "mkfifo /run/full /run/go
		for limit in high max; do
			dd if=/dev/zero of=/run/file bs=1M count=64 2>/dev/null; echo full >/run/full; read -r word </run/go
		done; exec $hog")"
	create "$conward"
	echo 12M >"$cgroup/memory.high"
	start
	for event in high max; do
		until_true test -p "$bundle/go"
		timeout "$limit" cat "$bundle/full"
		grep -Eq "^$event [1-9]" "$cgroup/memory.events"
		has_figure oom_kills 0
		is_not_marked
		echo max >"$cgroup/memory.high"
		tell go
	done
	wait_end
	ended_with 137
	is_marked
}

@test "one process of several, then another" {
	new_container "$(script "mkfifo /run/go; exec 3<>/run/go; while read -r word <&3; do $hog; done; exit 7")"
	create "$conward"
	start
	until_true test -p "$bundle/go"
	for i in 1 2; do
		tell go
		until_true has_figure oom_kills "$i"
		until_true is_marked
	done
	"$ctl" culprit --json | jq -r .mend | grep -q 'podman update --memory 32m'
	crun kill "$id" KILL
	wait_end
	ended_with 137
	is_marked
}

@test "all processes together (memory.oom.group)" {
	new_container "$(script "sleep 1000 & sleep 1000 & exec $hog") | .linux.resources.unified = {\"memory.oom.group\": \"1\"}"
	create "$conward"
	start
	wait_end
	ended_with 137
	is_marked
}

@test "exec: a kill before it does not count, one meanwhile does" {
	new_container "$(script "mkfifo /run/go; read -r word </run/go; $hog; exec sleep 1000")"
	create "$conward"
	start
	until_true test -p "$bundle/go"
	tell go
	until_true has_figure oom_kills 1
	for script in "true" "$hog"; do
		exec_bundle=$bundle/exec-${#script}
		mkdir -p "$exec_bundle/persist"
		jq --arg script "sleep 1; $script" '.process | .args = ["sh", "-c", $script]' "$bundle/config.json" >"$exec_bundle/spec"
		timeout "$limit" "$conward" --exec --exec-process-spec "$exec_bundle/spec" --cid "$id" --cuuid "$id" \
			--runtime /usr/bin/crun --bundle "$exec_bundle" --container-pidfile "$exec_bundle/pidfile" \
			--conmon-pidfile "$exec_bundle/monitor" --persist-dir "$exec_bundle/persist" --log-path none \
			--full-attach --api-version 1 </dev/null >/dev/null 2>&1
		until_true test -e "$exec_bundle/persist/exit"
		if [[ $script == true ]]; then
			[[ ! -e $exec_bundle/oom && ! -e $exec_bundle/persist/oom ]]
		else
			[[ -e $exec_bundle/oom && -e $exec_bundle/persist/oom ]]
		fi
	done
	crun kill "$id" KILL
	wait_end
}

# The cgroup may be gone before or after the kill is seen: that point is not always passed.
@test "the monitor crashes at any point between the kill and the report" {
	faulty=$built/tests/fault-points/conmon
	points=$(FAULT_POINTS=list "$faulty" |
		grep -E '^(monitor-oom|process-cgroup-oom)\.c:(monitor_oom_look|open_count|count_kills|kills_in):')
	for point in $points; do
		new_container "$(script "mkfifo /run/go; exec 3<>/run/go; read -r word <&3; $hog; read -r word <&3; exec $hog")"
		mkdir "$bundle/faults"
		echo 1 >"$bundle/faults/$point"
		FAULT_POINTS=$bundle/faults create "$faulty"
		start
		until_true test -p "$bundle/go"
		tell go
		until_true has_figure oom_kills 1
		until_true is_marked
		tell go
		wait_end
		ended_with 137
		is_marked
		echo "$point: $(<"$bundle/faults/$point")"
		[[ $point == *:kills_in:* || $(<"$bundle/faults/$point") =~ ^0\ *$ ]]
	done
}

# podman_run NAME STATUS SCRIPT
podman_run() {
	local status=0
	podman --conmon "$conward" run --name "$1" --log-driver k8s-file --network none --memory 16m \
		--memory-swap 16m --rootfs "$rootfs" sh -c "$3" || status=$?
	equal "$2" "$status"
}

# While podman run's own cleanup goes on behind it, Podman cannot always say anything of a container.
podman_says() {
	[[ $(podman container inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' "$1") == "$2" ]]
}

@test "podman says OOMKilled" {
	for i in 1 2 3; do
		podman_run "killed$i" 137 "exec $hog"
		until_true podman_says "killed$i" "true 137"
	done
	podman_run well 7 'exit 7'
	until_true podman_says well "false 7"
}

#!/usr/bin/env bats
# stop, kill, rm, wait, and signals to the monitor itself.

load common

# A container that says it is ready, waits for a line on its fifo, and ends with code 5; on SIGTERM
# it says so and ends with code 4. The shell reads the fifo itself so that a trap can interrupt it.
start_waiting() {
	mkfifo "$shared/$1"
	container -d --name "$1" -- sh -c "
		trap 'echo got TERM; exit 4' TERM
		trap 'echo got USR1' USR1
		exec 3<>/shared/$1
		echo ready
		until read -r line <&3; do :; done
		echo \"read \$line\"
		exit 5" >/dev/null
	log=$(field "$1" '{{.HostConfig.LogConfig.Path}}')
	pid=$(field "$1" '{{.State.ConmonPid}}')
	wait_grep ' ready$' "$log"
}

@test "stop: the container gets SIGTERM and may end by itself" {
	start_waiting stopped
	podman stop -t "$limit" stopped
	equal "4 exited" "$(field stopped '{{.State.ExitCode}} {{.State.Status}}')"
	equal $'ready\ngot TERM' "$(podman logs stopped)"
	wait_gone "$pid"
}

@test "stop -t 0: SIGKILL is reported as 137" {
	start_waiting stopped-hard
	podman stop -t 0 stopped-hard
	equal 137 "$(field stopped-hard '{{.State.ExitCode}}')"
}

@test "kill -s: a signal the container handles" {
	start_waiting signalled
	podman kill -s USR1 signalled
	wait_grep ' got USR1$' "$log"
	tell signalled end
	equal 5 "$(podman wait signalled)"
	equal $'ready\ngot USR1\nread end' "$(podman logs signalled)"
}

@test "kill: SIGKILL is reported as 137, not as out of memory" {
	start_waiting killed
	podman kill killed
	equal 137 "$(podman wait killed)"
	equal "137 false" "$(field killed '{{.State.ExitCode}} {{.State.OOMKilled}}')"
	wait_gone "$pid"
}

@test "a container killed behind podman's back is reported as 137" {
	start_waiting shot
	kill -KILL "$(field shot '{{.State.Pid}}')"
	equal 137 "$(podman wait shot)"
}

@test "rm -f of a running container takes the monitor along" {
	start_waiting removed
	podman rm -f -t 0 removed
	run -1 podman container exists removed
	wait_gone "$pid"
}

@test "several podman wait at once" {
	start_waiting awaited
	podman wait awaited >"$BATS_TEST_TMPDIR/1" 3>&- &
	first=$!
	podman wait awaited >"$BATS_TEST_TMPDIR/2" 3>&- &
	second=$!
	tell awaited end
	wait "$first" "$second"
	equal $'5\n5' "$(cat "$BATS_TEST_TMPDIR/1" "$BATS_TEST_TMPDIR/2")"
}

@test "SIGPIPE does not touch the monitor" {
	start_waiting piped
	for _ in 1 2 3; do kill -PIPE "$pid"; done
	tell piped end
	equal 5 "$(podman wait piped)"
	equal $'ready\nread end' "$(podman logs piped)"
}

@test "SIGTERM to the monitor is passed on to the container" {
	start_waiting passed-on
	kill -TERM "$pid"
	equal 4 "$(podman wait passed-on)"
	equal $'ready\ngot TERM' "$(podman logs passed-on)"
}

@test "a process that outlives the container's first one does not keep the monitor" {
	# Without a pid namespace the grandchild is not killed with its parent.
	mkfifo "$shared/outlive"
	run -6 container --pid host --name outlived -- sh -c \
		'sh -c "exec 3<>/shared/outlive; read -r line <&3" & echo ended; exit 6'
	equal ended "$output"
	equal "6 exited" "$(field outlived '{{.State.ExitCode}} {{.State.Status}}')"
	equal "" "$(monitors)"
}

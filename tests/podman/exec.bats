#!/usr/bin/env bats
# podman exec, attached and detached, and health checks: each is a monitor of its own.

load common

# start_box NAME [PODMAN-RUN-OPTION…]: a container that waits for a line on its fifo, and its directory.
start_box() {
	mkfifo "$shared/$1"
	container -d --name "$1" "${@:2}" -- cat "/shared/$1" >/dev/null
	directory=$(dirname "$(field "$1" '{{.ConmonPidFile}}')")
	pid=$(field "$1" '{{.State.ConmonPid}}')
	files=$(ls "$directory")
}

# No exec has left anything: neither a monitor nor a file.
nothing_left() {
	equal "$pid" "$(monitors)"
	equal "$files" "$(ls "$directory")"
}

# wait_alone: waits until only the container's own monitor is there.
wait_alone() {
	local other
	for other in $(monitors); do
		[[ $other == "$pid" ]] || wait_gone "$other"
	done
}

end_box() {
	tell "$1" end
	equal 0 "$(podman wait "$1")"
	wait_gone "$pid"
}

@test "exec: stdout and stderr arrive apart and exact" {
	start_box apart
	podman exec apart sh -c 'printf "out 1\nout 2"; printf "err 1\nerr 2" >&2' \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	equal $'out 1\nout 2.' "$(cat "$BATS_TEST_TMPDIR/out"; echo .)"
	equal $'err 1\nerr 2.' "$(cat "$BATS_TEST_TMPDIR/err"; echo .)"
	wait_alone
	nothing_left
	end_box apart
}

@test "exec: the exit status is the command's, and 126 and 127 say that there was none" {
	start_box codes
	for code in 0 1 5 125 255; do
		run -"$code" podman exec codes sh -c "exit $code"
	done
	run -137 podman exec codes sh -c 'kill -KILL $$'
	run -126 podman exec codes /etc
	[[ $output == *[Pp]ermission\ denied* ]]
	run -127 podman exec codes nonsense
	[[ $output == *nonsense*"executable file not found"* ]]
	wait_alone
	nothing_left
	end_box codes
}

@test "exec -t: the command has a terminal" {
	start_box terminal
	equal $'a terminal\r' "$(podman exec -t terminal sh -c 'test -t 0 && test -t 1 && echo a terminal')"
	run -5 podman exec -t terminal sh -c 'exit 5'
	run -127 podman exec -t terminal nonsense
	wait_alone
	nothing_left
	end_box terminal
}

@test "exec -i: the command reads what podman reads, to the end" {
	start_box input
	head -c 1500000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	want=$(sha256sum <"$BATS_TEST_TMPDIR/bytes")
	equal "$want" "$(podman exec -i input sha256sum <"$BATS_TEST_TMPDIR/bytes")"
	podman exec -i input cat <"$BATS_TEST_TMPDIR/bytes" >"$BATS_TEST_TMPDIR/back"
	same "$BATS_TEST_TMPDIR/bytes" "$BATS_TEST_TMPDIR/back"
	equal "" "$(podman exec -i input cat </dev/null)"
	wait_alone
	nothing_left
	end_box input
}

@test "exec without -i: the command has no input" {
	start_box no-input
	equal 0 "$(echo word | podman exec no-input wc -c)"
	end_box no-input
}

@test "exec -d: podman returns, the command runs" {
	start_box detached
	mkfifo "$shared/detached-exec"
	podman exec -d detached sh -c 'read -r word </shared/detached-exec; echo "$word" >/shared/detached-done'
	run -0 monitors
	equal 2 "${#lines[@]}"
	tell detached-exec hello
	wait_grep hello "$shared/detached-done"
	wait_alone
	end_box detached
}

@test "exec: ten megabytes arrive" {
	start_box much
	yes 0123456789 | head -c 10000000 >"$BATS_TEST_TMPDIR/want"
	podman exec much sh -c 'yes 0123456789 | head -c 10000000' >"$BATS_TEST_TMPDIR/got"
	same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/got"
	end_box much
}

@test "exec of a command that leaves a process behind does not wait for it" {
	start_box orphan
	run -3 podman exec orphan sh -c 'sleep 100000 & echo started; exit 3'
	equal started "$output"
	wait_alone
	nothing_left
	end_box orphan
}

@test "exec: what a process left behind prints at once arrives" {
	monitor_is_conward || skip "conmon loses it"
	start_box late
	run -3 podman exec late sh -c '(while kill -0 $$ 2>/dev/null; do :; done; echo late) & echo hello; exit 3'
	equal $'hello\nlate' "$output"
	end_box late
}

@test "health checks" {
	start_box healthy --health-cmd 'test -e /shared/healthy-now' --health-interval disable --health-retries 1
	run -1 podman healthcheck run healthy
	: >"$shared/healthy-now"
	run -0 podman healthcheck run healthy
	equal healthy "$(field healthy '{{.State.Health.Status}}')"
	wait_alone
	equal "$pid" "$(monitors)"
	end_box healthy
}

@test "50 execs, one after another" {
	start_box many
	for ((number = 1; number <= 50; number++)); do
		run -"$number" podman exec many sh -c "echo $number; exit $number"
		equal "$number" "$output"
	done
	wait_alone
	nothing_left
	end_box many
}

@test "10 execs at once" {
	start_box at-once
	local pids=()
	for ((number = 1; number <= 10; number++)); do
		podman exec at-once sh -c "seq 1 1000 | sed 's/^/$number line /'" >"$BATS_TEST_TMPDIR/$number" 3>&- &
		pids+=("$!")
	done
	for ((number = 1; number <= 10; number++)); do
		wait "${pids[number - 1]}"
		seq 1 1000 | sed "s/^/$number line /" | same - "$BATS_TEST_TMPDIR/$number"
	done
	wait_alone
	nothing_left
	end_box at-once
}

@test "a container that is stopped takes what is executed in it along" {
	start_box stopped
	podman exec stopped sh -c 'echo ready; exec sleep 100000' >"$BATS_TEST_TMPDIR/out" 3>&- &
	exec_pid=$!
	wait_grep ready "$BATS_TEST_TMPDIR/out"
	podman stop -t 0 stopped
	status=0
	wait "$exec_pid" || status=$?
	equal 137 "$status"
	wait_gone "$pid"
	for other in $(monitors); do
		wait_gone "$other"
	done
}

@test "exec while a container is being stopped ends by itself" {
	mkfifo "$shared/stopping"
	container -d --name stopping -- sh -c "
		trap 'echo got TERM; read -r line <&3; exit 4' TERM
		exec 3<>/shared/stopping
		echo ready
		while :; do read -r line <&3; done" >/dev/null
	log=$(field stopping '{{.HostConfig.LogConfig.Path}}')
	pid=$(field stopping '{{.State.ConmonPid}}')
	wait_grep ' ready$' "$log"
	podman stop -t "$limit" stopping 3>&- &
	wait_grep ' got TERM$' "$log"
	run podman exec stopping true
	tell stopping end
	wait $!
	equal 4 "$(field stopping '{{.State.ExitCode}}')"
	wait_gone "$pid"
	equal "" "$(monitors)"
}

@test "over the API: what is known of an exec stays for a while, its monitor no longer than the container" {
	monitor_is_conward || skip "conmon stays for five minutes"
	start_box remote
	"${PODMAN[@]}" system service --time 0 "unix://$home/api" >/dev/null 2>&1 3>&- &
	service=$!
	timeout "$limit" sh -c "until [ -S $home/api ]; do sleep 0.1; done"
	run -7 env -u CONTAINERS_CONF timeout "$limit" podman --remote --url "unix://$home/api" exec remote sh -c 'exit 7'
	session=$(field remote '{{index .ExecIDs 0}}')
	[[ ! -e $directory/$session && ! -e $(dirname "$(field remote '{{.OCIConfigPath}}')")/$session ]]
	exec_monitor=$(monitors | grep -vx "$(field remote '{{.State.ConmonPid}}')")
	kill -SEGV "$exec_monitor" # it looks at once whether it can end
	curl --silent --unix-socket "$home/api" "http://podman/v4.0.0/libpod/exec/$session/json" | grep -q '"ExitCode":7'
	monitors | grep -qx "$exec_monitor"
	podman rm -f -t 0 remote
	wait_gone "$exec_monitor"
	kill "$service"
	wait "$service" || true
}

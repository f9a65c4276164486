#!/usr/bin/env bats
# Crashes of the monitor: the container, Podman and everybody who reads go on as if there had been none.

load common

setup() {
	monitor_is_conward || skip "conmon does not survive a crash"
	if [[ ! -x ${FAULT:-$top/build/tests/fault} ]]; then
		echo "${FAULT:-$top/build/tests/fault} is not an executable: build first, or set FAULT." >&2
		return 1
	fi
}

# What the containers do, with a name of their own as $0: numbered lines on both streams until the test
# has seen enough. Asked to stop by SIGTERM, they say so and go on until then.
printer='
	code=5
	trap "echo got TERM; code=4" TERM
	i=0
	until [ -e "/shared/$0" ]; do
		i=$((i + 1))
		echo "line $i"
		echo "line $i" >&2
		usleep 2000
	done
	echo "printed $i"
	echo "printed $i" >&2
	exit $code'

# start_printing NAME PODMAN-RUN-OPTION…
start_printing() {
	container --name "$1" --log-opt path="$BATS_TEST_TMPDIR/log" "${@:2}" -- sh -c "$printer" "$1"
}

# Waits until a container prints, and sets log and pid.
wait_printing() {
	log=$BATS_TEST_TMPDIR/log
	wait_grep ' line 1$' "$log"
	pid=$(field "$1" '{{.State.ConmonPid}}')
}

enough() {
	touch "$shared/$1"
}

# Ten signals and ten faults for a monitor that logs; twenty signals for any.
storm() {
	python3 -B "$top/tests/lib/storm.py" "$@"
}

# complete FILE [FIRST]: every line of a stream exactly once and in order, from the first one to the last.
complete() {
	local last
	last=$(sed -n 's/^printed //p' "$1")
	{
		seq -f 'line %.0f' "${2:-1}" "$last"
		echo "printed $last"
	} | same - "$1"
}

# logged NAME: podman logs has everything.
logged() {
	podman logs "$1" >"$BATS_TEST_TMPDIR/logged" 2>"$BATS_TEST_TMPDIR/logged-err"
	complete "$BATS_TEST_TMPDIR/logged"
	complete "$BATS_TEST_TMPDIR/logged-err"
}

# events ID: what Podman has noted of a container since it runs.
events() {
	podman events --stream=false --since 0 --filter container="$1" --format '{{.Status}}' |
		sed '1,/^start$/d'
}

@test "the log, the exit status and the monitor are what they are without crashes" {
	id=$(start_printing detached -d)
	wait_printing detached
	podman wait detached >"$BATS_TEST_TMPDIR/status" 3>&- &
	waiter=$!
	storm "$pid" "$log"
	equal "$pid running" "$(field detached '{{.State.ConmonPid}} {{.State.Status}}')"
	equal "$pid" "$(cat "$(field detached '{{.ConmonPidFile}}')")"
	equal "$pid" "$(monitors)"
	enough detached
	wait "$waiter"
	equal 5 "$(cat "$BATS_TEST_TMPDIR/status")"
	equal 5 "$(podman wait detached)"
	wait_gone "$pid"
	equal "5 exited" "$(field detached '{{.State.ExitCode}} {{.State.Status}}')"
	equal $'died\ncleanup' "$(events "$id")"
	logged detached
	podman rm detached
	run -1 podman container exists detached
	equal "" "$(monitors)"
}

@test "logs -f shows every line and ends with the container" {
	start_printing followed -d
	wait_printing followed
	podman logs -f followed >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	reader=$!
	wait_grep '^line 1$' "$BATS_TEST_TMPDIR/err"
	storm "$pid" "$log"
	enough followed
	wait "$reader"
	complete "$BATS_TEST_TMPDIR/out"
	complete "$BATS_TEST_TMPDIR/err"
}

@test "attached: podman run shows every line and has the container's exit status" {
	start_printing attached >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	podman_run=$!
	wait_printing attached
	storm "$pid" "$log"
	enough attached
	status=0
	wait "$podman_run" || status=$?
	equal 5 "$status"
	complete "$BATS_TEST_TMPDIR/out"
	complete "$BATS_TEST_TMPDIR/err"
	logged attached
}

@test "attach: every line from the moment of attaching on" {
	start_printing joined -d
	wait_printing joined
	podman attach --no-stdin joined >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	attached=$!
	wait_grep '^line ' "$BATS_TEST_TMPDIR/out"
	wait_grep '^line ' "$BATS_TEST_TMPDIR/err"
	storm "$pid" "$log"
	enough joined
	wait "$attached" || true # Podman's versions differ in what they make of the container's status
	equal 5 "$(podman wait joined)"
	sed -i '${/^$/d}' "$BATS_TEST_TMPDIR/out" # Podman's own
	for file in out err; do
		first=$(sed -n '1s/^line //p' "$BATS_TEST_TMPDIR/$file")
		complete "$BATS_TEST_TMPDIR/$file" "$first"
	done
	logged joined
}

@test "stop: crashes before the container ends" {
	start_printing stopped -d
	wait_printing stopped
	storm "$pid" "$log"
	podman stop -t "$limit" stopped 3>&- &
	stop=$!
	wait_grep ' got TERM$' "$log"
	storm "$pid" "$log"
	enough stopped
	wait "$stop"
	equal "4 exited" "$(field stopped '{{.State.ExitCode}} {{.State.Status}}')"
	wait_gone "$pid"
	podman logs stopped 2>/dev/null | grep -v '^got TERM$' >"$BATS_TEST_TMPDIR/out"
	complete "$BATS_TEST_TMPDIR/out"
}

@test "stop -t 0 and rm" {
	start_printing killed -d
	wait_printing killed
	storm "$pid" "$log"
	podman stop -t 0 killed
	equal "137 exited" "$(field killed '{{.State.ExitCode}} {{.State.Status}}')"
	wait_gone "$pid"
	podman rm killed
	run -1 podman container exists killed
}

@test "rm -f of a running container takes the monitor along" {
	start_printing removed -d
	wait_printing removed
	storm "$pid" "$log"
	podman rm -f -t 0 removed
	run -1 podman container exists removed
	wait_gone "$pid"
}

# start_witnessed NAME PODMAN-RUN-OPTION…: sets id. The exit command will leave a line in
# $BATS_TEST_TMPDIR/commands, and then, if there is a fifo $shared/NAME-go, wait for a line on it. The
# monitor knows it by the path of the Podman that has started the container: that is a copy, and later a
# script.
start_witnessed() {
	local podman=$BATS_TEST_TMPDIR/podman
	local PODMAN=("$podman" "${PODMAN[@]:1}")
	printf '#!/bin/sh\necho began >>%q\n[ ! -p %q ] || read -r word <%q\nexec %q "$@"\n' \
		"$BATS_TEST_TMPDIR/commands" "$shared/$1-go" "$shared/$1-go" "$(type -P podman)" >"$podman-witness"
	chmod 755 "$podman-witness"
	cp "$(type -P podman)" "$podman"
	id=$(start_printing "$@")
	mv "$podman-witness" "$podman"
}

@test "-d: the exit command runs once, however often the monitor crashes meanwhile" {
	mkfifo "$shared/once-go"
	start_witnessed once -d
	wait_printing once
	storm "$pid" "$log"
	enough once
	wait_grep began "$BATS_TEST_TMPDIR/commands"
	storm "$pid"
	equal "$pid" "$(monitors)"
	tell once-go go
	wait_gone "$pid"
	equal began "$(cat "$BATS_TEST_TMPDIR/commands")"
	equal $'died\ncleanup' "$(events "$id")"
	equal "5 exited" "$(field once '{{.State.ExitCode}} {{.State.Status}}')"
	logged once
}

@test "-d --rm: the container is removed once, however often the monitor crashes meanwhile" {
	mkfifo "$shared/gone-go"
	start_witnessed gone -d --rm
	wait_printing gone
	storm "$pid" "$log"
	enough gone
	wait_grep began "$BATS_TEST_TMPDIR/commands"
	storm "$pid"
	equal "$pid" "$(monitors)"
	tell gone-go go
	wait_gone "$pid"
	equal began "$(cat "$BATS_TEST_TMPDIR/commands")"
	equal $'died\nremove' "$(events "$id")"
	equal "" "$(podman ps -a -q --filter id="$id")"
	content "$log" stdout >"$BATS_TEST_TMPDIR/out"
	complete "$BATS_TEST_TMPDIR/out"
}

@test "-d --rm: crashes at any moment before, at and after the end" {
	start_witnessed going -d --rm
	wait_printing going
	storm "$pid" >"$BATS_TEST_TMPDIR/crashes" 3>&- &
	storm=$!
	wait_size "$BATS_TEST_TMPDIR/crashes" 1
	enough going
	wait "$storm"
	wait_gone "$pid"
	equal began "$(cat "$BATS_TEST_TMPDIR/commands")"
	equal $'died\nremove' "$(events "$id")"
	equal "" "$(podman ps -a -q --filter id="$id")"
	content "$log" stdout >"$BATS_TEST_TMPDIR/out"
	complete "$BATS_TEST_TMPDIR/out"
}

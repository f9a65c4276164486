#!/usr/bin/env bats
# Log driver passthrough: the container has Podman's own standard streams.

load common

# passed [PODMAN-RUN-OPTION…] -- COMMAND [ARG…]: a container whose output goes to where ours does
passed() {
	container --log-driver passthrough "$@"
}

# passed_in_background NAME SCRIPT: detached, with files; a pipe of ours would be the container's until its end
passed_in_background() {
	passed -d --name "$1" -- sh -c "$2" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null
}

@test "attached: stdout and stderr are Podman's, the exit status is the container's" {
	local status=0
	passed --rm -- sh -c 'echo out; echo err >&2; exit 7' \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
	equal 7 "$status"
	equal out "$(cat "$BATS_TEST_TMPDIR/out")"
	equal err "$(cat "$BATS_TEST_TMPDIR/err")"
	equal "" "$(monitors)"
}

@test "standard input is Podman's" {
	equal typed "$(echo typed | passed --rm -- cat)"
	equal typed "$(echo typed | passed --rm -i -- cat)"
}

@test "detached: Podman returns, the output goes on to where it went" {
	mkfifo "$shared/passed-go"
	passed_in_background passed-on 'echo hello >&2; cat /shared/passed-go >&2; exit 7'
	wait_grep hello "$BATS_TEST_TMPDIR/err"
	equal running "$(field passed-on '{{.State.Status}}')"
	pid=$(field passed-on '{{.State.ConmonPid}}')
	equal "/dev/null /dev/null /dev/null" \
		"$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | paste -sd ' ')"
	tell passed-go "and on"
	equal 7 "$(podman wait passed-on)"
	equal $'hello\nand on' "$(cat "$BATS_TEST_TMPDIR/err")"
}

@test "nothing is logged, and Podman says so" {
	passed_in_background not-logged 'echo hello'
	equal 0 "$(podman wait not-logged)"
	run ! podman logs not-logged
}

@test "stop and kill" {
	passed_in_background stopped 'trap "exit 9" TERM; echo ready >&2; while :; do sleep 0.01; done'
	wait_grep ready "$BATS_TEST_TMPDIR/err"
	podman stop -t 60 stopped
	equal 9 "$(podman wait stopped)"
}

@test "a missing command: 127, and the runtime's words" {
	run -127 passed --rm -- /no/such/command </dev/null
	[[ $output == *"/no/such/command"*"no such file or directory"* ]]
	equal "" "$(monitors)"
}

@test "a runtime that only writes to stderr: Podman and its words" {
	printf '#!/bin/sh\necho "wrong phase of the moon" >&2; exit 3\n' >"$BATS_TEST_TMPDIR/broken"
	chmod 755 "$BATS_TEST_TMPDIR/broken"
	run ! podman --runtime "$BATS_TEST_TMPDIR/broken" run --rm --log-driver passthrough \
		--rootfs "$rootfs" true </dev/null
	[[ $output == *"wrong phase of the moon"* ]]
	if monitor_is_conward; then
		[[ $output == *"failed with exit status 3 and wrote to its caller's standard error"* ]]
	fi
	equal "" "$(monitors)"
}

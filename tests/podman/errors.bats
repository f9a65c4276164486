#!/usr/bin/env bats
# What cannot start: the reason reaches the user, with the exit status Podman gives it.

load common

@test "a missing command: 127 and the runtime's words" {
	run -127 container --rm -- /no/such/command
	[[ $output == *"/no/such/command"*"no such file or directory"* ]]
	equal "" "$(monitors)"
}

@test "a command that is not in PATH: 127 and the runtime's words" {
	run -127 container --rm -- no-such-command
	[[ $output == *"no-such-command"*"executable file not found"* ]]
}

@test "a command that is a directory: 126 and the runtime's words" {
	run -126 container --rm -- /etc
	[[ $output == *"/etc"*"permission denied"* ]]
}

@test "a working directory that cannot be made: the runtime's words" {
	run ! container --rm -w /proc/none -- true
	[[ $output == *"/proc/none"* ]]
}

# broken_runtime SCRIPT: an OCI runtime that runs a shell script
broken_runtime() {
	printf '#!/bin/sh\n%s\n' "$1" >"$BATS_TEST_TMPDIR/broken"
	chmod 755 "$BATS_TEST_TMPDIR/broken"
}

broken_run() {
	podman --runtime "$BATS_TEST_TMPDIR/broken" run --rm --rootfs "$rootfs" true
}

@test "a runtime that only writes to stderr: its words reach the user" {
	broken_runtime 'echo "the moon is in the wrong phase: \"full\"" >&2; exit 1'
	run -126 broken_run
	[[ $output == *'the moon is in the wrong phase: "full"'* ]]
	equal "" "$(monitors)"
}

@test "a runtime that fails without a word" {
	broken_runtime 'exit 1'
	run ! broken_run
	equal "" "$(monitors)"
}

@test "a runtime that writes no pid file" {
	broken_runtime 'exit 0'
	run ! broken_run
	equal "" "$(monitors)"
}

@test "a runtime that writes 1 MiB to stderr: no deadlock, and the start of it is shown" {
	monitor_is_conward || skip "conmon waits for the runtime and does not read its stderr"
	broken_runtime 'echo "first words" >&2; head -c 1048576 /dev/zero | tr "\000" x >&2; exit 1'
	run -126 broken_run
	[[ $output == *"first words"*xxxxxxxx* ]]
	[[ $output != *"no logs from conmon"* ]]
	equal "" "$(monitors)"
}

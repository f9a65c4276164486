#!/usr/bin/env bats
# podman run -t, with a person at a terminal: script(1) makes it, a fifo is the keyboard, a file the screen.

load common

# sit_down COMMAND [ARG…]: runs a command of Podman at a terminal of 33 rows and 77 columns.
sit_down() {
	desk=$(mktemp -d "$BATS_TEST_TMPDIR/desk-XXXXXX")
	mkfifo "$desk/keyboard"
	exec {keyboard}<>"$desk/keyboard"
	{
		printf 'tty >%q/tty\nstty rows 33 cols 77\n' "$desk"
		printf 'timeout --foreground %q' "$limit"
		printf ' %q' "${PODMAN[@]}" "$@"
		printf '\n'
	} >"$desk/command"
	script -qefc "bash $desk/command" /dev/null <"$desk/keyboard" >"$desk/screen" 2>&1 3>&- {keyboard}>&- &
	person=$!
}

# run_at_terminal [PODMAN-RUN-OPTION…] -- COMMAND [ARG…]
run_at_terminal() {
	local options=()
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	sit_down run -v "$shared:/shared" "${options[@]}" --rootfs "$rootfs" "$@"
}

press() {
	printf %b "$1" >&"$keyboard"
}

shows() {
	wait_grep "$1" "$desk/screen" || {
		cat "$desk/screen"
		return 1
	}
}

# ends_with STATUS: waits for the command.
ends_with() {
	local status=0
	wait "$person" || status=$?
	exec {keyboard}>&-
	equal "$1" "$status"
}

# Podman asks for the size beside starting the container, not before: on a busy machine it may come a
# moment later than the first command.
@test "-it: the size is right from the start" {
	for _ in 1 2 3 4 5; do
		run_at_terminal -it --rm -- sh -c \
			'until stty size 2>/dev/null | grep -q "[1-9]"; do usleep 1000; done; stty size; exit 3'
		ends_with 3
		equal $'33 77\r\n.' "$(cat "$desk/screen"; echo .)"
	done
}

@test "-it: keys, echo, newlines and the exit status" {
	run_at_terminal -it --rm -- sh -c 'echo ready; read -r word; echo "got $word" | tee /shared/word; exit 3'
	shows '^ready'
	press 'key\r'
	ends_with 3
	equal $'ready\r\nkey\r\ngot key\r\n.' "$(cat "$desk/screen"; echo .)"
	equal "got key" "$(cat "$shared/word")"
}

@test "-it: the container follows a new size" {
	run_at_terminal -it --rm -- sh -c 'trap "stty size" WINCH; echo ready; while :; do read -r word && exit 3; done'
	shows '^ready'
	stty -F "$(cat "$desk/tty")" rows 20 cols 60
	shows '20 60'
	press 'x\r'
	ends_with 3
}

@test "-it: interrupt is a key" {
	run_at_terminal -it --rm -- sh -c 'trap "echo interrupted" INT; echo ready; read -r word; read -r word; exit 3'
	shows '^ready'
	press '\0003'
	shows interrupted
	press 'x\ry\r'
	ends_with 3
}

@test "-dit: attach, detach with a key, attach again" {
	container -dit --name lasting -- sh -c 'while read -r line; do echo "got $line"; done; exit 3' >/dev/null
	for word in one two; do
		# A single key: Podman knows two only if it reads them one by one.
		sit_down attach --detach-keys ctrl-q lasting
		press "$word\\r"
		shows "^got $word"
		press '\0021'
		ends_with 0
		equal running "$(field lasting '{{.State.Status}}')"
	done
	sit_down attach lasting
	press 'three\r'
	shows '^got three'
	press '\0004'
	ends_with 0
	equal 3 "$(podman wait lasting)"
	equal $'one\r\ngot one\r\ntwo\r\ngot two\r\nthree\r\ngot three\r\n.' \
		"$(content "$(field lasting '{{.HostConfig.LogConfig.Path}}')" stdout; echo .)"
}

@test "-t: the log has what the terminal has shown" {
	container -t --name logged -- sh -c 'seq 1 5000; echo err >&2' >"$BATS_TEST_TMPDIR/shown"
	same "$BATS_TEST_TMPDIR/shown" <(content "$(field logged '{{.HostConfig.LogConfig.Path}}')" stdout)
	equal 5001 "$(grep -c $'\r$' "$BATS_TEST_TMPDIR/shown")"
}

@test "-t: a missing command is told in the runtime's words" {
	run -127 container --rm -t -- /no/such/command
	[[ $output == *"/no/such/command"*"no such file or directory"* ]]
	equal "" "$(monitors)"
}

@test "-t: nothing stays in the directory for temporary files" {
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir "$TMPDIR"
	container --rm -t -- true
	run -127 container --rm -t -- /no/such/command
	equal "" "$(find "$TMPDIR" -name 'conward-*')"
}

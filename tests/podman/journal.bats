#!/usr/bin/env bats
# Containers that log to the journal, and podman logs. The journal is systemd's, run by hand: it, Podman
# and its containers have a /run of their own.

load common

eval "common_$(declare -f setup_file)"
eval "common_$(declare -f teardown_file)"

journald=/lib/systemd/systemd-journald

setup_file() {
	common_setup_file
	[[ -x $journald && -s /etc/machine-id ]] || return 0
	mkdir -p "$home"/slash-run/systemd/{journal,journald.conf.d} "$home/slash-run/log/journal"
	printf '%s\n' '[Journal]' Storage=volatile RateLimitIntervalSec=0 ReadKMsg=no Audit=no \
		>"$home/slash-run/systemd/journald.conf.d/test.conf"
	# shellcheck disable=SC2016 # the inner shell's
	unshare -m sh -c 'mount --bind "$1" /run && exec "$2"' sh "$home/slash-run" "$journald" \
		>/dev/null 2>&1 3>&- &
	echo $! >"$home/journald"
	timeout "$limit" sh -c 'until [ -S "$1" ]; do sleep 0.02; done' sh \
		"$home/slash-run/systemd/journal/socket"
}

setup() {
	[[ -e $home/journald ]] || skip "there is no $journald"
	kill -CONT "$(cat "$home/journald")" # of a test that has failed
	PODMAN=(nsenter -t "$(cat "$home/journald")" -m "${PODMAN[@]}")
}

teardown_file() {
	if [[ -e $home/journald ]]; then
		PODMAN=(nsenter -t "$(cat "$home/journald")" -m "${PODMAN[@]}")
	fi
	common_teardown_file
	[[ ! -e $home/journald ]] || kill "$(cat "$home/journald")"
}

logged() {
	container --log-driver journald "$@"
}

@test "podman logs: both streams of a container that has ended" {
	logged --name ended -- sh -c 'seq 1 5; seq 6 9 >&2' >/dev/null 2>&1
	podman logs ended >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	equal "$(seq 1 5)" "$(cat "$BATS_TEST_TMPDIR/out")"
	equal "$(seq 6 9)" "$(cat "$BATS_TEST_TMPDIR/err")"
}

@test "podman logs: lines that are longer than an entry, and one that does not end" {
	logged --name long -- sh -c 'head -c 120000 /dev/zero | tr "\0" x; echo; echo; printf end' >/dev/null
	podman logs long >"$BATS_TEST_TMPDIR/out"
	{
		head -c 120000 /dev/zero | tr '\0' x
		printf '\n\nend'
	} | cmp - "$BATS_TEST_TMPDIR/out"
}

@test "podman logs: a line that begins as if it had a priority is shown, and the rest is" {
	logged --name priority -- sh -c 'echo "<0>one"; echo "<7>two"; echo three' >/dev/null
	equal $'<0>one\n<7>two\nthree' "$(podman logs priority)"
}

@test "podman logs: very many lines" {
	logged --name many -- seq 1 20000 >/dev/null
	podman logs many >"$BATS_TEST_TMPDIR/out"
	seq 1 20000 | cmp - "$BATS_TEST_TMPDIR/out"
	equal "$(seq 19998 20000)" "$(podman logs --tail 3 many)"
}

@test "podman logs: very many lines, and a journal that is slow until long after the end" {
	local journal watcher
	journal=$(cat "$home/journald")
	kill -STOP "$journal"
	logged --name slow -d -- seq 1 20000 >/dev/null
	watcher=$(field slow '{{.State.ConmonPid}}')
	podman wait slow >/dev/null
	# It runs for a moment every few seconds, five times: more than ten seconds in all.
	for _ in {1..5}; do
		kill -CONT "$journal"
		sleep 0.02
		kill -STOP "$journal"
		sleep 2.5
	done
	[[ -e /proc/$watcher ]]
	kill -CONT "$journal"
	timeout "$limit" tail --pid="$watcher" -f /dev/null
	podman logs slow >"$BATS_TEST_TMPDIR/out"
	seq 1 20000 | cmp - "$BATS_TEST_TMPDIR/out"
}

# What conwardctl shows of a container: ctl_logs NAME
ctl_logs() {
	nsenter -t "$(cat "$home/journald")" -m "${CONWARDCTL:-$top/build/src/conwardctl}" logs "$@"
}

@test "conwardctl logs: both streams of containers that run and that have ended" {
	logged --name shown -d -- sh -c 'seq 1 5; seq 6 9 >&2; printf end; exec sleep 1000' >/dev/null
	timeout "$limit" sh -c 'until journalctl -D "$1" -q CONTAINER_NAME=shown PRIORITY=3 | grep -q 9; do sleep 0.2; done' \
		sh "$home/slash-run/log/journal"
	ctl_logs shown >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	equal "$(seq 1 5)" "$(cat "$BATS_TEST_TMPDIR/out")"
	equal "$(seq 6 9)" "$(cat "$BATS_TEST_TMPDIR/err")"
	podman kill shown >/dev/null
	podman wait shown >/dev/null
	ctl_logs --follow shown >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	equal "$(seq 1 5; printf end)" "$(cat "$BATS_TEST_TMPDIR/out")"
	equal "$(seq 6 9)" "$(cat "$BATS_TEST_TMPDIR/err")"
}

@test "a tag and labels are fields" {
	logged --name tagged --log-opt tag=a-tag -- echo one >/dev/null
	equal one "$(journalctl -D "$home/slash-run/log/journal" -q -o cat CONTAINER_TAG=a-tag \
		SYSLOG_IDENTIFIER=a-tag CONTAINER_NAME=tagged _COMM="$(basename "$monitor")")"
}

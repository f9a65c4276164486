#!/usr/bin/env bats
# Logs that rotate. Podman passes --log-opt max-size on; what it cannot pass, a wrapper adds.

load common

setup() {
	monitor_is_conward || skip "conmon 2.1.6 has no --log-rotate"
	log=$BATS_TEST_TMPDIR/log
}

# rotating: the containers of this test keep three old files.
rotating() {
	local wrapper=$BATS_TEST_TMPDIR/wrapper/conmon
	mkdir -p "${wrapper%/*}"
	printf '#!/bin/sh\nexec "%s" "$@" --log-rotate --log-max-files 3\n' "$monitor" >"$wrapper"
	chmod +x "$wrapper"
	PODMAN+=(--conmon "$wrapper")
}

# all FILE…: what the container wrote, from several files.
all() {
	local file
	for file; do
		content "$file" stdout
	done
}

@test "max-size and --log-rotate: three old files, and no gap between them" {
	rotating
	container --log-opt path="$log" --log-opt max-size=10kb -- seq 1 20000 >/dev/null
	equal "log log.1 log.2 log.3" "$(cd "$BATS_TEST_TMPDIR" && echo log*)"
	for file in "$log"*; do
		(($(stat -c %s "$file") <= 10000))
		equal 640 "$(stat -c %a "$file")"
	done
	all "$log".3 "$log".2 "$log".1 "$log" >"$BATS_TEST_TMPDIR/out"
	(($(wc -l <"$BATS_TEST_TMPDIR/out") > 540))
	seq 1 20000 | tail -c "$(stat -c %s "$BATS_TEST_TMPDIR/out")" | same - "$BATS_TEST_TMPDIR/out"
}

@test "podman logs of a rotated log shows what is in the newest file" {
	rotating
	container --name rotated --log-opt path="$log" --log-opt max-size=10kb -- seq 1 1000 >/dev/null
	content "$log" stdout >"$BATS_TEST_TMPDIR/want"
	podman logs rotated >"$BATS_TEST_TMPDIR/out"
	[[ -s $BATS_TEST_TMPDIR/want ]]
	same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/out"
}

# followed: what podman logs -f shows of a container that prints a line for each word it is told, while
# the log is replaced after every fourth one. No line may come before the reader has the one before it.
followed() {
	mkfifo "$shared/$1"
	container -d --name "$1" --log-opt path="$log" --log-opt max-size=250b -- \
		sh -c 'exec 3<>"/shared/$0"; while read -r line <&3; do echo "line $line"; [ "$line" != 20 ] || exit 0; done' "$1"
	podman logs -f "$1" >"$BATS_TEST_TMPDIR/out" 3>&- &
	reader=$!
	for number in $(seq 1 20); do
		tell "$1" "$number"
		wait_grep "^line $number\$" "$BATS_TEST_TMPDIR/out"
	done
	wait "$reader"
	seq -f 'line %.0f' 1 20 | same - "$BATS_TEST_TMPDIR/out"
}

@test "podman logs -f goes on through rotations" {
	rotating
	followed kept
	equal "log log.1 log.2 log.3" "$(cd "$BATS_TEST_TMPDIR" && echo log log.*)"
}

@test "podman logs -f goes on when the log is discarded at its max-size" {
	followed discarded
	[[ ! -e $log.1 ]]
}

@test "a restarted container goes on with the rotation" {
	rotating
	container --name again --log-opt path="$log" --log-opt max-size=10kb -- seq 1 500 >/dev/null
	podman start -a again >/dev/null
	equal "log log.1 log.2 log.3" "$(cd "$BATS_TEST_TMPDIR" && echo log log.*)"
	all "$log".3 "$log".2 "$log".1 "$log" >"$BATS_TEST_TMPDIR/out"
	cat <(seq 1 500) <(seq 1 500) | tail -c "$(stat -c %s "$BATS_TEST_TMPDIR/out")" | same - "$BATS_TEST_TMPDIR/out"
}

#!/usr/bin/env bats
# No byte is lost, added or changed, neither on the way to the user nor on the way to the log.

load common

@test "700000 writes of one byte each" {
	container --log-opt path="$BATS_TEST_TMPDIR/log" -- \
		dd if=/dev/zero bs=1 count=700000 2>"$BATS_TEST_TMPDIR/err" >"$BATS_TEST_TMPDIR/out"
	head -c 700000 /dev/zero >"$BATS_TEST_TMPDIR/want"
	same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/out"
	content "$BATS_TEST_TMPDIR/log" stdout | same "$BATS_TEST_TMPDIR/want" -
	grep -q '^700000+0 records out' "$BATS_TEST_TMPDIR/err"
}

@test "a line of 20 KiB comes back from run and from logs" {
	head -c 15360 /dev/urandom | base64 -w 0 >"$shared/line"
	echo >>"$shared/line"
	equal 20481 "$(stat -c %s "$shared/line")"
	container --name line -- cat /shared/line >"$BATS_TEST_TMPDIR/out"
	same "$shared/line" "$BATS_TEST_TMPDIR/out"
	podman logs line | same "$shared/line" -
}

@test "a last line without newline gets none" {
	container --name partial --log-opt path="$BATS_TEST_TMPDIR/log" -- sh -c 'printf "a\nno newline"' \
		>"$BATS_TEST_TMPDIR/out"
	printf 'a\nno newline' >"$BATS_TEST_TMPDIR/want"
	same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/out"
	podman logs partial | same "$BATS_TEST_TMPDIR/want" -
	tail -n 1 "$BATS_TEST_TMPDIR/log" | grep -q ' stdout P no newline$'
}

@test "8 MiB of random bytes on both streams at once" {
	head -c 8388608 /dev/urandom >"$shared/random"
	container --log-opt path="$BATS_TEST_TMPDIR/log" -- \
		sh -c 'cat /shared/random >&2 & cat /shared/random; wait' \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	same "$shared/random" "$BATS_TEST_TMPDIR/out"
	same "$shared/random" "$BATS_TEST_TMPDIR/err"
	content "$BATS_TEST_TMPDIR/log" stdout | same "$shared/random" -
	content "$BATS_TEST_TMPDIR/log" stderr | same "$shared/random" -
}

@test "50 MB of lines" {
	container --log-opt path="$BATS_TEST_TMPDIR/log" -- seq 1000000 6999999 |
		head -c 40000000 | sha256sum >"$BATS_TEST_TMPDIR/out"
	seq 1000000 6999999 | head -c 40000000 | sha256sum >"$BATS_TEST_TMPDIR/want"
	same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/out"
}

@test "piped to a reader that starts late: nothing is lost" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	container --log-opt path="$BATS_TEST_TMPDIR/log" -- seq 1 500000 >"$BATS_TEST_TMPDIR/pipe" 3>&- &
	podman_run=$!
	exec 5<"$BATS_TEST_TMPDIR/pipe"
	# More is in the log than the first pipe holds: the reader is behind for sure.
	wait_size "$BATS_TEST_TMPDIR/log" 65536
	cat <&5 >"$BATS_TEST_TMPDIR/out"
	exec 5<&-
	wait "$podman_run"
	seq 1 500000 | same - "$BATS_TEST_TMPDIR/out"
	content "$BATS_TEST_TMPDIR/log" stdout | same "$BATS_TEST_TMPDIR/out" -
}

@test "a client that is stopped and goes on gets everything" {
	mkfifo "$shared/frozen-go"
	"${PODMAN[@]}" run --name frozen -v "$shared:/shared" --log-opt path="$BATS_TEST_TMPDIR/log" \
		--rootfs "$rootfs" sh -c 'cat /shared/frozen-go; seq 1 300000' >"$BATS_TEST_TMPDIR/out" 3>&- &
	podman_run=$!
	exec 5>"$shared/frozen-go" # opens when the container reads it: the client is attached
	kill -STOP "$podman_run"
	exec 5>&-
	wait_size "$BATS_TEST_TMPDIR/log" 65536
	kill -CONT "$podman_run"
	wait "$podman_run"
	seq 1 300000 | same - "$BATS_TEST_TMPDIR/out"
	content "$BATS_TEST_TMPDIR/log" stdout | same "$BATS_TEST_TMPDIR/out" -
}

@test "a client that is killed: the container and its log go on" {
	mkfifo "$shared/orphan-go"
	"${PODMAN[@]}" run --name orphan -v "$shared:/shared" --log-opt path="$BATS_TEST_TMPDIR/log" \
		--rootfs "$rootfs" sh -c 'cat /shared/orphan-go; seq 1 300000; exit 11' >/dev/null 3>&- &
	podman_run=$!
	exec 5>"$shared/orphan-go"
	kill -KILL "$podman_run"
	wait "$podman_run" || true
	exec 5>&-
	equal 11 "$(podman wait orphan)"
	seq 1 300000 >"$BATS_TEST_TMPDIR/want"
	content "$BATS_TEST_TMPDIR/log" stdout | same "$BATS_TEST_TMPDIR/want" -
}

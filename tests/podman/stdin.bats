#!/usr/bin/env bats
# podman run -i: standard input that people, pipes and files give a container.

load common

@test "echo | run -i" {
	run -0 container --rm -i -- cat < <(echo hello)
	equal hello "$output"
}

@test "run -i </dev/null ends" {
	for _ in 1 2 3 4 5; do
		run -0 container --rm -i -- cat </dev/null
		equal "" "$output"
	done
}

@test "without -i standard input is empty" {
	run -0 container --rm -- cat < <(echo hello)
	equal "" "$output"
}

@test "1.5 MB arrive as they are" {
	head -c 1500000 /dev/urandom >"$BATS_TEST_TMPDIR/sent"
	container --rm -i --log-driver none -- cat <"$BATS_TEST_TMPDIR/sent" >"$BATS_TEST_TMPDIR/got"
	same "$BATS_TEST_TMPDIR/sent" "$BATS_TEST_TMPDIR/got"
	container --rm -i -- sha256sum <"$BATS_TEST_TMPDIR/sent" >"$BATS_TEST_TMPDIR/sum"
	equal "$(sha256sum <"$BATS_TEST_TMPDIR/sent")" "$(cat "$BATS_TEST_TMPDIR/sum")"
}

@test "a slow reader in the container gets all of it" {
	head -c 1500000 /dev/urandom >"$BATS_TEST_TMPDIR/sent"
	container --rm -i --log-driver none -- sh -c \
		'while dd bs=65536 count=1 2>/dev/null | tee /shared/part; test -s /shared/part; do usleep 10000; done' \
		<"$BATS_TEST_TMPDIR/sent" >"$BATS_TEST_TMPDIR/got"
	same "$BATS_TEST_TMPDIR/sent" "$BATS_TEST_TMPDIR/got"
}

@test "a slow reader of the output gets all of it" {
	container --rm -- seq 1 300000 |
		while dd bs=65536 count=1 2>/dev/null | tee "$BATS_TEST_TMPDIR/part"; test -s "$BATS_TEST_TMPDIR/part"; do
			sleep 0.01
		done >"$BATS_TEST_TMPDIR/got"
	same <(seq 1 300000) "$BATS_TEST_TMPDIR/got"
}

@test "a container that does not read its input ends all the same" {
	run -3 container --rm -i -- sh -c 'exit 3' < <(yes)
}

@test "who only watches does not end the input of another client" {
	mkfifo "$BATS_TEST_TMPDIR/keys"
	exec {keys}<>"$BATS_TEST_TMPDIR/keys"
	container --rm -i --name watched -- cat \
		<"$BATS_TEST_TMPDIR/keys" >"$BATS_TEST_TMPDIR/mine" 2>&1 3>&- {keys}>&- &
	first=$!
	echo one >&"$keys"
	wait_grep one "$BATS_TEST_TMPDIR/mine"
	: >"$BATS_TEST_TMPDIR/theirs"
	podman attach --no-stdin watched >"$BATS_TEST_TMPDIR/theirs" 2>&1 3>&- {keys}>&- &
	second=$!
	# Until the watcher has seen something, it may not be attached.
	until grep -q more "$BATS_TEST_TMPDIR/theirs"; do
		echo more >&"$keys"
		read -r -t 0.1 <> <(:) || true
	done
	kill "$second"
	wait "$second" || true
	echo last >&"$keys"
	wait_grep last "$BATS_TEST_TMPDIR/mine"
	equal running "$(field watched '{{.State.Status}}')"
	podman kill watched
	status=0
	wait "$first" || status=$?
	equal 137 "$status"
	exec {keys}>&-
}

@test "-di: attach with input ends it, what was sent first" {
	container -di --name sent -- sh -c 'cat; echo end; exit 3' >/dev/null
	podman attach sent < <(seq 1 1000)
	equal 3 "$(podman wait sent)"
	equal "$(seq 1 1000; echo end)" "$(podman logs sent)"
}

#!/usr/bin/env bats
# podman logs and the log drivers.

load common

@test "logs: all lines of a finished container, both streams" {
	container --name finished -- sh -c 'seq 1 5; seq 6 9 >&2' >/dev/null 2>&1
	podman logs finished >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	equal "$(seq 1 5)" "$(cat "$BATS_TEST_TMPDIR/out")"
	equal "$(seq 6 9)" "$(cat "$BATS_TEST_TMPDIR/err")"
}

@test "logs --tail and --timestamps" {
	container --name tailed -- seq 1 1000 >/dev/null
	equal "$(seq 998 1000)" "$(podman logs --tail 3 tailed)"
	equal "" "$(podman logs --tail 0 tailed)"
	podman logs -t --tail 1 tailed |
		grep -Ex '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}([+-][0-9:]{5}|Z) 1000'
}

@test "logs -f of a finished container ends" {
	container --name over -- seq 1 3 >/dev/null
	equal "$(seq 1 3)" "$(podman logs -f over)"
}

@test "logs -f shows a line when it comes and ends with the container" {
	mkfifo "$shared/follow"
	container -d --name followed -- \
		sh -c 'exec 3<>/shared/follow; while read -r line <&3; do echo "got $line"; [ "$line" != end ] || exit 0; done'
	podman logs -f followed >"$BATS_TEST_TMPDIR/out" 3>&- &
	reader=$!
	for word in one two three end; do
		tell follow "$word"
		wait_grep "^got $word\$" "$BATS_TEST_TMPDIR/out"
	done
	wait "$reader"
	equal $'got one\ngot two\ngot three\ngot end' "$(cat "$BATS_TEST_TMPDIR/out")"
}

@test "a prompt without newline is in the log while the container waits" {
	mkfifo "$shared/prompt"
	container -d --name prompted -- sh -c 'printf "password: "; cat /shared/prompt'
	wait_grep ' stdout P password: $' "$(field prompted '{{.HostConfig.LogConfig.Path}}')"
	tell prompt secret
	equal 0 "$(podman wait prompted)"
	equal "password: secret" "$(podman logs prompted)"
}

@test "the record: 35 bytes of time, stream, tag, text, to the byte" {
	container --name records --log-opt path="$BATS_TEST_TMPDIR/log" -- \
		sh -c 'printf "one\n\n  two \r\nrest"; printf "three\n" >&2' >/dev/null 2>&1
	sed -E 's/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}[+-][0-9]{2}:[0-9]{2} /@ /' \
		"$BATS_TEST_TMPDIR/log" | grep ' stdout ' >"$BATS_TEST_TMPDIR/out"
	printf '@ stdout F one\n@ stdout F \n@ stdout F   two \r\n@ stdout P rest\n' >"$BATS_TEST_TMPDIR/want"
	same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/out"
	grep -Eqx '.{35} stderr F three' "$BATS_TEST_TMPDIR/log"
	equal 5 "$(wc -l <"$BATS_TEST_TMPDIR/log")"
}

@test "--log-opt path: the log is where the user wants it" {
	container --log-opt path="$BATS_TEST_TMPDIR/my.log" -- echo here >/dev/null
	equal here "$(content "$BATS_TEST_TMPDIR/my.log" stdout)"
}

@test "--log-opt path: a path with a colon is kept" {
	monitor_is_conward || skip "conmon cuts the path at the colon"
	container --log-opt path="$BATS_TEST_TMPDIR/a:b.log" -- echo here >/dev/null
	equal here "$(content "$BATS_TEST_TMPDIR/a:b.log" stdout)"
}

@test "--log-opt path in a directory that is not there: the reason reaches the user" {
	run -126 container --log-opt path="$BATS_TEST_TMPDIR/missing/my.log" -- echo never
	[[ $output != *never* ]]
	[[ $output == *"Failed to open log file"*"No such file or directory"* ]]
	equal "" "$(monitors)"
}

@test "--log-opt max-size: the file stays below it and holds the end of the output" {
	container --log-opt path="$BATS_TEST_TMPDIR/log" --log-opt max-size=10kb -- seq 1 20000 >/dev/null
	size=$(stat -c %s "$BATS_TEST_TMPDIR/log")
	((size > 0 && size <= 10000))
	content "$BATS_TEST_TMPDIR/log" stdout >"$BATS_TEST_TMPDIR/out"
	equal 20000 "$(tail -n 1 "$BATS_TEST_TMPDIR/out")"
	seq 1 20000 | tail -c "$(stat -c %s "$BATS_TEST_TMPDIR/out")" | same - "$BATS_TEST_TMPDIR/out"
}

@test "--log-driver none: nothing is logged, everything is shown" {
	run -0 container --name unlogged --log-driver none -- sh -c 'seq 1 3'
	equal "$(seq 1 3)" "$output"
	run ! podman logs unlogged
	equal "" "$(find "$store" -name '*.log' -path '*unlogged*')"
}

@test "the log's mode is 0640" {
	monitor_is_conward || skip "Debian's conmon makes it 0600"
	container --log-opt path="$BATS_TEST_TMPDIR/log" -- echo here >/dev/null
	equal 640 "$(stat -c %a "$BATS_TEST_TMPDIR/log")"
}

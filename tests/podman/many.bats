#!/usr/bin/env bats
# Many containers: each has its own exit code and its own complete log.

load common

# The container's number decides its output and its exit code, so that a mix-up cannot go unseen.
one() {
	local status=0
	container --name "n$BATS_TEST_NUMBER-$1" --log-opt path="$BATS_TEST_TMPDIR/$1.log" -- \
		sh -c "seq 1 200 | sed 's/^/$1 line /'; exit $(($1 % 120))" \
		>"$BATS_TEST_TMPDIR/$1.out" 2>"$BATS_TEST_TMPDIR/$1.err" 3>&- || status=$?
	echo "$status" >"$BATS_TEST_TMPDIR/$1.status"
}

check() {
	local number
	for ((number = $1; number <= $2; number++)); do
		equal $((number % 120)) "$(cat "$BATS_TEST_TMPDIR/$number.status")"
		seq -f "$number line %g" 1 200 >"$BATS_TEST_TMPDIR/want"
		same "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/$number.out"
		equal "" "$(cat "$BATS_TEST_TMPDIR/$number.err")"
		sed 's/^.\{35\} stdout F //' "$BATS_TEST_TMPDIR/$number.log" | same "$BATS_TEST_TMPDIR/want" -
	done
	# What Podman itself has written down, all at once.
	for ((number = $1; number <= $2; number++)); do
		echo "n$BATS_TEST_NUMBER-$number $((number % 120)) exited"
	done >"$BATS_TEST_TMPDIR/want"
	for ((number = $1; number <= $2; number++)); do
		echo "n$BATS_TEST_NUMBER-$number"
	done | xargs "${PODMAN[@]}" inspect --format '{{.Name}} {{.State.ExitCode}} {{.State.Status}}' \
		>"$BATS_TEST_TMPDIR/got"
	diff "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/got"
	podman rm -a >/dev/null
	equal "" "$(monitors)"
}

@test "200 containers, one after another" {
	for ((number = 1; number <= 200; number++)); do
		one "$number"
	done
	check 1 200
}

@test "50 containers at once" {
	local pids=()
	for ((number = 1; number <= 50; number++)); do
		one "$number" &
		pids+=("$!")
	done
	wait "${pids[@]}"
	check 1 50
}

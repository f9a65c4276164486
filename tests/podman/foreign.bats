#!/usr/bin/env bats
# conwardctl culprit --foreign with real Podman and Debian's own conmon, whichever monitor the other
# tests are about.

export CONWARD_CONMON=/usr/bin/conmon
load common

setup() {
	conwardctl=${CONWARDCTL:-$top/build/src/conwardctl}
	[[ -x $monitor ]] || skip "conmon is not installed"
}

teardown() {
	podman rm -f -a -t 0 >/dev/null
}

# The containers of this store that a look has found, one "KIND NAME" a line; other stores of the
# machine are not ours to judge.
found() {
	"$conwardctl" culprit --foreign --json --interval 0.5 >"$BATS_TEST_TMPDIR/found" || (($? == 1))
	python3 -I - "$BATS_TEST_TMPDIR/found" "$store" <<-'PYTHON'
		import json, sys
		for line in open(sys.argv[1]):
		    one = json.loads(line)
		    if one.get("log", "").startswith(sys.argv[2]):
		        print(one["kind"], one["name"])
	PYTHON
}

# Five containers that print lines.
quiet() {
	local number
	for number in 1 2 3 4 5; do
		container -d --name "quiet$number" -- sh -c 'while :; do seq 1 100; sleep 0.1; done' >/dev/null
	done
}

@test "foreign: quiet containers are not accused" {
	quiet
	equal "" "$(found)"
}

@test "foreign: the container with the endless line is named, and only it" {
	quiet
	mkfifo "$shared/end"
	container -d --name endless -- sh -c 'head -c 1000000 /dev/zero | tr "\\0" x; cat /shared/end' >/dev/null
	log=$(field endless '{{.HostConfig.LogConfig.Path}}')
	wait_size "$log" 1000000
	equal "endless endless" "$(found)"
	tell end newline
}

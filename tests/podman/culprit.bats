#!/usr/bin/env bats
# The incident: many quiet containers, and one that prints a line without an end. conwardctl names it
# at once, and only it; nothing grows; the line can be read; and its limit changes while it runs.

load common

setup() {
	monitor_is_conward || skip "conmon's containers are looked at by culprit --foreign"
	conwardctl=${CONWARDCTL:-$top/build/src/conwardctl}
}

# The members of JSON lines about containers of this file, by name: of NAME… as one line each.
about() {
	python3 -I -c 'import json, sys
names = sys.argv[1].split()
for line in sys.stdin:
    one = json.loads(line)
    if one["name"] in names:
        print(*(eval(word, {}, one) for word in sys.argv[2:]))' "$@"
}

# As long as `culprit` finds nothing wrong, its exit status is 0.
culprits() {
	"$conwardctl" culprit --json --interval 0 >"$BATS_TEST_TMPDIR/found" || (($? == 1))
	about "$names" name trouble <"$BATS_TEST_TMPDIR/found"
}

own_memory() {
	(cd "$top/tests/bench" && python3 -B -c "import measure; print(measure.own_kib($1))")
}

@test "twenty quiet containers, and one with an endless line" {
	local begin go number pid before log
	names=endless
	for ((number = 1; number <= 20; number++)); do
		container -d --name "quiet$number" -- sh -c 'echo quiet; exec sleep 1000' >/dev/null
		names+=" quiet$number"
	done
	mkfifo "$shared/endless-go"
	container -d --name endless --log-opt max-size=10mb -- \
		sh -c "read -r _ </shared/endless-go; exec tr '\\0' x </dev/zero" >/dev/null
	equal "" "$(culprits)"
	equal 21 "$("$conwardctl" ps --json | about "$names" id | wc -l)"
	pid=$(field endless '{{.State.ConmonPid}}')
	before=$(own_memory "$pid")

	begin=$EPOCHREALTIME
	tell endless-go now
	until [[ $(culprits) ]]; do :; done
	go=$EPOCHREALTIME
	echo "named after $(((${go/./} - ${begin/./}) / 1000)) ms: $(cat "$BATS_TEST_TMPDIR/found")"
	# A fast machine writes so much that this is a finding of its own: worst first.
	culprits >"$BATS_TEST_TMPDIR/culprits"
	equal "endless endless_line" "$(head -n 1 "$BATS_TEST_TMPDIR/culprits")"
	equal endless "$(cut -d ' ' -f 1 "$BATS_TEST_TMPDIR/culprits" | sort -u)"
	run -1 "$conwardctl" culprit
	[[ $output == *"endless ("*"writes a line without an end: "* ]]
	[[ $output != *quiet* ]]

	# Read as far as it is, while it goes on; in a file that was only just begun there may be less.
	for ((number = 0; number < 100; number++)); do
		"$conwardctl" logs endless | head -c 100000 >"$BATS_TEST_TMPDIR/read"
		(($(stat -c %s "$BATS_TEST_TMPDIR/read") < 100000)) || break
	done
	equal "$(head -c 100000 /dev/zero | tr '\0' x | sha256sum)" "$(sha256sum <"$BATS_TEST_TMPDIR/read")"
	"$conwardctl" set endless log-line-max 1000
	equal 1000 "$("$conwardctl" ps --json | about endless log_line_max_bytes)"
	log=$(field endless '{{.HostConfig.LogConfig.Path}}')
	wait_grep ' stdout P x\{1000\}$' "$log"
	number=$(own_memory "$pid")
	echo "KiB of its own: $before before, $number now"
	((number <= before + 1024))
	podman kill endless
	podman wait endless
	equal "" "$(culprits)"
}

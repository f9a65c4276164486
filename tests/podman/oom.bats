#!/usr/bin/env bats
# Containers that are short of memory: who was killed for it is told from who was not. What needs
# cgroup v2 is in tests/guest.

load common

setup() {
	monitor_is_conward || skip "conmon misses kills of this machine's kernel"
	grep -qE '^[0-9]+:([^:]*,)?memory(,[^:]*)?:|^0::/' /proc/self/cgroup || skip "there is no memory cgroup"
	memory_is_limited || skip "containers get no memory limit here"
}

memory_is_limited() {
	container --rm --memory 16m -- true
}

# Takes more memory than a container of 16 MiB has.
hog=(dd if=/dev/zero of=/dev/null bs=64M count=1)

is_killed() {
	equal "$2" "$(field "$1" '{{.State.OOMKilled}} {{.State.ExitCode}}')"
}

@test "killed for want of memory" {
	run -137 container --name killed --memory 16m -- "${hog[@]}"
	is_killed killed "true 137"
}

# kills NAME: what conwardctl says of a container that runs
kills() {
	"${CONWARDCTL:-$top/build/src/conwardctl}" stats --json "$(field "$1" '{{.Id}}')" |
		python3 -I -c 'import json, sys; print(json.load(sys.stdin)["oom_kills"])'
}

# wait_oom NAME: waits for the file from which Podman knows
wait_oom() {
	timeout "$limit" sh -c 'until [ -e "$1/oom" ]; do sleep 0.05; done' - \
		"$(dirname "$(field "$1" '{{.OCIConfigPath}}')")"
}

# culprits: of each trouble the name and the kind, and after a tab what to do
culprits() {
	"${CONWARDCTL:-$top/build/src/conwardctl}" culprit --json | python3 -I -c '
import json, sys
for line in sys.stdin:
    found = json.loads(line)
    print(found["name"] + " " + found["trouble"], found["mend"], sep="\t")'
}

@test "a process of it was, and it goes on" {
	mkfifo "$shared/go"
	container -d --name part --memory 16m -- sh -c "${hog[*]}; read -r word </shared/go"
	wait_oom part
	equal 1 "$(kills part)"
	culprits | grep "^part " >"$BATS_TEST_TMPDIR/culprits"
	equal "part oom_kills" "$(cut -f 1 "$BATS_TEST_TMPDIR/culprits")"
	# What it says to do, as it stands there.
	read -r -a command < <(cut -f 2 "$BATS_TEST_TMPDIR/culprits" | sed 's/^to give it more: podman //; s/;.*//')
	podman "${command[@]}"
	equal 1 "$(kills part)"
	tell go go
	podman wait part
	is_killed part "true 0"
}

@test "killed by somebody" {
	container -d --name other --memory 16m -- sleep 1000
	podman kill -s KILL other
	podman wait other
	is_killed other "false 137"
}

@test "started again: old kills do not count" {
	mkfifo "$shared/again-go"
	run -137 container --name again --memory 16m -- \
		sh -c "if [ ! -e /shared/enough ]; then exec ${hog[*]}; fi; read -r word </shared/again-go"
	is_killed again "true 137"
	touch "$shared/enough"
	podman start again
	equal 0 "$(kills again)"
	tell again-go go
	podman wait again # Podman 4 still says OOMKilled: it never takes that back
}

# What goes to a disk is no longer in memory.
@test "at its limit, but not killed" {
	local disk
	mkdir -p "$top/build-run"
	disk=$(mktemp -d "$top/build-run/XXXXXX")
	[[ $(stat -f -c %T "$disk") != tmpfs ]] || skip "$top is in memory"
	container --name full --memory 16m -v "$disk:/disk" -- dd if=/dev/zero of=/disk/file bs=1M count=64
	rm -r "$disk"
	is_killed full "false 0"
}

@test "exec: the command is killed" {
	container -d --name inside --memory 16m -- sleep 1000
	run -137 podman exec inside "${hog[@]}"
	wait_oom inside
	equal 1 "$(kills inside)"
	podman kill inside
	podman wait inside
	is_killed inside "true 137"
}

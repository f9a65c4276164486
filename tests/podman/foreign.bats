#!/usr/bin/env bats
# conwardctl culprit --foreign with real Podman and Debian's own conmon, which is not ours.

monitor_is_foreign=1
CONWARD_CONMON=/usr/bin/conmon
load common

setup() {
	conwardctl=${CONWARDCTL:-$top/build/src/conwardctl}
}

@test "debug" {
	container -d --name q -- sh -c 'while :; do echo quiet; sleep 1; done'
	container -d --name endless -- sh -c 'tr "\\0" x </dev/zero | head -c 200000000; sleep 100'
	cat /proc/$(field q '{{.State.Pid}}')/cgroup >&3
	cat /proc/$(field q '{{.State.ConmonPid}}')/cgroup >&3
	tr '\0' ' ' </proc/$(field q '{{.State.ConmonPid}}')/cmdline >&3
	"$conwardctl" culprit --foreign >&3 || true
	"$conwardctl" culprit --foreign --json >&3 || true
}

#!/usr/bin/env bats
# Pods: several containers, each with its monitor, and one for the pod itself.

load common

# has_printed CONTAINER LINE
has_printed() {
	wait_grep " $2\$" "$(field "$1" '{{.HostConfig.LogConfig.Path}}')"
}

@test "a pod with its own container and two others" {
	local pid
	mkfifo "$shared/pod-go"
	podman pod create --name pod --network none
	container -d --pod pod --name one -- sh -c 'echo one; cat /shared/pod-go; exit 3'
	container -d --pod pod --name two -- sh -c 'echo two; exec sleep 1000'
	equal 3 "$(monitors | wc -l)"
	equal executed "$(podman exec two echo executed)"
	tell pod-go end
	equal 3 "$(podman wait one)"
	equal $'one\nend' "$(podman logs one)"
	has_printed two two
	podman pod stop -t 0 pod
	equal two "$(podman logs two)"
	equal 137 "$(field two '{{.State.ExitCode}}')"
	for pid in $(monitors); do
		wait_gone "$pid"
	done
	podman pod rm -f -t 0 pod
}

@test "a pod without a container of its own" {
	podman pod create --name bare --infra=false
	container -d --pod bare --name alone -- sh -c 'echo alone; exec sleep 1000'
	has_printed alone alone
	podman pod kill bare
	equal 137 "$(podman wait alone)"
	equal alone "$(podman logs alone)"
	podman pod rm bare
}

#!/usr/bin/env bats
# podman run: what the user sees, and what Podman knows afterwards.

load common

@test "attached: stdout and stderr arrive apart and exact" {
	container --rm -- sh -c 'printf "out 1\nout 2\n"; printf "err 1\nerr 2" >&2' \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	equal $'out 1\nout 2\n.' "$(cat "$BATS_TEST_TMPDIR/out"; echo .)"
	equal $'err 1\nerr 2.' "$(cat "$BATS_TEST_TMPDIR/err"; echo .)"
}

@test "attached: podman's exit status is the container's" {
	run -0 container --rm -- true
	run -1 container --rm -- false
	run -3 container --rm -- sh -c 'exit 3'
	run -255 container --rm -- sh -c 'exit 255'
}

@test "inspect: exit code, no OOM, state and an empty error" {
	run -42 container --name inspected -- sh -c 'exit 42'
	equal "42 false exited []" "$(field inspected \
		'{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Status}} [{{.State.Error}}]')"
}

@test "a container that ends by a signal of its own reports 128 + n" {
	# In a pid namespace of its own the first process would be immune to it.
	run -143 container --rm --pid host -- sh -c 'kill -TERM $$'
}

@test "detached: podman returns, the container runs, its log is complete" {
	mkfifo "$shared/detached-go"
	id=$(container -d -- sh -c 'echo before; cat /shared/detached-go; echo after; exit 7')
	equal "running" "$(field "$id" '{{.State.Status}}')"
	tell detached-go go
	equal 7 "$(podman wait "$id")"
	equal $'before\ngo\nafter' "$(podman logs "$id")"
}

@test "detached: podman's own output closes at once" {
	# A monitor that kept the standard streams it was started with would hold this pipe until the
	# container's end, and cat with it.
	mkfifo "$shared/pipe-go"
	id=$(container -d -- cat /shared/pipe-go 2>&1 | cat)
	equal "running" "$(field "$id" '{{.State.Status}}')"
	tell pipe-go go
	equal 0 "$(podman wait "$id")"
}

@test "--rm leaves neither container nor monitor" {
	container --rm --name removed -- true
	run -1 podman container exists removed
	equal "" "$(monitors)"
}

@test "-d --rm leaves neither container nor monitor" {
	mkfifo "$shared/rm-go"
	id=$(container -d --rm --name gone -- cat /shared/rm-go)
	pid=$(field "$id" '{{.State.ConmonPid}}')
	tell rm-go 
	wait_gone "$pid"
	run -1 podman container exists gone
}

@test "the monitor: pid in its pidfile, name conmon, gone with its container" {
	mkfifo "$shared/name-go"
	id=$(container -d -- cat /shared/name-go)
	pid=$(field "$id" '{{.State.ConmonPid}}')
	equal "$pid" "$(cat "$(field "$id" '{{.ConmonPidFile}}')")"
	equal conmon "$(cat "/proc/$pid/comm")"
	exe=$(readlink "/proc/$pid/exe")
	equal conmon "${exe##*/}"
	grep -qzx -e --exit-command-arg "/proc/$pid/cmdline"
	equal "$pid" "$(monitors)"
	tell name-go 
	wait_gone "$pid"
	equal "exited 0" "$(field "$id" '{{.State.Status}} {{.State.ExitCode}}')"
}

@test "create, start, start again: each run has its own exit code and adds to the log" {
	container_id=$(podman create -v "$shared:/shared" --name again --rootfs "$rootfs" \
		sh -c 'echo run; test -e /tmp/once && exit 9; : >/tmp/once; exit 8')
	run -8 podman start -a "$container_id"
	equal run "$output"
	run -9 podman start -a "$container_id"
	equal run "$output"
	equal $'run\nrun' "$(podman logs again)"
}

@test "podman's environment reaches the monitor, NOTIFY_SOCKET does not" {
	mkfifo "$shared/env-go"
	id=$(NOTIFY_SOCKET=/nowhere container -d --sdnotify ignore -- cat /shared/env-go)
	pid=$(field "$id" '{{.State.ConmonPid}}')
	tr '\0' '\n' <"/proc/$pid/environ" | grep -q '^PATH='
	run -1 grep -qz '^NOTIFY_SOCKET=' "/proc/$pid/environ"
	tell env-go 
	equal 0 "$(podman wait "$id")"
}

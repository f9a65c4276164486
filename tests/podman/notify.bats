#!/usr/bin/env bats
# sd_notify: what the container says reaches the service manager, after Podman has named the monitor.

load common

setup() {
	host=$BATS_TEST_TMPDIR/host
	# Every notification becomes a line of $heard.
	heard=$BATS_TEST_TMPDIR/heard
	python3 -I - "$host" "$heard" <<-'PYTHON' 3>&- &
		import socket, sys
		host = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		host.bind(sys.argv[1])
		heard = open(sys.argv[2], "ab", 0)
		while (data := host.recv(65536)) != b"end":
		    heard.write(data.replace(b"\n", b" ") + b"\n")
	PYTHON
	listener=$!
	timeout "$limit" sh -c 'until [ -S "$1" ]; do sleep 0.01; done' - "$host"
}

teardown() {
	say "$host" end
	wait "$listener"
}

# say SOCKET TEXT: one notification
say() {
	python3 -I -c 'import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), sys.argv[1])' "$1" "$2"
}

# notifying CONTAINER-OPTION…: a container with Podman's default mode, in which it notifies itself
notifying() {
	NOTIFY_SOCKET=$host container --sdnotify container "$@"
}

@test "READY comes from the container, MAINPID from Podman" {
	mkfifo "$shared/notify-name" "$shared/notify-go"
	notifying --name notifying -d -- sh -c 'echo $NOTIFY_SOCKET >/shared/notify-name; cat /shared/notify-go' &
	equal /run/notify/notify.sock "$(timeout "$limit" cat "$shared/notify-name")"
	pid=$(field notifying '{{.State.Pid}}')
	monitor_pid=$(field notifying '{{.State.ConmonPid}}')
	inside=/proc/$pid/root/run/notify/notify.sock
	equal 777 "$(stat -c %a "$inside")"
	say "$inside" $'MAINPID=1\nREADY=1\nSTATUS=up and running'
	wait_grep READY "$heard"
	if monitor_is_conward; then
		say "$inside" 'EXTEND_TIMEOUT_USEC=1000000'
		wait_grep EXTEND "$heard"
		grep -qx 'READY=1 STATUS=up and running' "$heard"
		run -1 grep -qw MAINPID=1 "$heard"
	fi
	wait_grep "MAINPID=$monitor_pid" "$heard"
	tell notify-go end
	equal 0 "$(podman wait notifying)"
}

@test "--sdnotify conmon: Podman says all of it, the container is not asked" {
	mkfifo "$shared/unasked-go"
	NOTIFY_SOCKET=$host container --sdnotify conmon -d --name unasked -- \
		sh -c 'echo "<$NOTIFY_SOCKET>"; cat /shared/unasked-go'
	wait_grep "^MAINPID=$(field unasked '{{.State.ConmonPid}}') READY=1\$" "$heard"
	tell unasked-go end
	equal 0 "$(podman wait unasked)"
	equal $'<>\nend' "$(podman logs unasked)"
}

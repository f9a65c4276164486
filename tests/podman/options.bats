#!/usr/bin/env bats
# Options of podman run that the monitor carries out.

load common

@test "--timeout: the container is killed, and what it printed is there" {
	run ! container --timeout 1 --name late -- sh -c 'echo begin; exec sleep 1000'
	equal begin "$output"
	equal begin "$(podman logs late)"
	equal "exited -1" "$(field late '{{.State.Status}} {{.State.ExitCode}}')"
	equal "" "$(monitors)"
}

@test "--timeout: a container that ends before has its own status" {
	run -5 container --timeout 1000 --rm -- sh -c 'exit 5'
	equal "" "$(monitors)"
}

@test "--preserve-fds: the container has them" {
	local log
	mkfifo "$shared/preserve-go"
	echo three >"$BATS_TEST_TMPDIR/three"
	echo four >"$BATS_TEST_TMPDIR/four"
	container -d --name preserving --preserve-fds 2 -- \
		sh -c 'cat <&3; cat <&4; read -r _ </shared/preserve-go' \
		3<"$BATS_TEST_TMPDIR/three" 4<"$BATS_TEST_TMPDIR/four"
	log=$(field preserving '{{.HostConfig.LogConfig.Path}}')
	wait_grep ' four$' "$log"
	equal $'three\nfour' "$(podman logs preserving)"
	tell preserve-go end
	equal 0 "$(podman wait preserving)"
}

#!/usr/bin/env bats
# Log driver passthrough in a unit of systemd: the container writes to the unit's place in the journal, and
# Podman reads its output there, by the unit and the user.

load common

setup_file() {
	if [[ ! -x $conward ]]; then
		echo "These tests run in the guest, with $conward: tests/run guest" >&2
		return 1
	fi
}

teardown() {
	podman rm --force --time 0 passed >/dev/null 2>&1 || true
	systemctl stop passed 2>/dev/null || true
	systemctl reset-failed passed 2>/dev/null || true
}

watches() {
	pid=$(podman container inspect passed --format '{{.State.ConmonPid}}' 2>/dev/null)
	[[ ${pid:-0} != 0 && $(<"/proc/$pid/comm") == conmon ]]
}

@test "podman logs: the container's lines, and nothing of its monitor, not even after a crash" {
	systemd-run --quiet --unit passed --property Delegate=yes --setenv PODMAN_SYSTEMD_UNIT=passed.service \
		podman --conmon "$conward" --events-backend file run --cgroups split --name passed --log-driver passthrough \
		--network none --volume "$BATS_TEST_TMPDIR:/run" --rootfs "$rootfs" \
		sh -c 'seq 5; until [ -e /run/go ]; do usleep 20000; done; seq 6 9; exit 7'
	until_true watches
	grep -q passed.service "/proc/$pid/cgroup"
	kill -SEGV "$pid"
	touch "$BATS_TEST_TMPDIR/go"
	until_true has_ended "$pid"
	journalctl --sync
	equal 7 "$(podman container inspect passed --format '{{.State.ExitCode}}')"
	journalctl --quiet --output=json _SYSTEMD_UNIT=passed.service _UID=0 >"$BATS_TEST_TMPDIR/entries"
	equal "" "$(jq -r 'select(._COMM == "conmon" or .CONWARD_EVENT != null) | .MESSAGE' "$BATS_TEST_TMPDIR/entries")"
	equal "$(seq 9)" "$(jq -r 'select(._COMM != "podman") | .MESSAGE' "$BATS_TEST_TMPDIR/entries")"
	if podman logs passed >"$BATS_TEST_TMPDIR/shown" 2>"$BATS_TEST_TMPDIR/errors"; then
		equal "$(seq 9)" "$(<"$BATS_TEST_TMPDIR/shown")"
		equal "" "$(<"$BATS_TEST_TMPDIR/errors")"
	else
		grep -q "passthrough" "$BATS_TEST_TMPDIR/errors" # Podman 4.3 does not show them
		echo "# $(<"$BATS_TEST_TMPDIR/errors")" >&3
	fi
}

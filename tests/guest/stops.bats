#!/usr/bin/env bats
# systemctl stop of a container that is a unit, as `podman generate systemd` and Quadlet make them. Podman ends the
# container; then systemd asks the monitor, which is the unit's main process, to stop, while Podman's cleanup may still run
# as its exit command. No unit fails, and no container is left behind.
#
# GUEST_STOPS says how often (default: 3), and GUEST_MONITOR with which monitor, as in
#
#     GUEST_RELEASE=trixie tests/guest/vm run env GUEST_STOPS=30 bats tests/guest/stops.bats
#     tests/guest/vm run env GUEST_MONITOR=/usr/bin/conmon bats tests/guest/stops.bats

load common

stops=${GUEST_STOPS:-3}
engine=/etc/containers/containers.conf.d/monitor.conf
quadlets=/etc/containers/systemd
units=/run/systemd/system

# A container that stops when it is asked to.
obedient='trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'

setup_file() {
	if [[ ! -x $conward ]]; then
		echo "These tests run in the guest, with $conward: tests/run guest" >&2
		return 1
	fi
	mkdir -p ${engine%/*} $quadlets
	printf '[engine]\nconmon_path = ["%s"]\n' "${GUEST_MONITOR:-$conward}" >$engine
	tar -C "$rootfs" -c . | podman import - localhost/busybox >/dev/null 2>&1
}

teardown() {
	systemctl stop $unit 2>/dev/null || true
	systemctl reset-failed $unit 2>/dev/null || true
	rm -f $units/$unit.service $quadlets/$unit.container
	systemctl daemon-reload
	podman rm --force $unit >/dev/null 2>&1 || true
}

teardown_file() {
	rm $engine
}

is_ready() {
	[[ $(podman logs "$1" 2>/dev/null) == ready ]]
}

no_monitor() {
	! pgrep -x conmon >/dev/null
}

# stop_often CONTAINER: starts and stops the unit as often as it has to be
stop_often() {
	local i result before failed=0 left=0
	for ((i = 0; i < stops; i++)); do
		before=$(date +%s%N)
		systemctl start $unit
		until_true is_ready "$1"
		systemctl stop $unit
		result="$(systemctl show --value -p ActiveState $unit) $(systemctl show --value -p ExecMainStatus $unit)"
		[[ $result == 'inactive 0' ]] || {
			failed=$((failed + 1))
			echo "stop $i: $result"
			journalctl -u $unit --since "@$((before / 1000000000))" --no-pager
		}
		systemctl reset-failed $unit 2>/dev/null || true
		until_true no_monitor
		! podman container exists "$1" || {
			left=$((left + 1))
			echo "stop $i: left behind:"
			podman ps --all
			podman rm --force "$1"
		}
	done
	echo "# $unit, $(podman --version): $stops stops, $failed failed, $left containers left behind" >&3
	((failed == 0 && left == 0))
}

@test "a unit of podman generate systemd" {
	unit=generated
	podman create --name $unit --rm --network none --log-driver k8s-file localhost/busybox sh -c "$obedient" >/dev/null
	podman generate systemd --new --name --container-prefix '' --separator '' $unit >$units/$unit.service
	podman rm $unit >/dev/null
	systemctl daemon-reload
	stop_often $unit
}

@test "a unit of Quadlet" {
	unit=quadlet
	[[ -e /usr/lib/systemd/system-generators/podman-system-generator ]] || skip "$(podman --version) has none"
	cat >$quadlets/$unit.container <<-UNIT
		[Container]
		Image=localhost/busybox
		ContainerName=$unit
		Network=none
		LogDriver=k8s-file
		Pull=never
		Exec=sh -c '$obedient'
	UNIT
	systemctl daemon-reload
	stop_often $unit
}

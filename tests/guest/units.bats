#!/usr/bin/env bats
# contrib/systemd/conward@.service under a real systemd, sandbox and all.

load common

unit=conward@demo
log=/var/log/conward/demo/log

setup_file() {
	if [[ ! -x $conward ]]; then
		echo "These tests run in the guest, with $conward: tests/run guest" >&2
		return 1
	fi
	install "$built/src/conward" "$built/src/conwardctl" /usr/local/bin/
	install -m 644 "$top/contrib/systemd/conward@.service" /etc/systemd/system/
	mkdir -p /etc/conward/units
}

teardown() {
	systemctl kill --kill-whom=all --signal=KILL $unit 2>/dev/null || true
	systemctl stop $unit
	systemctl reset-failed $unit 2>/dev/null || true
	rm -rf /etc/conward/units/* /etc/systemd/system/$unit.service.d /var/log/conward /var/lib/conward
	systemctl daemon-reload
}

# command SCRIPT [OPTIONS]: what conward@demo is
command_is() {
	printf 'COMMAND=/bin/sh -c "%s"\nOPTIONS=%s\n' "$1" "${2:-}" >/etc/conward/units/demo
}

# drop_in LINE…: for [Service]
drop_in() {
	mkdir -p /etc/systemd/system/$unit.service.d
	printf '%s\n' '[Service]' "$@" >/etc/systemd/system/$unit.service.d/test.conf
	systemctl daemon-reload
}

property() {
	systemctl show --value -p "$1" $unit
}

has_property() {
	[[ $(property "$1") == "$2" ]]
}

# What has been logged, older files first.
logged() {
	local number
	for number in 4 3 2 1; do
		[[ -e $log.$number ]] && cut -d' ' -f4- "$log.$number"
	done
	cut -d' ' -f4- $log
}

has_logged() {
	[[ $(logged) == "$1" ]]
}

# Every line of the log is a record.
log_is_whole() {
	! cat $log $log.[0-9] 2>/dev/null | grep -vE '^[0-9T:.+-]{35} (stdout|stderr) [FP] '
}

has_more_lines() {
	(($(wc -l <$log) > $1 + 3))
}

is_fed_since() {
	[[ $(property WatchdogTimestampMonotonic) != "$1" ]]
}

command_pid() {
	pgrep -P "$(property MainPID)"
}

patient="trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
stubborn="trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"
counting="trap 'echo asked; exit 0' TERM; i=0; while :; do echo \$i; i=\$((i + 1)); sleep 0.1; done"

@test "start, status, stop" {
	command_is "$patient"
	systemctl start $unit
	equal active "$(property ActiveState)"
	[[ $(property StatusText) == *' bytes logged' ]]
	until_true has_logged ready
	pid=$(command_pid)
	run ! grep -zE '^(NOTIFY_SOCKET|WATCHDOG_)' "/proc/$pid/environ"
	equal demo "$(conwardctl ps --json | jq -r .id)"
	systemctl stop $unit
	equal inactive "$(property ActiveState)"
	equal success "$(property Result)"
	equal $'ready\nasked' "$(logged)"
	log_is_whole
}

@test "a command that cannot be executed" {
	echo 'COMMAND=/nowhere' >/etc/conward/units/demo
	drop_in Restart=no
	run ! systemctl start $unit
	equal failed "$(property ActiveState)"
	equal 127 "$(property ExecMainStatus)"
	journalctl -u $unit | grep -q 'Cannot execute /nowhere: No such file or directory'
}

@test "no command: the file is named, and it is not tried again" {
	run ! systemctl start $unit
	equal failed "$(property ActiveState)"
	equal 2 "$(property ExecMainStatus)"
	equal 0 "$(property NRestarts)"
	journalctl -u $unit | grep -q '/etc/conward/units/demo'
}

@test "a command that the signal ends was stopped, and has not failed" {
	command_is 'echo ready; exec sleep 1000'
	systemctl start $unit
	until_true has_logged ready
	systemctl stop $unit
	equal inactive "$(property ActiveState)" # and not failed
}

@test "a command that does not stop is killed, and its last output logged" {
	command_is "$stubborn" '--stop-timeout 1'
	systemctl start $unit
	until_true has_logged ready
	systemctl stop $unit
	equal $'ready\nasked' "$(logged)"
	equal 137 "$(property ExecMainStatus)"
	equal exit-code "$(property Result)"
}

@test "reload" {
	command_is "$patient"
	systemctl start $unit
	until_true has_logged ready
	before="$(property MainPID) $(command_pid)"
	systemctl reload $unit
	until_true test -e $log.1
	until_true has_property ActiveState active
	equal "$before" "$(property MainPID) $(command_pid)"
	systemctl stop $unit
	equal asked "$(cut -d' ' -f4- $log)"
	equal $'ready\nasked' "$(logged)"
}

@test "restart" {
	command_is "$patient"
	systemctl start $unit
	until_true has_logged ready
	before=$(property MainPID)
	systemctl restart $unit
	[[ $(property MainPID) != "$before" ]]
	until_true has_logged $'ready\nasked\nready'
	log_is_whole
}

@test "a command that fails is started anew" {
	command_is 'echo ready; test -e again && exec sleep 1000; touch again; exit 3'
	systemctl start $unit
	until_true has_property NRestarts 1
	until_true has_logged $'ready\nready'
	equal active "$(property ActiveState)"
}

@test "a crash of the monitor" {
	command_is "$counting"
	systemctl start $unit
	until_true grep -q ' 3$' $log
	before="$(property MainPID) $(command_pid)"
	for i in {1..3}; do
		kill -SEGV "$(property MainPID)"
		until_true has_more_lines "$(wc -l <$log)"
	done
	equal "$before" "$(property MainPID) $(command_pid)"
	equal active "$(property ActiveState)"
	equal 0 "$(property NRestarts)"
	journalctl -u $unit | grep -q 'Resumed after a crash, number 3'
	systemctl stop $unit
	log_is_whole
	count=$(($(wc -l <$log) - 1))
	equal "$(seq 0 $((count - 1)))"$'\nasked' "$(logged)"
}

@test "a monitor that is killed" {
	command_is "$stubborn"
	systemctl start $unit
	until_true has_logged ready
	before=$(command_pid)
	kill -KILL "$(property MainPID)"
	until_true has_property NRestarts 1
	until_true has_logged $'ready\nready'
	run ! kill -0 "$before"
}

@test "a monitor that hangs" {
	command_is "$stubborn"
	drop_in WatchdogSec=3 TimeoutStopSec=2
	systemctl start $unit
	until_true has_logged ready
	for _ in {1..3}; do
		until_true is_fed_since "$(property WatchdogTimestampMonotonic)"
	done
	equal 0 "$(property NRestarts)"
	before=$(command_pid)
	kill -STOP "$(property MainPID)"
	until_true has_property NRestarts 1
	# systemd lets what is stopped go on when it has sent SIGTERM: the command is asked before it is killed.
	until_true has_logged $'ready\nasked\nready'
	run ! kill -0 "$before"
	journalctl -u $unit | grep -q 'Watchdog timeout'
	log_is_whole
}

@test "a drop-in with a user and a command of its own" {
	drop_in User=nobody ExecStart= "ExecStart=/usr/local/bin/conward run --cid %i --log-path %L/conward/%i/log -- /bin/sh -c 'id -un; exec sleep 1000'"
	systemctl start $unit
	until_true has_logged nobody
	until_true eval "journalctl -u $unit -o cat | grep -qx nobody"
}

@test "the drop-in for memory" {
	hog='dd if=/dev/zero of=/dev/null bs=64M count=1'
	command_is "echo ready; test -e again && exec sleep 1000; touch again; exec $hog" '--memory-max 16M'
	mkdir -p /etc/systemd/system/$unit.service.d
	cp "$top/contrib/systemd/memory.conf" /etc/systemd/system/$unit.service.d/
	systemctl daemon-reload
	systemctl start $unit
	until_true has_property NRestarts 1
	until_true has_property ActiveState active
	until_true has_logged $'ready\nready'
	journalctl -u $unit | grep -q 'killed 1 process of the command demo so far; its memory limit is 16 MiB'
	cgroup=/sys/fs/cgroup$(property ControlGroup)
	equal 16777216 "$(<"$cgroup/demo/memory.max")"
	equal "$(command_pid)" "$(<"$cgroup/demo/cgroup.procs")"
	equal "$(property MainPID)" "$(<"$cgroup/conward.monitor/cgroup.procs")"
	systemctl reload $unit
	kill -SEGV "$(property MainPID)"
	until_true test -e $log.1
	systemctl stop $unit
	equal inactive "$(property ActiveState)"
	[[ ! -e $cgroup ]]
}

@test "a command that becomes another user" {
	echo 'COMMAND=setpriv --reuid nobody --regid nogroup --clear-groups sh -c "id -un; exec sleep 1000"' \
		>/etc/conward/units/demo
	drop_in 'CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL' 'SystemCallFilter=@setuid capset'
	systemctl start $unit
	until_true has_logged nobody
	equal demo "$(conwardctl ps --json | jq -r .id)"
	systemctl stop $unit
	equal inactive "$(property ActiveState)"
}

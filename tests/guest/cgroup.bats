#!/usr/bin/env bats
# Commands of `conward run` in a cgroup v2 of their own, with little memory.

load common

run=$built/src/conward

# Takes more than 16 MiB.
hog='dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null'

setup() {
	unit=conward-test-$BATS_TEST_NUMBER
	unit_cgroup=/sys/fs/cgroup/system.slice/$unit.service
	files=$(mktemp -d) # BATS_TEST_TMPDIR is root's
	chmod 777 "$files"
}

teardown() {
	systemctl kill --kill-whom=all --signal=KILL "$unit" 2>/dev/null || true
	systemctl stop "$unit" 2>/dev/null || true
	systemctl reset-failed "$unit" 2>/dev/null || true
	rm -rf "$files"
	rmdir /sys/fs/cgroup/conward-test.slice/* /sys/fs/cgroup/conward-test.slice 2>/dev/null || true
}

# as_unit PROPERTY… -- COMMAND…: the main process of a unit, in a cgroup that is delegated. Its words
# and its status are in files.
as_unit() {
	local properties=(-p Type=exec)
	while [[ $1 != -- ]]; do
		properties+=(-p "$1")
		shift
	done
	shift
	systemd-run --quiet --unit="$unit" -p Delegate=memory -p OOMPolicy=continue -p RemainAfterExit=yes \
		-p WorkingDirectory="$files" -p StandardError=append:"$files/words" "${properties[@]}" "$@"
}

has_ended() {
	[[ $(systemctl show --value -p SubState "$unit") =~ ^(exited|failed|dead)$ ]]
}

status_of_unit() {
	until_true has_ended
	systemctl show --value -p ExecMainStatus "$unit"
}

# wrapped [OPTION…]: words that wrap the script on standard input
wrapped() {
	cat >"$files/script"
	chmod 755 "$files/script"
	words=("$run" run --quiet --log-path "$files/log" --persist-dir "$files" "$@" -- sh "$files/script")
}

has_logged() {
	[[ $(cut -d' ' -f4- "$files/log" 2>/dev/null) == "$1" ]]
}

@test "a command in a unit: limited, killed, and all as it was" {
	wrapped --cgroup command --memory-max 16M --exit-command /bin/sh --exit-command-arg -c \
		--exit-command-arg "cat /proc/self/cgroup $unit_cgroup/cgroup.subtree_control >$files/after; ls -d $unit_cgroup/*/ >>$files/after; true" <<-SCRIPT
			cat /proc/self/cgroup
			mkfifo $files/go
			echo ready
			read -r word <$files/go
			exec $hog
		SCRIPT
	as_unit -- "${words[@]}"
	until_true has_logged "0::/system.slice/$unit.service/command"$'\nready'
	equal 16777216 "$(<"$unit_cgroup/command/memory.max")"
	equal max "$(<"$unit_cgroup/memory.max")"
	equal "$(systemctl show --value -p MainPID "$unit")" "$(<"$unit_cgroup/conward.monitor/cgroup.procs")"
	echo go >"$files/go"
	equal 137 "$(status_of_unit)"
	[[ -e $files/oom ]]
	grep -q 'killed 1 process of the command sh-[0-9]* so far; its memory limit is 16 MiB' "$files/words"
	equal "0::/system.slice/$unit.service" "$(<"$files/after")"
}

@test "killed, 20 times of 20" {
	for i in {1..20}; do
		rm -f "$files/oom"
		wrapped --memory-max 16M <<<"exec $hog"
		as_unit -- "${words[@]}"
		equal 137 "$(status_of_unit)"
		[[ -e $files/oom ]]
		systemctl reset-failed "$unit"
		systemctl stop "$unit" || true
	done
}

@test "killed by somebody" {
	wrapped --memory-max 16M <<<'kill -KILL $$'
	as_unit -- "${words[@]}"
	equal 137 "$(status_of_unit)"
	[[ ! -e $files/oom ]]
}

@test "in the background" {
	wrapped --cgroup command --memory-max 16M --detach --pidfile "$files/monitor" <<<"exec sleep 1000"
	as_unit Type=forking PIDFile="$files/monitor" -- "${words[@]}"
	until_true test -s "$files/monitor"
	equal "$(<"$files/monitor")" "$(<"$unit_cgroup/conward.monitor/cgroup.procs")"
	equal 1 "$(wc -l <"$unit_cgroup/command/cgroup.procs")"
	systemctl stop "$unit"
	[[ ! -e $unit_cgroup ]]
}

@test "a user who is not root" {
	wrapped --cgroup command --memory-max 16M <<<"id -un; cat /proc/self/cgroup; exec $hog"
	as_unit User=nobody -- "${words[@]}"
	equal 137 "$(status_of_unit)"
	has_logged $'nobody\n'"0::/system.slice/$unit.service/command"
	[[ -e $files/oom ]]
}

@test "a scope" {
	wrapped --cgroup command --memory-max 16M <<<"exec $hog"
	run systemd-run --quiet --scope -p Delegate=memory "${words[@]}"
	equal 137 "$status"
	[[ -e $files/oom ]]
}

@test "below a cgroup elsewhere, which is made first" {
	mkdir /sys/fs/cgroup/conward-test.slice
	wrapped --cgroup /conward-test.slice/command --memory-max 16M <<<"cat /proc/self/cgroup; exec $hog"
	run "${words[@]}"
	equal 137 "$status"
	has_logged "0::/conward-test.slice/command"
	[[ -e $files/oom ]]
	equal "" "$(ls -d /sys/fs/cgroup/conward-test.slice/*/ 2>/dev/null)"
}

# shellcheck disable=SC2030
@test "one that is there keeps its limit, and stays" {
	mkdir /sys/fs/cgroup/conward-test.slice
	echo +memory >/sys/fs/cgroup/conward-test.slice/cgroup.subtree_control
	mkdir /sys/fs/cgroup/conward-test.slice/mine
	echo 16777216 >/sys/fs/cgroup/conward-test.slice/mine/memory.max
	wrapped --cgroup /sys/fs/cgroup/conward-test.slice/mine <<<"$hog; exit 7"
	run "${words[@]}"
	equal 7 "$status"
	[[ -e $files/oom ]]
	equal 16777216 "$(</sys/fs/cgroup/conward-test.slice/mine/memory.max)"
}

# shellcheck disable=SC2031 # they are run's, in the same test
# refused WORDS…: nothing is started, and they are said
refused() {
	equal 125 "$status"
	[[ $output == *"$*"* ]]
	[[ ! -e $files/begun ]]
}

@test "where it cannot be" {
	wrapped --cgroup command --memory-max 16M <<<"echo >$files/begun"
	# There are processes of these tests.
	run "${words[@]}"
	refused 'cannot delegate its memory controller, because there are other processes in it, such as '

	run systemd-run --quiet --pipe --wait -p Delegate=memory -p ProtectControlGroups=yes "${words[@]}"
	refused 'Read-only file system'

	chmod 666 "$files/log"
	run systemd-run --quiet --pipe --wait -p User=nobody -p WorkingDirectory="$files" "${words[@]}"
	refused 'Permission denied'

	mkdir -p /sys/fs/cgroup/conward-test.slice/{none,busy}
	wrapped --cgroup /conward-test.slice/none/command <<<"echo >$files/begun"
	run "${words[@]}"
	refused '/none has no memory controller to delegate'

	sleep 1000 3>&- &
	sleeper=$!
	echo $sleeper >/sys/fs/cgroup/conward-test.slice/busy/cgroup.procs
	echo +memory >/sys/fs/cgroup/conward-test.slice/cgroup.subtree_control
	wrapped --cgroup /conward-test.slice/busy <<<"echo >$files/begun"
	run "${words[@]}"
	refused 'The cgroup /sys/fs/cgroup/conward-test.slice/busy has processes in it already'
	wrapped --cgroup /conward-test.slice/busy/below <<<"echo >$files/begun"
	run "${words[@]}"
	refused 'The cgroup /sys/fs/cgroup/conward-test.slice/busy cannot delegate its memory controller, because there are processes in it'
	kill $sleeper
	wait $sleeper || true
}

@test "processes that are left keep it, and their limit" {
	wrapped --cgroup command --memory-max 16M <<<'sleep 1000 >/dev/null 2>&1 & exit 7'
	as_unit KillMode=process -- "${words[@]}"
	equal 7 "$(status_of_unit)"
	grep -q 'The cgroup command is not removed: Device or resource busy' "$files/words"
	equal 16777216 "$(<"$unit_cgroup/command/memory.max")"
}

@test "one unit, two commands one after the other" {
	wrapped --memory-max 16M <<<"exec $hog"
	cat >"/run/systemd/system/$unit.service" <<-UNIT
		[Service]
		Type=oneshot
		Delegate=memory
		OOMPolicy=continue
		SuccessExitStatus=137
		ExecStart=${words[*]}
		ExecStart=${words[*]}
	UNIT
	systemctl daemon-reload
	systemctl start "$unit"
	equal success "$(systemctl show --value -p Result "$unit")"
	rm "/run/systemd/system/$unit.service"
}

# Those that it passes; a cgroup that is there already is in the contract's tests.
@test "the monitor crashes at any point" {
	points=$(FAULT_POINTS=list "$built/tests/fault-points/conmon" |
		grep -E '^(process-cgroup-place|process-spawn)\.c:|^process-cgroup-oom\.c:open_count' | grep -v :remove_undo:)
	for point in $points; do
		rm -rf "$files"/{faults,oom,begun,after}
		mkdir "$files/faults"
		echo 1 >"$files/faults/$point"
		wrapped --cgroup command --memory-max 16M --exit-command /bin/sh --exit-command-arg -c \
			--exit-command-arg "cat /proc/self/cgroup >$files/after; ls -d $unit_cgroup/*/ >>$files/after; true" \
			<<<"echo >>$files/begun; exec $hog"
		words[0]=$built/tests/fault-points/conmon
		as_unit Environment=FAULT_POINTS="$files/faults" -- "${words[@]}"
		ended=$(status_of_unit)
		echo "$point: $(<"$files/faults/$point"), $ended"
		[[ $(<"$files/faults/$point") =~ ^0\ *$ ]]
		if [[ $ended == 125 ]]; then
			[[ ! -e $files/begun ]]
			[[ ! -e $unit_cgroup/command ]]
		else
			equal 137 "$ended"
			[[ -e $files/oom ]]
			equal "0::/system.slice/$unit.service" "$(<"$files/after")"
		fi
		systemctl reset-failed "$unit"
		systemctl stop "$unit" || true
	done
}

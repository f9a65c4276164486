#!/usr/bin/env bats
# Containers that log to the journal of a machine that has systemd: Podman and crun with it, and what is in
# it when systemd-journald has been stopped, killed or taken away.

load common

eval "common_$(declare -f setup_file)"

journal=(systemd-journald.{service,socket} systemd-journald-dev-log.socket)
settings=/etc/systemd/journald.conf.d/test.conf

# On the disk: /run is too small. Without a limit of the journal's own, of which no sender hears.
setup_file() {
	common_setup_file
	mkdir -p /var/log/journal "${settings%/*}"
	journal_is RateLimitIntervalSec=0
}

teardown() {
	[[ $BATS_TEST_COMPLETED ]] || systemctl --no-pager status "${journal[@]}" || true
	systemctl kill --signal=CONT systemd-journald
	systemctl start "${journal[@]}"
	for id in "${ids[@]}"; do
		crun delete --force "$id" 2>/dev/null || true
	done
}

teardown_file() {
	rm $settings
	systemctl restart systemd-journald
}

# journal_is SETTING…
journal_is() {
	printf '%s\n' '[Journal]' Storage=persistent SystemMaxUse=1G "$@" >$settings
	systemctl restart systemd-journald
}

journal_pid() {
	systemctl show --value -p MainPID systemd-journald
}

journal_is_new() {
	local pid
	pid=$(journal_pid)
	((pid != 0 && pid != $1))
}

# Two containers, which differ in what becomes of output that the journal does not take.
policies=(drop wait)
declare -gA ids bundles monitors

# begin POLICY SCRIPT [OPTION…]
begin() {
	new_container "$(script "$2")"
	ids[$1]=$id
	bundles[$1]=$bundle
	create "$conward" --log-path journald --log-on-error "$1" "${@:3}"
	monitors[$1]=$monitor
	start
}

# now POLICY FIELD: what conwardctl says
now() {
	"$ctl" stats --json "${ids[$1]}" | jq ".$2"
}

# has_more POLICY FIELD THAN
has_more() {
	(($(now "$1" "$2") > $3))
}

# is_settled POLICY SIZE: nothing of so many bytes waits any more
is_settled() {
	(($(now "$1" stdout.journal_sent_bytes) + $(now "$1" stdout.journal_lost_bytes) == $2))
}

# Lines of 80 bytes and more with numbers, one hundred at a time, until there is a file `enough` in /run.
pad='s/$/ and so much else that what the monitor keeps is not thousands of entries/'
load="i=0
until [ -e /run/enough ]; do
	seq \$((i + 1)) \$((i + 100)) | sed '$pad'
	i=\$((i + 100))
	usleep 100000
done
echo \$i >/run/last
until [ -e /run/end ]; do usleep 20000; done"

begin_load() {
	for policy in "${policies[@]}"; do
		begin "$policy" "$load"
		until_true has_more "$policy" stdout.journal_entries 1000
	done
}

# Waits until both get on.
go_on() {
	for policy in "${policies[@]}"; do
		until_true has_more "$policy" stdout.journal_entries "$(now "$policy" stdout.journal_entries)"
	done
}

# Ends the containers when the journal has kept up.
end_load() {
	for policy in "${policies[@]}"; do
		touch "${bundles[$policy]}/enough"
		until_true test -s "${bundles[$policy]}/last"
		seq "$(<"${bundles[$policy]}/last")" | sed "$pad" >"${bundles[$policy]}/written"
		until_true is_settled "$policy" "$(wc -c <"${bundles[$policy]}/written")"
		touch "${bundles[$policy]}/end"
		until_true has_ended "${monitors[$policy]}"
	done
	journalctl --sync
}

# check POLICY: what the journal has of that container. Sets what check-journal prints.
check() {
	local found
	found=$("$top/tests/guest/check-journal" "CONTAINER_ID_FULL=${ids[$1]}" "${bundles[$1]}/written")
	read -r entries lost records gone gone_bytes missing doubles <<<"$found"
	echo "# $1: $(wc -l <"${bundles[$1]}/written") lines, $entries in the journal, $records told as lost," \
		"$gone sent and gone; missing: $missing bytes, doubles: $doubles" >&3
}

podman() {
	command podman --conmon "$conward" --events-backend file "$@"
}

# podman_run NAME SCRIPT
podman_run() {
	podman run --name "$1" --log-driver journald --network none --rootfs "$rootfs" sh -c "$2" >/dev/null 2>&1
}

@test "podman: 100,000 lines, long ones and one without an end, on both streams" {
	printing='seq 100000
		seq 1000 >&2
		for size in 49151 49152 49153 98304 500000; do
			head -c $size /dev/zero | tr "\0" x; echo
			head -c $size /dev/zero | tr "\0" y >&2; echo >&2
		done
		printf "\377\1\r\n\n<3>end"
		printf "another end" >&2'
	started=$SECONDS
	podman_run all "$printing"
	ran=$((SECONDS - started))
	(
		cd "$BATS_TEST_TMPDIR"
		busybox sh -c "$printing" >wanted 2>wanted-errors
		podman logs all >shown 2>shown-errors
		cmp wanted shown
		cmp wanted-errors shown-errors
		journalctl --sync
		"$top/tests/guest/check-journal" CONTAINER_NAME=all wanted wanted-errors >found
		echo "# $(wc -c <wanted) and $(wc -c <wanted-errors) bytes; run: $ran s, logs and journalctl: $((SECONDS - started - ran)) s" >&3
		# Of the long lines, each stream has 1, 1, 2, 2 and 11 entries.
		equal "$((100000 + 17 + 3 + 1000 + 17 + 1)) 0 0 0 0 0 0" "$(<found)"
	)
}

@test "stopped for 20 s" {
	begin_load
	systemctl kill --signal=STOP systemd-journald
	sleep 20
	until_true has_more drop stdout.journal_lost_bytes 0
	until_true has_more wait journal_waited_us 0
	systemctl kill --signal=CONT systemd-journald
	go_on
	end_load
	check drop
	((lost > 0))
	equal "0 0 0" "$gone $missing $doubles"
	check wait
	equal "0 0 0 0" "$lost $gone $missing $doubles"
}

# Its sockets are systemd's: who has sent hears nothing of it, and what is in them waits for the next one.
# Only the one entry that it was just storing may be gone, each time.
@test "killed, and started anew by systemd" {
	begin_load
	for _ in {1..3}; do
		before=$(journal_pid)
		systemctl reset-failed systemd-journald # it may be started as often as that
		systemctl kill --signal=KILL systemd-journald
		until_true journal_is_new "$before"
		go_on
	done
	end_load
	check drop
	((gone <= 3))
	equal "0 0" "$missing $doubles"
	check wait
	((gone <= 3))
	equal "0 0 0" "$lost $missing $doubles"
}

@test "taken away with its sockets, and back" {
	begin_load
	systemctl stop "${journal[@]}" systemd-journald-audit.socket
	until_true has_more drop stdout.journal_lost_bytes 0
	until_true has_more wait journal_waited_us 0
	systemctl start "${journal[@]}"
	go_on
	end_load
	check drop
	((lost > 0))
	equal "0 0" "$missing $doubles"
	check wait
	equal "0 0 0" "$lost $missing $doubles"
}

@test "no journal: the exit file does not wait for it, and what is lost is exact" {
	size=$(seq 20000 | wc -c)
	for policy in "${policies[@]}"; do
		# Until somebody opens the gate, the monitor is there to be asked.
		mkfifo "$BATS_TEST_TMPDIR/gate-$policy"
		begin "$policy" 'mkfifo /run/go; seq 1000; read -r word </run/go; seq 1001 20000; exit 7' \
			--exit-command /bin/cat --exit-command-arg "$BATS_TEST_TMPDIR/gate-$policy"
		seq 20000 >"$bundle/written"
		until_true has_more "$policy" stdout.journal_entries 999
	done
	journalctl --sync
	systemctl stop "${journal[@]}" systemd-journald-audit.socket
	for policy in "${policies[@]}"; do
		bundle=${bundles[$policy]}
		tell go
		touch "$bundle/told"
	done
	for policy in "${policies[@]}"; do
		bundle=${bundles[$policy]}
		until_true test -e "$bundle/exits/${ids[$policy]}"
		equal 7 "$(<"$bundle/exits/${ids[$policy]}")"
		# Under wait this would take minutes.
		[[ $policy == drop ]] || "$ctl" set "${ids[$policy]}" log-on-error drop
		until_true is_settled "$policy" "$size"
		run ! systemctl is-active --quiet systemd-journald
		echo "# $policy: the exit file was there after $(jq -n "$(stat -c %.3Y "$bundle/exits/${ids[$policy]}") - $(
			stat -c %.3Y "$bundle/told"
		)") s; $(now "$policy" stdout.journal_sent_bytes) bytes sent and $(now "$policy" stdout.journal_lost_bytes) lost of $size" >&3
		declare "lost_$policy=$(now "$policy" stdout.journal_lost_bytes)"
	done
	systemctl start "${journal[@]}"
	for policy in "${policies[@]}"; do
		timeout "$limit" sh -c ': >"$1"' - "$BATS_TEST_TMPDIR/gate-$policy"
		until_true has_ended "${monitors[$policy]}"
		journalctl --sync
		check "$policy"
		on_page=lost_$policy
		equal "1000 0 0" "$entries $gone $doubles"
		equal "${!on_page}" "$((lost + missing))"
	done
}

# entries MATCH FIELD: each entry a line of JSON
entries() {
	journalctl --quiet --output=json --output-fields="$2" "$1"
}

# Whether all entries are in the journal, or said to have been dropped. The journal says so when it next
# hears of the container.
are_all_told() {
	tell go
	journalctl --sync
	there=$(entries "CONTAINER_ID_FULL=${ids[drop]}" CONWARD_SEQ | wc -l)
	dropped=$(entries MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e N_DROPPED | jq -s 'map(.N_DROPPED | tonumber) | add // 0')
	echo "$there $dropped $(now drop stdout.journal_entries)"
	((dropped > 0 && there + dropped == $(now drop stdout.journal_entries)))
}

@test "the journal's own rate limit: no sender hears of it, but numbers are missing, and the journal says how many" {
	journal_is RateLimitIntervalSec=5 RateLimitBurst=100
	begin drop 'mkfifo /run/go; exec 3<>/run/go; seq 20000; while read -r word <&3; do echo more; done'
	until_true has_more drop stdout.journal_entries 19999
	until_true are_all_told
	equal 0 "$(now drop stdout.journal_lost_bytes)"
	echo "# $there in the journal, $dropped dropped" >&3
	journal_is RateLimitIntervalSec=0
}

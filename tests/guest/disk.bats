#!/usr/bin/env bats
# Logs on a real ext4 that has no room, quota or inode left, or becomes read-only: what is in the log and
# what is told as lost are all that was written, no record is torn, the monitor lives, and the end is
# reported.

load common

conward=$built/src/conward
ENOSPC=28
EROFS=30
EDQUOT=122

teardown() {
	[[ ! ${monitor:-} ]] || kill -KILL "$monitor" 2>/dev/null || true
	[[ ! ${disk:-} ]] || remove_disk
}

# new_disk MOUNT-OPTIONS [MKE2FS-OPTION…]: a small file system of its own. Sets disk, device and log.
new_disk() {
	image=$(mktemp -p "$BATS_TEST_TMPDIR")
	disk=$image.mounted
	truncate -s 16M "$image"
	mke2fs -q -F -t ext4 -m 0 -I 256 "${@:2}" "$image"
	mkdir "$disk"
	mount -o "loop,$1" "$image" "$disk"
	device=$(findmnt -no SOURCE "$disk")
	mkdir "$disk/logs"
	log=$disk/logs/log
}

remove_disk() {
	umount "$disk" || umount --lazy "$disk"
	rm "$image"
	disk=
}

# fill KIBIBYTES: takes all room but that.
fill() {
	local room
	room=$(($(stat -f -c '%a * %S / 1024' "$disk")))
	fallocate -l "$((room - $1))K" "$disk/filler"
}

free() {
	rm "$disk/filler"
}

# launch POLICY STEP LAST [OPTION…]: the container prints the numbers up to LAST, and after each STEP of
# them it waits for a word. Sets the pid of the monitor, to which quotas apply. The container keeps the fifo
# open: as long as who has written the last word has not closed it, another open would find its end.
launch() {
	read -r id </proc/sys/kernel/random/uuid
	policy=$1
	step=$2
	last=$3
	printed=0
	bundle=$BATS_TEST_TMPDIR/$id
	mkdir -p "$bundle/exits"
	mkfifo "$bundle/go"
	setpriv --bounding-set -sys_resource "$conward" run --quiet --cid "$id" --log-path "$log" \
		--log-on-error "$policy" --exit-dir "$bundle/exits" "${@:4}" -- \
		sh -c 'exec 3<>"$1"; until [ "$((i += $2))" -gt "$3" ]; do seq $((i - $2 + 1)) $i; read -r word <&3; done; exit 7' \
		- "$bundle/go" "$step" "$last" >"$bundle/said" 2>&1 3>&- &
	monitor=$!
	errors=0
}

is_more() {
	(($(figure "$2") > $1))
}

# The monitor has taken all that the container prints before it waits for a word.
has_read_all() {
	has_figure stdout.read_bytes "$(seq 1 $((printed + step)) | wc -c)"
}

# The log tells of all the bytes that are counted as lost.
tells_losses() {
	local lost
	lost=$(figure stdout.lost_bytes)
	((lost == $(cat "$log"{,.*} 2>/dev/null | sed -nE 's/.*\[conward\] lost ([0-9]+) bytes.*/+\1/p' | tr -d '\n'; echo " + 0")))
}

# fails_with ERROR: waits until the log has failed, and until nothing more happens before that is over.
fails_with() {
	until_true is_more "$errors" log_write_errors
	if [[ $policy == drop ]]; then
		until_true has_read_all
	else
		until_true is_more 0 log_waited_us
	fi
	equal "$1" "$(figure log_last_error)"
	kill -0 "$monitor"
}

# settles: the trouble is over. The loss is told without any further output.
settles() {
	until_true has_read_all
	until_true has_figure 'stdout | .read_bytes - .logged_bytes - .lost_bytes' 0
	until_true tells_losses
	counted=$(figure 'stdout | "\(.lost_bytes) \(.lost_records)"' | tr -d '"')
	errors=$(figure log_write_errors)
}

# go_on: the next numbers
go_on() {
	printed=$((printed + step))
	tell go
}

# Waits for the monitor's end, which is the container's and reported as that.
ends() {
	local status=0
	until_true has_ended "$monitor"
	wait "$monitor" || status=$?
	monitor=
	equal 7 "$status"
	equal 7 "$(<"$bundle/exits/$id")"
}

# Prints what the log tells as lost, and what is missing at its end.
told() {
	local number files=()
	for ((number = 200; number > 0; number--)); do
		[[ ! -e $log.$number ]] || files+=("$log.$number")
	done
	[[ ! -e $log ]] || files+=("$log")
	"$top/tests/guest/check-log" "$last" "${files[@]}"
}

# The log has all but what it tells as lost, and that is what was counted.
is_exact() {
	equal "$counted 0 0" "$(told)"
	if [[ $policy == drop ]]; then
		[[ $counted != "0 0" ]]
	else
		equal "0 0" "$counted"
	fi
	echo "# $BATS_TEST_DESCRIPTION, $policy: lost $counted of $(seq 1 "$last" | wc -c) $last" >&3
}

# The trouble is over: nothing is lost of what is printed from now on.
goes_on_to_the_end() {
	settles
	go_on
	settles
	go_on
	ends
	is_exact
}

# quota KIND POLICY…: of the owner of the log, who is not the monitor
quota() {
	local policy
	for policy in "${@:2}"; do
		new_disk usrquota,grpquota,prjquota -O quota,project -E quotatype=usrquota:grpquota:prjquota
		chattr -p 1000 +P "$disk/logs"
		touch "$log"
		chown 1000:1000 "$log"
		"$top/tests/guest/set-quota" "$device" "$1" 1000 103
		launch "$policy" 5000 10000
		fails_with $EDQUOT
		"$top/tests/guest/set-quota" "$device" "$1" 1000 0
		goes_on_to_the_end
		remove_disk
	done
}

@test "a user's quota" {
	quota user drop
}

@test "a group's quota" {
	quota group wait
}

@test "a project's quota" {
	quota project drop wait
}

# An emergency remount is that of all file systems.
remount_read_only() {
	echo u >/proc/sysrq-trigger
	until_true is_read_only "$disk"
	until_true is_read_only /
	mount -o remount,rw /
}

is_read_only() {
	findmnt -no FS-OPTIONS "$1" | grep -qE '^ro(,|$)'
}

# With delayed allocation, ext4 takes what is written to a file that is open, and forgets it if it cannot
# be written later (below).
@test "read-only for a while" {
	local policy
	for policy in drop wait; do
		new_disk nodelalloc
		launch "$policy" 2000 6000 --log-size-max 50000 --log-rotate --log-max-files 200
		until_true has_read_all
		remount_read_only
		go_on
		fails_with $EROFS
		mount -o remount,rw "$disk"
		goes_on_to_the_end
		remove_disk
	done
}

@test "read-only for good, after an error" {
	local policy sums
	for policy in drop wait; do
		new_disk nodelalloc,errors=remount-ro
		launch "$policy" 2000 4000
		until_true has_read_all
		echo test >"/sys/fs/ext4/${device#/dev/}/trigger_fs_error"
		go_on
		fails_with $EROFS
		# It reports the end at once, and tells what is missing when it leaves: under wait, when it is told to.
		go_on
		until_true test -s "$bundle/exits/$id"
		[[ $policy == drop ]] || kill "$monitor"
		ends
		sums=$(sed -nE 's/.*Lost ([0-9]+) bytes in ([0-9]+) records of stdout: .*/\1 \2/p' "$bundle/said")
		equal "0 0 $sums" "$(told)"
		equal "10000 2000" "$sums"
		grep -q 'Failed to write the log .*: Read-only file system' "$bundle/said"
		remove_disk
	done
}

@test "read-only for good, and ext4 takes what it cannot keep" {
	new_disk errors=remount-ro
	launch drop 2000 4000
	until_true has_read_all
	echo test >"/sys/fs/ext4/${device#/dev/}/trigger_fs_error"
	go_on
	until_true has_read_all
	go_on
	ends
	grep -q 'Failed to sync the log .* to disk: Read-only file system. Its last records may be lost' "$bundle/said"
	remove_disk
}

@test "no inode for a new file" {
	local policy i
	for policy in drop wait; do
		i=0
		new_disk defaults -N 32
		touch "$log"
		mkdir "$disk/inodes"
		while touch "$disk/inodes/$((i += 1))" 2>/dev/null; do :; done
		launch "$policy" 2000 6000 --log-size-max 20000 --log-rotate --log-max-files 200
		until_true has_read_all
		is_more 0 log_rotation_failures
		is_more 20000 log_size_bytes
		equal 0 "$(figure log_write_errors)"
		echo 2 0 0 >"$(echo "/run/conward/$monitor-"*.ctl)"
		until_true has_figure log_reopen_owed 1
		rm -r "$disk/inodes"
		until_true has_figure log_reopen_owed 0
		for i in 1 2 3; do
			until_true has_read_all
			go_on
		done
		ends
		equal "0 0 0 0" "$(told)"
		remove_disk
	done
}

@test "full, and freed, again and again, with rotation" {
	local policy leave
	for policy in drop wait; do
		new_disk defaults
		fill 103
		launch "$policy" 5000 15000 --log-size-max 50000 --log-rotate --log-max-files 200
		for leave in 75 31 0; do
			fails_with $ENOSPC
			free
			settles
			((leave == 0)) || fill "$leave"
			go_on
		done
		ends
		is_exact
		remove_disk
	done
}

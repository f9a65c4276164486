# Podman with the monitor under test, and with nothing of the machine's own Podman: every file of
# tests gets its own store, locks, events and root file system, and takes all of it away again.
#
# CONWARD_CONMON  the monitor; its file name must be conmon (default: the one in ./build).
#                 CONWARD_CONMON=/usr/bin/conmon runs the same tests against Debian's conmon.

bats_require_minimum_version 1.5.0

top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
monitor=${CONWARD_CONMON:-$top/build/src/libexec/conmon}
home=$BATS_FILE_TMPDIR
rootfs=$home/rootfs
store=$home/store
shared=$home/shared # seen by every container as /shared
export CONTAINERS_CONF=$home/containers.conf

# How long any single event may take before a test calls it lost. Generous: it only matters when
# something is broken.
limit=120

PODMAN=(
	podman --storage-driver vfs --root "$store" --runroot "$home/run" --conmon "$monitor"
)

podman() {
	timeout --foreground "$limit" "${PODMAN[@]}" "$@"
}

# podman run with the root file system and the shared directory in place:
# container [PODMAN-RUN-OPTION…] -- COMMAND [ARG…]
container() {
	local options=()
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	podman run -v "$shared:/shared" "${options[@]}" --rootfs "$rootfs" "$@"
}

setup_file() {
	if ((EUID != 0)); then
		echo "These tests run Podman as root." >&2
		return 1
	fi
	if [[ ! -x $monitor || ${monitor##*/} != conmon ]]; then
		echo "$monitor is not an executable named conmon: build first, or set CONWARD_CONMON." >&2
		return 1
	fi
	local applet
	mkdir -p "$rootfs"/{bin,dev,etc,proc,run,shared,sys,tmp} "$shared"
	cp "$(type -P busybox)" "$rootfs/bin/busybox"
	for applet in $(busybox --list); do
		[[ $applet == busybox ]] || ln -s busybox "$rootfs/bin/$applet"
	done
	# cgroupfs, no network and small limits: the tests then run where there is no systemd, and in a
	# container that may not raise its own limits. Locks as files: Podman's shared memory segment
	# belongs to the machine, and a new store would reset it.
	cat >"$CONTAINERS_CONF" <<-CONF
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
		netns = "none"
		log_driver = "k8s-file"
		[network]
		network_config_dir = "$home/networks"
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		lock_type = "file"
		runtime = "runc"
		tmp_dir = "$home/tmp"
	CONF
}

teardown_file() {
	podman rm -f -a -t 0 >/dev/null || true
	# What a broken monitor may leave behind: it would hold the temporary directory.
	local pid
	for pid in $(monitors); do
		echo "# the monitor $pid was still there: $(tr '\0' ' ' <"/proc/$pid/cmdline")" >&3
		kill -KILL "$pid" 2>/dev/null || true
	done
}

# Processes of the monitor that belong to this file of tests, one pid a line.
monitors() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		[[ $(readlink "$exe") == "$(readlink -f "$monitor")" ]] || continue
		grep -qzF "$store" "${exe%/exe}/cmdline" 2>/dev/null || continue
		basename "${exe%/exe}"
	done
}

monitor_is_conward() {
	"$monitor" --version | grep -q '^commit: conward '
}

# field NAME GO-TEMPLATE: one value of podman inspect
field() {
	podman inspect --format "$2" "$1"
}

# wait_gone PID: waits until a process has ended that need not be our child. Nobody has to reap it: in
# a container without an init, nobody does.
wait_gone() {
	python3 -I - "$1" "$limit" <<-'PYTHON'
		import os, select, sys
		try:
		    process = os.pidfd_open(int(sys.argv[1]))
		except ProcessLookupError:
		    sys.exit(0)
		sys.exit(not select.select([process], [], [], float(sys.argv[2]))[0])
	PYTHON
}

# wait_grep PATTERN FILE: waits until a line of a growing file matches; the file may not exist yet.
# The whole file is read at every change, so that nothing can slip by between two looks.
wait_grep() {
	timeout "$limit" tail -n +1 -F "$2" 2>/dev/null | grep -q -m 1 -e "$1"
}

# wait_size FILE BYTES: waits until a growing file has at least this many bytes.
wait_size() {
	timeout "$limit" tail -c +1 -F "$1" 2>/dev/null | head -c "$2" | wc -c | grep -qx "$2"
}

# content LOG STREAM: the bytes a stream carried, put together again from the records of a k8s-file.
content() {
	python3 -I - "$1" "$2" <<-'PYTHON'
		import re, sys
		path, stream = sys.argv[1], sys.argv[2].encode()
		header = re.compile(
		    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d (stdout|stderr) ([PF]) ")
		for number, line in enumerate(open(path, "rb"), 1):
		    match = header.match(line)
		    if not match or not line.endswith(b"\n"):
		        sys.exit(f"{path}:{number}: not a record: {line[:100]!r}")
		    if match[1] == stream:
		        data = line[match.end():]
		        sys.stdout.buffer.write(data if match[2] == b"F" else data[:-1])
	PYTHON
}

# tell NAME WORD: one line for the container that reads the fifo NAME in the shared directory.
tell() {
	timeout "$limit" sh -c 'printf "%s\\n" "$2" >"$1"' - "$shared/$1" "$2"
}

# same EXPECTED ACTUAL: compares two files and shows where they part.
same() {
	cmp "$1" "$2" || {
		ls -l "$1" "$2"
		return 1
	}
}

# equal EXPECTED ACTUAL: compares two strings.
equal() {
	[[ $1 == "$2" ]] || {
		printf 'expected: %q\nactual:   %q\n' "$1" "$2"
		return 1
	}
}

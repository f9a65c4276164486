# What tests in the guest share: containers of crun in scopes of systemd, which takes their cgroups
# away as soon as they are empty, as under Podman; and an engine that is a few lines of shell.

bats_require_minimum_version 1.5.0

top=/mnt/project
built=$top/${GUEST_BUILD:-build-gcc}
conward=$built/src/libexec/conmon
ctl=$built/src/conwardctl
rootfs=/usr/local/share/busybox

# How long any single event may take before a test calls it lost. Generous: it only matters when
# something is broken.
limit=60

setup_file() {
	if [[ ! -x $conward ]]; then
		echo "These tests run in the guest, with $conward: tests/run guest" >&2
		return 1
	fi
	crun spec --bundle "$BATS_FILE_TMPDIR"
	jq --arg rootfs "$rootfs" '
		.process.terminal = false | .root = {path: $rootfs, readonly: true}
		| .linux.namespaces |= map(select(.type != "network"))
		| .linux.resources = {memory: {limit: 16777216, swap: 16777216}}' \
		"$BATS_FILE_TMPDIR/config.json" >"$BATS_FILE_TMPDIR/new.json"
	mv "$BATS_FILE_TMPDIR/new.json" "$BATS_FILE_TMPDIR/config.json"
}

# until_true COMMAND…: waits until it succeeds.
until_true() {
	local deadline=$((SECONDS + limit))
	until "$@"; do
		((SECONDS < deadline)) || {
			echo "it does not come true: $*" >&2
			return 1
		}
		sleep 0.02
	done
}

# new_container JQ-FILTER: makes a bundle of which the filter has changed the configuration, and sets
# id and bundle.
new_container() {
	local one other
	read -r one </proc/sys/kernel/random/uuid
	read -r other </proc/sys/kernel/random/uuid
	id=${one//-/}${other//-/}
	bundle=$BATS_TEST_TMPDIR/$id
	mkdir -p "$bundle"/{persist,exits}
	jq --arg path "machine.slice:libpod:$id" --arg shared "$bundle" '
		.linux.cgroupsPath = $path
		| .mounts += [{destination: "/run", type: "bind", source: $shared, options: ["bind", "rw"]}]
		| '"$1" "$BATS_FILE_TMPDIR/config.json" >"$bundle/config.json"
}

# script TEXT: the filter for a container that is a shell script
script() {
	printf '.process.args = ["sh", "-c", %s]' "$(jq -n --arg script "$1" '$script')"
}

# create MONITOR [OPTION…]: the container waits for start. Sets the pid of the monitor, and cgroup. As
# under Podman, the monitor begins in the bundle: newer versions of conmon put the file oom there.
create() {
	local sync report
	mkfifo "$bundle/sync"
	exec {sync}<>"$bundle/sync"
	_OCI_SYNCPIPE=$sync timeout "$limit" env -C "$bundle" "$1" --cid "$id" --cuuid "$id" --runtime /usr/bin/crun \
		--bundle "$bundle" --container-pidfile "$bundle/pidfile" --conmon-pidfile "$bundle/monitor" \
		--exit-dir "$bundle/exits" --persist-dir "$bundle/persist" --log-path "k8s-file:$bundle/log" \
		--full-attach --systemd-cgroup "${@:2}" </dev/null >/dev/null 2>&1 3>&-
	read -r -t "$limit" report <&"$sync"
	exec {sync}>&-
	[[ $report =~ ^'{"pid": '[1-9] ]] || {
		echo "$report"
		return 1
	}
	monitor=$(<"$bundle/monitor")
	cgroup=/sys/fs/cgroup/machine.slice/libpod-$id.scope
}

start() {
	timeout "$limit" crun start "$id"
}

# Waits for the end of the monitor, and takes away what is left of the container.
wait_end() {
	until_true has_ended "$monitor"
	crun delete --force "$id" 2>/dev/null || true
}

# tell FIFO: one line for the container that reads it in /run.
tell() {
	timeout "$limit" sh -c 'echo "$2" >"$1"' - "$bundle/$1" go
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

# figure NAME: what conwardctl says of the container.
figure() {
	"$ctl" stats --json "$id" | jq ".$1"
}

has_figure() {
	[[ $(figure "$1") == "$2" ]]
}

# equal EXPECTED ACTUAL: compares two strings.
equal() {
	[[ $1 == "$2" ]] || {
		printf 'expected: %q\nactual:   %q\n' "$1" "$2"
		return 1
	}
}

"""What conmon's callers can ask for and see, one row each. Every row has a scenario that covers it: a test sees to
that, and `tests/differential/coverage` shows it."""

OPTIONS = [
    *("--api-version", "--bundle", "--cid", "--cuuid", "--name", "--runtime", "--runtime-arg", "--runtime-opt"),
    *("--restore-arg", "--container-pidfile", "--pidfile", "--conmon-pidfile", "--exec", "--exec-process-spec"),
    *("--exec-attach", "--restore", "--terminal", "--stdin", "--leave-stdin-open", "--systemd-cgroup", "--no-pivot"),
    *("--no-new-keyring", "--log-path", "--log-size-max", "--log-global-size-max", "--log-rotate", "--log-max-files"),
    *("--log-allowlist-dir", "--log-tag", "--log-label", "--no-container-partial-message", "--no-sync-log"),
    *("--log-level", "--syslog", "--exit-dir", "--persist-dir", "--exit-command", "--exit-command-arg", "--exit-delay"),
    *("--timeout", "--socket-dir-path", "--full-attach", "--sdnotify-socket", "--replace-listen-pid", "--sync"),
    *("--version", "--help", "--seccomp-notify-socket", "--seccomp-notify-plugins"),
]

PROTOCOLS = [
    "start pipe: nothing happens before the first message",
    "start pipe: the whole first message is read",
    "start pipe: let go after the first message",
    "start pipe: its end",
    "start pipe: cannot be read",
    "start pipe: the second message, of --exec-attach",
    "start pipe: held until the second message",
    "start pipe: the end in place of the second message",
    "attach pipe: one line, when everybody can connect and nothing runs",
    "attach pipe: SEQPACKET",
    "attach pipe: STREAM",
    "attach pipe: a fifo",
    "attach pipe: missing",
    "sync pipe: create, version 1",
    "sync pipe: create, version 0",
    "sync pipe: restore, version 1",
    "sync pipe: restore, version 0",
    "sync pipe: exec, version 1",
    "sync pipe: exec, version 0",
    "sync pipe: create fails, version 1",
    "sync pipe: create fails, version 0",
    "sync pipe: restore fails, version 1",
    "sync pipe: restore fails, version 0",
    "sync pipe: exec fails, version 1",
    "sync pipe: exec fails, version 0",
    "sync pipe: command timed out",
    "sync pipe: special characters",
    "sync pipe: no message",
    "sync pipe: longer than a packet",
    "sync pipe: everything is ready before the first line",
    "sync pipe: nobody reads the first line",
    "sync pipe: nobody reads the second line",
    "sync pipe: cannot be written",
    "sync pipe: open until the end",
    "sync pipe: nobody else holds it",
    "pipes: the variable is no number",
    "pipes: the descriptor is not open",
    "pipes: no variables",
    "pipes: SEQPACKET",
    "pipes: STREAM",
    "pipes: fifos",
    "pipes: a pipe",
    "descriptors: of the user",
    "descriptors: behind the pipes",
    "descriptors: standard streams are let go",
    "LISTEN_PID: another's",
    "LISTEN_PID: the monitor's",
    "LISTEN_PID: not a number",
]

RUNTIME_RETURNS = [
    "create with a status other than 0",
    "restore with a status other than 0",
    "a create that fails: the exit command runs, and there are no results",
    "exec with a status other than 0",
    "terminal: none came",
    "pid file: none, and no words",
    "pid file: none, and words",
    "pid file: empty",
    "pid file: empty, made by the engine",
    "pid file: no number",
    "pid file: the pid",
    "words of a runtime that succeeds",
]

EXIT_STATUS = [
    "exit status",
    "death by a signal",
    "status of an unknown end",
    "status of a timeout",
    "status of exec is the process', not the runtime's",
    "end before the pid is known",
    "no child of the monitor, and gone",
    "no child of the monitor, and alive",
    "the child of another process that ends",
]

OWN_STATUS = [
    "help and version",
    "an error in the command line",
    "a fork that fails",
    "the conmon pidfile cannot be written",
    "the started process after the fork",
    "SIGTERM before the runtime runs",
    "a fatal error in the background",
    "a fatal error with --sync",
    "the container's status",
    "the exit command's status",
]

LOG_PATHS = {
    "a path": ["/TOP/a", "name"],
    "k8s-file and a path": ["k8s-file:/TOP/a", ":/TOP/a", "::/TOP/a", ":k8s-file:/TOP/a", "k8s-file:name"],
    "k8s-file without a path": ["k8s-file", "k8s-file:"],
    "journald": ["journald", "journald:", "journald:x"],
    "a driver's name behind a colon": [":journald", ":journald:", ":none"],
    "no log": ["none", "off", "null", "none:", "off:", "null:", "none:x"],
    "passthrough": ["passthrough", "passthrough:"],
    "empty": ["", ":", "::"],
    "an unknown driver": ["foo:", "foo:bar", "json-file:x", "/a:b", "NONE:", "Journald:x"],
    "a word that is no driver": ["json-file", "passthrough-tty", "foo", "NONE"],
    "a colon in the path": ["k8s-file:/TOP/a:b", "k8s-file:/TOP/a:", "k8s-file::/TOP/a"],
}

LOG_PATH_LISTS = ["the last file counts", "a file and none", "a file and journald", "a bad one among good ones"]

TABLES = {
    "options": OPTIONS,
    "protocols": PROTOCOLS,
    "after the runtime": RUNTIME_RETURNS,
    "exit status": EXIT_STATUS,
    "status of the monitor": OWN_STATUS,
    "log paths": [*LOG_PATHS, *LOG_PATH_LISTS],
}

ALL = [row for rows in TABLES.values() for row in rows]

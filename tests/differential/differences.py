"""Where conward is not conmon, on purpose. Whatever else differs is a fault, and so is a line here that is not true any
more: the tests fail in both cases.

Each line names the scenario and what was noted in it, what conmon's note says and what conward's does, and the reason;
`weakness` is the number in the list of conmon's weaknesses that it is about."""

from dataclasses import dataclass
from typing import Any, Callable

from exec_engine import SESSION

EVERYWHERE = "everywhere"  # in each scenario that has such a note of both monitors
ANY = ...  # a value of conmon's that is different every time
NONE = None  # there is no such note


@dataclass(frozen=True)
class Difference:
    scenario: str
    note: str
    conmon: Any
    conward: Any
    reason: str
    weakness: int | None = None


@dataclass(frozen=True)
class Rule:
    """A difference that many scenarios have, as a change that makes conward's notes of conmon's: `change(value)` is
    applied to each of conmon's notes whose name begins with `note`. In the scenario `example` it must change something.
    If conward is not as the rule says, the notes differ again."""

    example: str
    note: str
    change: Callable
    reason: str
    weakness: int | None = None


def replace(old, new):
    """A change of every text in a note."""

    def change(value):
        if isinstance(value, str):
            return value.replace(old, new)
        return [change(one) for one in value] if isinstance(value, list) else value

    return change


def parse_error_on_standard_error(value):
    output, error = value
    if output and output[0].startswith("conmon: option parsing failed: "):
        return [output[1:], output[:1] + error]
    return value


def without(word):
    def change(words):
        return [one for one in words if one != word]

    return change


def gone(_):
    """The note is not there."""
    return NONE


OLD = "conmon 2.1.6 is older than the 2.2.1 that conward takes the place of"
SAYS_WHY = "says what has happened, and where"
VALID = "what engines read has to be valid JSON, and valid UTF-8"
FITS = "engines read at most 4096 bytes; conward says how many are left out"
ONE_FILE = "one file that cannot be written does not keep the others from being written"
AT_MOST = "the limit is what the log ends at or below, not what the last record may be beyond"
CANNOT_PARSE = "[conmon:e]: unable to parse "
CANNOT_MAKE = "[conmon:e]: unable to make "
FAILED = "The runtime RUNTIME failed with exit status"
SPECIAL = (
    'a \\"quoted\\" \\\\ word / \\t tab \\u000d \\u0008 \\u000c \\u0001 \x1f \\u007f ä \\xff end\\n',
    'a \\"quoted\\" \\\\ word \\/ \\t tab \\r \\b \\f \\u0001 \\u001f \\u007f ä \N{REPLACEMENT CHARACTER} end\\n',
)
ROTATES = {
    "started process, status": (1, 0),
    "started process, words": ("conmon: option parsing failed: Unknown option --log-rotate\n", ""),
    "status": (NONE, 7),
}
CID = "c0ffee0123456789"
CREATED = ["create logs/ctr.log", *(f"create bundle/{name}" for name in ("attach", "ctl", "winsz", "pidfile"))]
RENAMED = ["rename to persist/exit", f"rename to exits/{CID}"]
FILES = ["bundle/conmon-pidfile", "bundle/ctl", "bundle/pidfile", "bundle/winsz", "logs/ctr.log"]
EXEC_CREATED = [f"create bundle/{SESSION}/{name}" for name in ("attach", "ctl", "winsz", "exec_pid")]
EXEC_FILES = [
    f"bundle/{SESSION}/{name}" for name in ("conmon-pidfile", "ctl", "exec-process-4711", "exec_pid", "winsz")
]
EXEC_RESULTS = [f"persist/{CID}/exit", f"bundle/{SESSION}/exit/{CID}"]  # as they come
NO_CONTAINER = {
    "status": (255, 1),
    "attach socket is removed": ("after", NONE),
    "order of files": ([*CREATED, *RENAMED], CREATED),
    "file exits/c0ffee0123456789": ("file 0644 -1", NONE),
    "file persist/exit": ("file 0644 -1", NONE),
    "log ctr.log, stderr": ("why\n", ""),
}


def lines(first, end):
    return "".join(f"line {number}\n" for number in range(first, end))


def told(scenarios, notes, reason, weakness=None):
    """Differences of some scenarios: `notes` is {note: (conmon's, conward's)}."""
    return [
        Difference(scenario, note, conmon, conward, reason, weakness)
        for scenario in scenarios
        for note, (conmon, conward) in notes.items()
    ]


def each(name, *values):
    """The names of a scenario's variants."""
    return [f"{name}, {value}" for value in values]


def refusal(old, new):
    """Of a command line, with one line on standard error."""
    return {WORDS: ([[], [old]], [[], [new]])}


def on_sync_pipe(old, new):
    """Two lines, and the end; conmon's may be nothing at all."""
    return {"sync pipe": ([old + "\n", ""] if old else [""], [new + "\n", ""])}


def everywhere(note, conmon, conward, reason, weakness=None):
    return Difference(EVERYWHERE, note, conmon, conward, reason, weakness)


WORDS = "standard output and error"
FAMILIES = ("podman", "crio")
PIPES = ("SYNC", "START", "ATTACH")

DIFFERENCES = [
    everywhere("runtime, ignored signals", ["SIGPIPE"], [], "what is started finds the default", 29),
    everywhere("exit command, ignored signals", ["SIGPIPE"], [], "what is started finds the default", 29),
    everywhere("exit command, blocked signals", ["SIGCHLD", "SIGUSR1"], [], "what is started finds the default", 29),
    everywhere("exit command, environment _OCI_SYNCPIPE", ANY, NONE, "no such descriptor is open there", 29),
    everywhere("exit command, environment _OCI_STARTPIPE", ANY, NONE, "no such descriptor is open there", 29),
    everywhere("exit command, environment _OCI_ATTACHPIPE", ANY, NONE, "no such descriptor is open there", 29),
    everywhere(
        "attach socket is removed", "after", "before", "who sees the exit files finds no socket that leads nowhere"
    ),
    everywhere(
        "link to the bundle is made", "before the socket", "after the socket", "who sees the link finds the socket"
    ),
    # Command lines
    *told(
        each("version", "long", "with more"),
        {WORDS: ([["conmon version 2.1.6", "commit: COMMIT"], []], [["conmon version 2.2.1", "commit: COMMIT"], []])},
        OLD,
    ),
    *told(
        ["help text"],
        {
            "tells of --log-rotate": (False, True),
            "tells of --log-max-files": (False, True),
            "tells of --log-allowlist-dir": (False, True),
            "tells of --log-label": (False, True),
            "tells of --no-container-partial-message": (False, True),
        },
        OLD,
    ),
    *told(
        ["help text"],
        {"tells of --seccomp-notify-socket": (True, False), "tells of --seccomp-notify-plugins": (True, False)},
        "accepted as ever, but newer releases have dropped them, and they do nothing",
    ),
    *told(
        ["command line, empty id"],
        {
            "status": (0, 1),
            WORDS: ([[], []], [[], ["conmon: Container ID not provided. Use --cid"]]),
            "file ctr.log": ("file 0640", NONE),
        },
        "it would name no file",
    ),
    *told(
        ["command line, empty uuid"],
        {
            "status": (0, 1),
            WORDS: ([[], []], [[], ["[conmon:e]: Container UUID not provided. Use --cuuid"]]),
            "file attach": ("socket 0700", NONE),
            "file ctl": ("fifo 0640", NONE),
            "file ctr.log": ("file 0640", NONE),
            "file winsz": ("fifo 0640", NONE),
        },
        "it would name no file",
    ),
    *told(
        ["command line, attach without a bundle"],
        {
            "status": (0, 1),
            **refusal(
                "[conmon:e]: --attach specified but _OCI_ATTACHPIPE was not Permission denied",
                "[conmon:e]: --attach specified but _OCI_ATTACHPIPE was not",
            ),
        },
        "said before the fork, while the caller listens to the status, and without an error that is none",
    ),
    *told(
        ["command line, max files"],
        refusal(
            "conmon: option parsing failed: Unknown option --log-max-files",
            "conmon: log-max-files must be non-negative, got -1",
        ),
        OLD,
    ),
    *told(
        ["command line, max files out of range"],
        refusal(
            "conmon: option parsing failed: Unknown option --log-max-files",
            "conmon: option parsing failed: Integer value “2147483648” for --log-max-files out of range",
        ),
        OLD,
    ),
    *told(
        ["command line, max files without rotate"],
        {
            "status": (1, 0),
            WORDS: ([[], ["conmon: option parsing failed: Unknown option --log-max-files"]], [[], []]),
            "file ctr.log": (NONE, "file 0640"),
        },
        OLD,
    ),
    *told(
        ["command line, allowlist without rotate"],
        {
            "status": (1, 0),
            WORDS: ([[], ["conmon: option parsing failed: Unknown option --log-allowlist-dir"]], [[], []]),
            "file ctr.log": (NONE, "file 0640"),
        },
        OLD,
    ),
    *told(
        ["command line, max files with rotate"],
        refusal(
            "conmon: option parsing failed: Unknown option --log-rotate",
            "conmon: log-max-files must be at least 1 when log-rotate is enabled, got 0",
        ),
        OLD,
    ),
    *told(
        ["command line, label with a file"],
        {
            **refusal(
                "conmon: option parsing failed: Unknown option --log-label",
                "[conmon:e]: k8s-file doesn't support --log-label",
            ),
            "file ctr.log": (NONE, "file 0640"),
        },
        OLD,
    ),
    *told(
        ["command line, partial message option without a journal"],
        {
            "status": (1, 0),
            **refusal(
                "conmon: option parsing failed: Unknown option --no-container-partial-message",
                "[conmon:w]: --no-container-partial-message has no effect without journald log driver",
            ),
            "file ctr.log": (NONE, "file 0640"),
        },
        OLD,
    ),
    *told(
        ["command line, log in no directory"],
        refusal(
            "[conmon:e]: Failed to open log file No such file or directory",
            "[conmon:e]: Failed to open log file /not/a/path: No such file or directory; "
            "--log-path must name a file that can be written, in a directory that exists",
        ),
        "says which, and what helps",
    ),
    *told(
        ["command line, log is a directory"],
        refusal(
            "[conmon:e]: Failed to open log file Is a directory",
            "[conmon:e]: Failed to open log file /tmp: Is a directory; "
            "--log-path must name a file that can be written, in a directory that exists",
        ),
        "says which, and what helps",
    ),
    *told(
        ["a name beyond ascii, C"],
        {
            "status": (1, 0),
            WORDS: ([[], ["conmon: option parsing failed: Invalid byte sequence in conversion input"]], [[], []]),
            "file ctr.log": (NONE, "file 0640"),
        },
        "only a tag has to fit the locale",
        31,
    ),
    *told(
        ["log path ':journald:'"],
        {"file journald": ("file 0640 ", NONE), "file journald:": (NONE, "file 0640 ")},
        "colons in paths are kept",
        32,
    ),
    *told(
        ["log path 'k8s-file:/TOP/a:b'"],
        {"file a": ("file 0640 ", NONE), "file a:b": (NONE, "file 0640 ")},
        "colons in paths are kept",
        32,
    ),
    *told(
        ["log path 'k8s-file:/TOP/a:'"],
        {"file a": ("file 0640 ", NONE), "file a:": (NONE, "file 0640 ")},
        "colons in paths are kept",
        32,
    ),
    *told(
        ["log path 'passthrough'", "log path 'passthrough:'"],
        {WORDS: ([[], []], [[], ["conward: cannot execute /tmp: Permission denied"]])},
        SAYS_WHY,
    ),
    # What an engine may do wrong
    *told(
        each("the end in place of the first message", *FAMILIES),
        {
            "started process": (
                [0, ""],
                [1, "[conmon:e]: start-pipe closed before the start was allowed: the engine is gone\n"],
            ),
            "sync pipe": ("a pid", ""),
        },
        "nothing is started for an engine that is gone",
        24,
    ),
    *told(
        ["an engine that dies before the second message"],
        {"status": (7, 1), "the process ran": (True, False)},
        "nothing is started for an engine that is gone",
        24,
    ),
    *told(
        each("an engine that goes away", *FAMILIES),
        {
            "files when the exit command runs": (FILES, sorted([*FILES, "persist/exit", f"exits/{CID}"])),
            "status": (1, 4),
            "order of files": (CREATED, [*CREATED, *RENAMED]),
            "attach socket is removed": (NONE, "before"),
            "file exits/c0ffee0123456789": (NONE, "file 0644 4"),
            "file persist/exit": (NONE, "file 0644 4"),
        },
        "the container that runs is watched to its end",
    ),
    *told(
        ["a fork that fails"],
        {
            "words": (
                "[conmon:e]: Failed to fork the create command Resource temporarily unavailable\n",
                "[conmon:e]: Failed to fork the monitor: Resource temporarily unavailable\n",
            )
        },
        "it is the monitor that cannot be forked",
    ),
    *told(
        ["a sync pipe that cannot be written"],
        {"status": (1, 4), "exit file": (None, "4")},
        "an engine that cannot be told is one that is gone, and the container is watched to its end",
    ),
    *told(
        each("an exec whose engine has its pid", "podman", "stream"),
        {"status": (1, 7), "attach socket is removed": (NONE, "before")},
        OLD,
    ),
    *told(["an exec sync whose engine has gone"], {"status": (1, 7)}, OLD),
    *told(
        ["a start pipe that cannot be read"],
        {
            "words": (
                "[conmon:e]: start-pipe read failed Is a directory\n",
                "[conmon:e]: start-pipe read failed: Is a directory\n",
            )
        },
        "in the form of all messages",
    ),
    *[
        Difference(
            f"a pipe that is no number, {name}",
            "words",
            f"{CANNOT_PARSE}_OCI_{name}PIPE Success\n",
            f'{CANNOT_PARSE}_OCI_{name}PIPE: "3x" is not a descriptor number\n',
            SAYS_WHY,
        )
        for name in PIPES
    ],
    *[
        Difference(
            f"a pipe that is not open, {name}",
            "words",
            f"{CANNOT_MAKE}_OCI_{name}PIPE CLOEXEC Bad file descriptor\n",
            f"{CANNOT_MAKE}_OCI_{name}PIPE CLOEXEC: descriptor 77: Bad file descriptor\n",
            SAYS_WHY,
        )
        for name in PIPES
    ],
    *told(
        ["no attach pipe"],
        {
            "words": (
                "[conmon:e]: --attach specified but _OCI_ATTACHPIPE was not Success\n",
                "[conmon:e]: --attach specified but _OCI_ATTACHPIPE was not\n",
            )
        },
        "without an error that is none",
    ),
    *told(
        ["an unwritable conmon pidfile"],
        {
            "words": (
                ANY,
                "[conmon:e]: Failed to write conmon pidfile: TOP/missing/pidfile: No such file or directory\n",
            )
        },
        "says it once",
    ),
    *told(
        ["socket activation of nobody, text"],
        {
            "sync pipe": (
                '{"data": -1, "message": "[conmon:e]: Invalid LISTEN_PID abc Success\\n"}\n',
                '{"data": -1, "message": "Invalid LISTEN_PID abc"}\n',
            )
        },
        "without an error that is none",
    ),
    *told(
        ["socket activation of nobody, zero"],
        {
            "sync pipe": (
                '{"data": -1, "message": "[conmon:e]: Invalid LISTEN_PID 0 Success\\n"}\n',
                '{"data": -1, "message": "Invalid LISTEN_PID 0"}\n',
            )
        },
        "without an error that is none",
    ),
    *told(
        ["socket activation of nobody, trailing"],
        {"sync pipe": ("a pid", '{"data": -1, "message": "Invalid LISTEN_PID 5x"}\n'), "status": (0, 1)},
        "this is no number",
    ),
    # What a runtime may do wrong
    *told(
        each("a fast container", "a pid", "a pid and a newline"),
        {"log ctr.log, stdout": ("fast\n", "")},
        "what is written while a container is being created is its runtime's, and the engine's to show",
        38,
    ),
    *told(
        each("a runtime that says something", *FAMILIES),
        {
            "log ctr.log, stdout": ("what the runtime says\nhello\n", "hello\n"),
            "log ctr.log, stderr": ("a warning\n", ""),
        },
        "what is written while a container is being created is its runtime's, and the engine's to show",
        38,
    ),
    *told(
        ["signals for the runtime, SIGTERM"],
        on_sync_pipe("", f'{{"data": -1, "message": "{FAILED} 143 and said nothing"}}'),
        SAYS_WHY,
    ),
    *told(
        ["signals for the runtime, SIGINT"],
        on_sync_pipe("", f'{{"data": -1, "message": "{FAILED} 130 and said nothing"}}'),
        SAYS_WHY,
    ),
    *told(
        ["signals for the runtime, SIGQUIT"],
        on_sync_pipe("", f'{{"data": -1, "message": "{FAILED} 131 and said nothing"}}'),
        SAYS_WHY,
    ),
    *told(
        ["a runtime that fails silently, podman"],
        on_sync_pipe("", f'{{"data": -1, "message": "{FAILED} 3 and said nothing"}}'),
        SAYS_WHY,
    ),
    *told(
        ["a runtime that fails silently, crio"],
        on_sync_pipe("", f'{{"pid": -1, "message": "{FAILED} 3 and said nothing"}}'),
        SAYS_WHY,
    ),
    *told(
        ["passthrough of a runtime that fails"],
        on_sync_pipe(
            "",
            f'{{"data": -1, "message": "{FAILED} 3 and wrote to its caller\'s standard error, if it said why"}}',
        ),
        SAYS_WHY,
    ),
    *told(
        ["a runtime that cannot be executed"],
        {"sync pipe": ("", '{"data": -1, "message": "conward: cannot execute \\/: Permission denied\\n"}\n')},
        SAYS_WHY,
    ),
    *told(
        ["no pid file, silent"],
        on_sync_pipe(
            "",
            '{"data": -1, "message": "The runtime RUNTIME succeeded, but its pid file TOP\\/bundle\\/pidfile is of no '
            'use: No such file or directory"}',
        ),
        SAYS_WHY,
    ),
    *told(["no pid file, with words"], on_sync_pipe("", '{"data": -1, "message": "why\\n"}'), SAYS_WHY),
    *told(
        each("a pid file without a pid", "empty", "zero", "text"),
        {**on_sync_pipe('{"data": 0}', '{"data": -1, "message": "why\\n"}'), **NO_CONTAINER},
        "a runtime that leaves no pid has failed, and the engine gets its words",
        10,
    ),
    *told(
        ["a pid file without a pid, negative"],
        {**on_sync_pipe('{"data": -7}', '{"data": -1, "message": "why\\n"}'), **NO_CONTAINER},
        "a runtime that leaves no pid has failed, and the engine gets its words",
        10,
    ),
    *told(
        ["a runtime that fails, podman, special characters"],
        on_sync_pipe(f'{{"data": -1, "message": "{SPECIAL[0]}"}}', f'{{"data": -1, "message": "{SPECIAL[1]}"}}'),
        VALID,
    ),
    *told(
        ["a runtime that fails, crio, special characters"],
        on_sync_pipe(f'{{"pid": -1, "message": "{SPECIAL[0]}"}}', f'{{"pid": -1, "message": "{SPECIAL[1]}"}}'),
        VALID,
    ),
    *[
        Difference(f"a failing runtime that says much, {which}", "sync pipe", [conmon, ""], [conward, ""], FITS, 11)
        for which, conmon, conward in (
            ("podman, 8000", "8028 characters, 7ad1a90d8ca326ed", "4096 characters, 98e7c7a2866278dd"),
            ("podman, 9000", "8219 characters, f8264282dc37ba5d", "4096 characters, 73c38c9da152a8db"),
            ("crio, 8000", "8027 characters, e0413d068e5bfd6c", "4096 characters, 0e5b592e075fe2b7"),
            ("crio, 9000", "8218 characters, c4d4beb63c3c72ca", "4096 characters, 1206eb7e2f0059d7"),
        )
    ],
    *told(
        each("a runtime without a terminal", "podman"),
        on_sync_pipe("", '{"data": -1, "message": "no terminal today\\n"}'),
        SAYS_WHY,
        10,
    ),
    *told(
        each("a runtime without a terminal", "crio"),
        on_sync_pipe("", '{"pid": -1, "message": "no terminal today\\n"}'),
        SAYS_WHY,
        10,
    ),
    *told(
        each("a runtime that cannot exec", "plain", "special", "long", "silent"),
        {"client 1, end": ("reset", "closed")},
        "clients are served while the runtime runs",
        12,
    ),
    *told(
        ["a runtime that cannot exec, special"],
        on_sync_pipe(
            '{"data": -1, "message": "a \\"b\\" \\\\ \\n\\u0001\\xff"}',
            '{"data": -1, "message": "a \\"b\\" \\\\ \\n\\u0001\N{REPLACEMENT CHARACTER}"}',
        ),
        VALID,
    ),
    *told(
        ["a runtime that cannot exec, long"],
        {"sync pipe": (["5028 characters, ed7af820c63f40a6", ""], ["4095 characters, d2e094b82a43169b", ""])},
        FITS,
        11,
    ),
    *told(
        ["a runtime that cannot exec, silent"],
        on_sync_pipe("", f'{{"data": -1, "message": "{FAILED} 1 and said nothing"}}'),
        SAYS_WHY,
    ),
    *told(
        ["an exec whose runtime fails late"],
        {
            "files when the exit command runs": (EXEC_FILES, sorted([*EXEC_FILES, *EXEC_RESULTS])),
            "sync pipe": ([""], ['{"data": <container>}\n', '{"data": 7}\n', ""]),
            "status": (1, 7),
            "order of files": (EXEC_CREATED, [*EXEC_CREATED, *(f"rename to {name}" for name in EXEC_RESULTS)]),
            "attach socket is removed": (NONE, "before"),
            f"file bundle/{SESSION}/exit/c0ffee0123456789": (NONE, "file 0644 7"),
            "file persist/c0ffee0123456789/exit": (NONE, "file 0644 7"),
        },
        OLD,
    ),
    *told(["a container of another family"], {"watched while it lives": (False, True)}, OLD, 7),
    # The end
    *told(["a failing exit command, status"], {"status": (3, 5)}, OLD),
    *told(["a failing exit command, signal"], {"status": (3, 137)}, OLD),
    *told(each("an exit command that is not there", "missing", "not in PATH"), {"status": (3, 127)}, OLD),
    *told(
        ["an exec whose bundle is removed"],
        {
            "sync pipe": (['{"data": <container>}\n', ""], ['{"data": <container>}\n', '{"data": 7}\n', ""]),
            "status": (1, 7),
            "attach socket is removed": (NONE, "before"),
        },
        ONE_FILE,
        5,
    ),
    *told(
        ["a result that cannot be written, exit"],
        {"status": (1, 3), "attach socket is removed": (NONE, "before")},
        ONE_FILE,
        5,
    ),
    *told(
        ["a result that cannot be written, persist"],
        {
            "files when the exit command runs": (FILES, sorted([*FILES, f"exits/{CID}"])),
            "status": (1, 3),
            "order of files": (CREATED, [*CREATED, *RENAMED[1:]]),
            "attach socket is removed": (NONE, "before"),
            "file exits/c0ffee0123456789": (NONE, "file 0644 3"),
        },
        ONE_FILE,
        5,
    ),
    # The log
    *told(["a log with a global limit, 10"], {"log ctr.log, stdout": ("line 1000\n", "")}, AT_MOST),
    *told(["a log with a global limit, 560"], {"log ctr.log, stdout": (lines(1000, 1011), lines(1000, 1010))}, AT_MOST),
    *told(
        ["a log that is there already, limited"],
        {"log ctr.log, stdout": (lines(1045, 1050), lines(1044, 1050))},
        OLD,
    ),
    *told(
        ["a log that is there already, limited"],
        {"file logs/ctr.log": ("file 0640", "file 0604")},
        "who could read the log before it was replaced can go on reading it",
    ),
    *told(
        ["a log that is there already, limited in total"],
        {"log ctr.log, stdout": ("old\n" + lines(1000, 1010), "old\n" + lines(1000, 1008))},
        OLD,
    ),
    *told(
        ["a rotated log, 3"],
        {**ROTATES, "files": (NONE, ["ctr.log", "ctr.log.1", "ctr.log.2", "ctr.log.3"])},
        OLD,
        14,
    ),
    *told(["a rotated log, 1"], {**ROTATES, "files": (NONE, ["ctr.log", "ctr.log.1"])}, OLD, 14),
    *told(
        ["a new log that cannot be made"],
        {"status": (1, 7), "exit file": (NONE, "7"), "the moved log": ("one\n", "one\ntwo\n")},
        "a log file that cannot be replaced stays in use; the container goes on, and its end is reported",
        2,
    ),
    *told(
        ["a label for the journal"],
        {
            "started process, status": (1, 0),
            "started process, words": ("conmon: option parsing failed: Unknown option --log-label\n", ""),
            "status": (NONE, 7),
            "journal, stdout": (NONE, "one\n"),
            "journal, stderr": (NONE, ""),
            "journal, fields": (
                NONE,
                [
                    "A_LABEL=its value",
                    f"CONTAINER_ID={CID[:12]}",
                    f"CONTAINER_ID_FULL={CID}",
                    "CONTAINER_NAME=quiet_name",
                    "PRIORITY=6",
                    "SYSLOG_IDENTIFIER=quiet_name",
                ],
            ),
            "journal, sender": (NONE, True),
        },
        OLD,
    ),
    # Notifications, input, terminals
    *told(
        ["notifications"],
        {"notifications": (["WATCHDOG=1", "READY=1"], ["STOPPING=1\nSTATUS=up", "WATCHDOG=1\nERRNO=2", "READY=1"])},
        OLD,
    ),
    *told(
        ["a client that only watches, podman"],
        {"container's input": ("closed", "open")},
        "the end of a client that has sent nothing is not the end of the input",
        13,
    ),
    *told(
        ["size of a terminal that is not there yet, two"],
        {
            "size": ([1, 2], [24, 80]),
            "client 1, stdout": ("1 2\r\n", "24 80\r\n"),
            "log ctr.log, stdout": ("1 2\r\n", "24 80\r\n"),
        },
        "each line counts",
        21,
    ),
    *told(["size of a terminal, negative"], {"size": ([-1, 5], [0, 0])}, OLD),
    *told(["size of a terminal, too large"], {"size": ([1001, 5], [0, 0])}, OLD),
    *told(["size of a terminal, much too large"], {"size": ([-1, -31072], [0, 0])}, OLD),
    *told(["size of a terminal, two lines"], {"size": ([2, 3], [4, 5])}, "each line counts", 21),
    *told(["size of a terminal, a bad line and a good one"], {"size": ([0, 0], [4, 5])}, "each line counts", 21),
]

NOTHING_LEFT = "what was made for the container goes with it, also when it never ran"

RULES = [
    Rule("a container, podman", "runtime, descriptor", replace("pipe:, 0600", "pipe:, 0777"), OLD),
    Rule(
        "a terminal, podman",
        "runtime, arguments",
        replace("/conmon-term.*", "/conward-*/console"),
        "in a directory of its own nobody else can connect",
    ),
    Rule("a container, crio", "file sockets/", gone, OLD),
    Rule("an exec with a terminal", "runtime, arguments", without("--tty"), OLD),
    Rule("a runtime that fails, podman, plain", "file bundle/attach", gone, NOTHING_LEFT),
    Rule(
        "a runtime that fails, podman, plain",
        "attach socket when the exit command runs",
        replace("there", "gone"),
        NOTHING_LEFT,
    ),
    Rule("a runtime that cannot exec, plain", f"file bundle/{SESSION}/attach", gone, NOTHING_LEFT),
    Rule("a level, warn", "file ", replace("file 0600", "file 0640"), OLD),
    Rule("command line, negative delay", WORDS, replace("[conmon:e] ", "[conmon:e]: "), OLD),
    Rule("command line, unknown option", WORDS, parse_error_on_standard_error, OLD),
]

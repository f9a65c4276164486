"""The command line: its grammar, every option, and every refusal with its words, its order and its exit status.

A valid command line of an engine starts a monitor in the background. Where only the validation is of interest, the
tests therefore end it in one of two ways: with --version, which is honoured if and only if everything can be parsed, or
with a bundle that is refused after everything else has been checked.
"""

import os
import re
import socket
import stat
import subprocess

import pytest

import engine
from waiting import LIMIT, read_to_end

ID = "0123456789abcdef"
TRUE = "/bin/true"
LAST = ["-b", "/nonexistent/bundle"]
LAST_REFUSAL = "[conmon:e]: Bundle path /nonexistent/bundle is not usable: "
VERSION = re.compile(r"\Aconmon version 2\.2\.1\ncommit: conward \d+\.\d+\.\d+ \([^()\s]+\)\n\Z")


class Answer:
    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout.decode("utf-8", "surrogateescape")
        self.err = process.stderr.decode("utf-8", "surrogateescape")

    def refused(self, start, status=1):
        """Exactly one line, which begins with `start`, and nothing else."""
        assert self.err.startswith(start), f"{self.err!r} does not begin with {start!r}"
        assert self.err.count("\n") == 1 and self.err.endswith("\n"), f"not one line: {self.err!r}"
        assert self.out == ""
        assert self.status == status

    def said(self, line, status=1):
        self.refused(line + "\n", status)


def conward(*words, locale="C.UTF-8", environment=(), **options):
    env = {name: value for name, value in os.environ.items() if name != "LANG" and not name.startswith("LC_")}
    env.update({"LC_ALL": locale, **dict(environment)})
    return answer_of([engine.conward(), *words], env=env, **options)


def answer_of(command, **options):
    return Answer(subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, **options))


def create(*words, **options):
    """What every engine gives, then `words`."""
    return conward("-c", ID, "-u", ID, "-r", TRUE, "-l", "none", *words, **options)


def parses(*words, **options):
    answer = conward(*words, "--version", **options)
    assert answer.err == ""
    assert VERSION.match(answer.out), answer.out
    assert answer.status == 0


def valid(*words, **options):
    create(*words, *LAST, **options).refused(LAST_REFUSAL)


# The grammar


@pytest.mark.parametrize("words", [[], ["run"], ["-c", ID, "stray", "words"]], ids=["engine", "run", "other-words"])
def test_version(words):
    parses(*words)


def test_version_comes_before_validation():
    parses("--log-max-files", "-1", "--log-line-max", "0", "--log-level", "loud", "-e", "--restore", "x", "-t")


def test_version_needs_a_line_that_can_be_parsed():
    conward("--version", "--nope").said("conmon: option parsing failed: Unknown option --nope")


@pytest.mark.parametrize("option", ["-h", "-?", "--help", "--help-all", "--help-conmon"])
def test_help(option):
    answer = conward(option)
    assert answer.err == ""
    assert answer.status == 0
    assert answer.out.startswith("Usage:\n")


def test_help_has_what_callers_look_for():
    text = conward("--help").out
    for feature in ("--exec", "journald", "--log-global-size-max"):
        assert feature in text
    assert "conward run" in text, "people must find the other command"


def test_help_hides_what_is_only_accepted():
    text = conward("--help").out
    for option in ("--restore-arg", "  --pidfile", "--seccomp-notify-socket", "--help-conmon"):
        assert option not in text


def test_help_does_not_read_on():
    answer = conward("--help", "--nope")
    assert (answer.status, answer.err) == (0, "")


@pytest.mark.parametrize("environment", [{}, {"POSIXLY_CORRECT": "1"}], ids=["plain", "posixly-correct"])
def test_stray_words_are_ignored(environment):
    parses("1", "--api-version", "1", "-", "-t", "x", environment=environment)


@pytest.mark.parametrize(
    "words",
    [
        ["--runtime-arg", "--log-format=json"],
        ["--exit-command-arg", "--root"],
        ["--runtime-opt", "--nope"],
        ["--cid", "--"],
        ["-c", "-x"],
        ["-l", "--version"],
        ["--timeout=5"],
        ["--timeout", "-5"],
        ["--runtime-arg=/x"],
        ["--runtime-arg=--a=b"],
        ["--name="],
        ["--log-size-max=-1"],
    ],
    ids=" ".join,
)
def test_values(words):
    parses(*words)


def test_short_option_takes_the_next_word_only():
    conward("-cID", "x").said("conmon: option parsing failed: Unknown option -cID")


@pytest.mark.parametrize("words", [["-tis"], ["-tic", ID], ["-ets"]], ids=" ".join)
def test_bundles(words):
    parses(*words)


def test_bundle_with_an_unknown_letter():
    conward("-tix").said("conmon: option parsing failed: Unknown option -tix")


def test_no_abbreviations():
    conward("--log", "x").said("conmon: option parsing failed: Unknown option --log")
    conward("--runtim", "x").said("conmon: option parsing failed: Unknown option --runtim")


def test_two_dashes_end_the_options():
    answer = conward("--version", "--", "--nope", "--log-level")
    assert (answer.status, answer.err) == (0, "")


@pytest.mark.parametrize("value", ["anything", "false", "0", ""])
def test_flag_with_a_value_counts_as_set(value):
    answer = create(f"--log-rotate={value}", "--log-max-files", "0")
    answer.said("conmon: log-max-files must be at least 1 when log-rotate is enabled, got 0")


def test_last_scalar_wins():
    valid("--log-level", "loud", "--log-level", "info")
    create("--log-level", "info", "--log-level", "loud").said("[conmon:e]: No such log level loud")
    valid("--log-max-files", "-1", "--log-max-files=1")


def test_lists_accumulate():
    create("-l", "foo:", "-l", "off").said("[conmon:e]: No such log driver foo")


@pytest.mark.parametrize("value", ["0", "5", "-5", "0x10", "010", "2147483647", "-2147483648"])
def test_integers(value):
    parses("--timeout", value)


@pytest.mark.parametrize(
    "option", ["--timeout", "--exit-delay", "--log-max-files", "--log-size-max", "--log-global-size-max"]
)
@pytest.mark.parametrize("value", ["abc", "", "12k", "1.5", "08"])
def test_integers_that_are_none(option, value):
    conward(option, value).said(f"conmon: option parsing failed: Cannot parse integer value “{value}” for {option}")


@pytest.mark.parametrize(
    "option, value",
    [
        ("--timeout", "2147483648"),
        ("--exit-delay", "-2147483649"),
        ("--log-max-files", "2147483648"),
        ("--log-size-max", "9223372036854775808"),
        ("--log-global-size-max", "99999999999999999999"),
    ],
)
def test_integers_out_of_range(option, value):
    conward(option, value).said(f"conmon: option parsing failed: Integer value “{value}” for {option} out of range")


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_bytes_of_any_charset(locale):
    valid("-c", b"\xc3\xa4\xff" + ID.encode(), "-n", b"\xff", "--runtime-arg", b"\xe4", "\xe9", locale=locale)


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_name_beyond_the_locale_is_no_parse_error(locale):
    answer = conward("-n", b"\xff", "--version", locale=locale)
    assert answer.out.startswith("conmon version ")
    assert answer.status == 0


def test_tag_must_fit_the_locale():
    refusal = "conmon: option parsing failed: Invalid byte sequence in conversion input"
    conward("--log-tag", "äöüß", locale="C").said(refusal)
    conward("--log-tag", b"\xff", locale="C.UTF-8").said(refusal)
    valid("--log-tag", "äöüß", locale="C.UTF-8")
    valid("--log-tag", "plain", locale="C")


# Every option

FLAGS = """--api-version --exec --exec-attach --terminal --stdin --leave-stdin-open --systemd-cgroup --no-pivot
    --no-new-keyring --log-rotate --no-container-partial-message --no-sync-log --syslog --full-attach
    --replace-listen-pid --sync -e -t -i -s""".split()
VALUES = """--bundle --cid --cuuid --name --runtime --runtime-arg --runtime-opt --restore-arg --container-pidfile
    --pidfile --conmon-pidfile --exec-process-spec --restore --log-path --log-size-max --log-global-size-max
    --log-max-files --log-allowlist-dir --log-tag --log-label --log-level --log-line-max --log-partial-flush
    --exit-dir --persist-dir --exit-command --exit-command-arg --exit-delay --timeout --socket-dir-path
    --sdnotify-socket --seccomp-notify-socket --seccomp-notify-plugins --attach-spool-max --attach-stall-timeout
    --attach-linger -b -c -u -n -r -p -P -l -0 -T""".split()


@pytest.mark.parametrize("flag", FLAGS)
def test_flags(flag):
    parses(flag)


@pytest.mark.parametrize("option", VALUES)
def test_options_with_a_value(option):
    parses(option, "1", option, "2")
    conward(option).said(f"conmon: option parsing failed: Missing argument for {option}")


@pytest.mark.parametrize("option", [option for option in VALUES if option.startswith("--")])
def test_options_with_a_value_after_an_equals_sign(option):
    parses(f"{option}=1")


@pytest.mark.parametrize(
    "words",
    [
        ["--leave-stdin-open"],
        ["--seccomp-notify-socket", "/x", "--seccomp-notify-plugins", "y"],
        ["--log-max-files", "0"],
        ["--log-max-files", "7"],
        ["--log-allowlist-dir", "/x", "--log-allowlist-dir", "/y"],
        ["--log-size-max", "0"],
        ["--log-size-max", "-1", "--log-global-size-max", "-1"],
        ["--exit-delay", "300"],
        ["--timeout=-5"],
        ["--exit-dir", "/nonexistent", "--persist-dir", "/nonexistent"],
        ["--exec-process-spec", "/x"],
        ["--log-tag", "x"],
        ["--log-label", "not a label"],
        ["--pidfile", "/x", "--restore-arg", "x"],
        ["--socket-dir-path", "/x", "--full-attach", "--sync"],
        ["--sdnotify-socket=/x", "--replace-listen-pid"],
        ["--sdnotify-socket="],
        ["-l", "passthrough:"],
    ],
    ids=" ".join,
)
def test_accepted(words):
    valid(*words)


@pytest.mark.parametrize(
    "level", ["error", "fatal", "panic", "warn", "warning", "info", "debug", "trace", "Warning", "DEBUG"]
)
def test_levels(level):
    valid("--log-level", level)


# What is refused, and in which order

RUN_IN_A_DIRECTORY_THAT_IS_GONE = 'mkdir "$1" && cd "$1" && rmdir "$1" && shift && exec "$@"'

#: In the order of validation: the beginning of the line that is said, and the words that deserve it, by what they are
#: about. "=" marks a line that is complete.
FAULTS = [
    ("=conmon: option parsing failed: Unknown option --nope", {"grammar": ["--nope"]}),
    ("=conmon: log-max-files must be non-negative, got -1", {"files": ["--log-max-files", "-1"]}),
    (
        "=conmon: log-max-files must be at least 1 when log-rotate is enabled, got 0",
        {"files": ["--log-max-files", "0", "--log-rotate"]},
    ),
    (
        "conmon: log-max-files must be at most 1000 when log-rotate is enabled, got 1001: ",
        {"files": ["--log-max-files", "1001", "--log-rotate"]},
    ),
    ("=conmon: Container ID not provided. Use --cid", {"cid": [], "files": ["--log-rotate", "--log-max-files", "1000"]}),
    ("=[conmon:e]: No such log level loud", {"level": ["--log-level", "loud"]}),
    ("=[conmon:e]: Cannot use 'exec' and 'restore' at the same time", {"mode": ["-e", "--restore", "x"]}),
    ("=[conmon:e]: Attach can only be specified with exec", {"mode": ["--exec-attach", "--api-version"]}),
    (
        "=[conmon:e]: Attach can only be specified for a non-legacy exec session",
        {"mode": ["-e", "--exec-attach"]},
    ),
    ("=[conmon:e]: Container UUID not provided. Use --cuuid", {"cuuid": []}),
    ("=[conmon:e]: Runtime path not provided. Use --runtime", {"runtime": []}),
    (
        "=[conmon:e]: Runtime path /nonexistent/r is not valid No such file or directory",
        {"runtime": ["-r", "/nonexistent/r"]},
    ),
    (
        "=[conmon:e]: Exec process spec path not provided. Use --exec-process-spec",
        {"mode": ["-e", "--api-version"]},
    ),
    ("[conmon:e]: Failed to get working directory", {"directory": ["gone"]}),
    (
        "=[conmon:e]: Delay before invoking exit command must be greater than or equal to 0",
        {"delay": ["--exit-delay", "-1"], "mode": []},
    ),
    ("[conmon:e]: --log-line-max 0 is refused: ", {"line": ["--log-line-max", "0"]}),
    ("[conmon:e]: --log-partial-flush 'soon' is refused: ", {"flush": ["--log-partial-flush", "soon"]}),
    ("[conmon:e]: --attach-spool-max unlimited is refused: ", {"spool": ["--attach-spool-max", "unlimited"]}),
    ("[conmon:e]: --attach-stall-timeout '0' is refused: ", {"stall": ["--attach-stall-timeout", "0"]}),
    ("[conmon:e]: --attach-linger 'long' is refused: ", {"linger": ["--attach-linger", "long"]}),
    ("=[conmon:e]: Log driver not provided. Use --log-path", {"log": []}),
    ("=[conmon:e]: log-path must not be empty", {"log": ["-l", "", "-l", "foo:"]}),
    ("=[conmon:e]: k8s-file requires a filename", {"log": ["-l", "k8s-file:", "-l", ""]}),
    ("=[conmon:e]: No such log driver foo", {"log": ["-l", "foo:x", "-l", "k8s-file"]}),
    (
        "[conmon:e]: The log log is in /",
        {"log": ["-l", "log"], "allowed": ["--log-allowlist-dir", "/nonexistent", "--log-allowlist-dir", "/bin"]},
    ),
    ("[conmon:e]: Failed to open log file", {"log": ["-l", "/nonexistent/log"], "allowed": []}),
    ("=[conmon:e]: k8s-file doesn't support --log-tag", {"log": ["-l", "log"], "tag": ["--log-tag", "x"]}),
    (
        "=[conmon:e]: k8s-file doesn't support --log-label",
        {"log": ["-l", "log"], "tag": [], "label": ["--log-label", "A=B"]},
    ),
    (
        "=[conmon:e]: Container ID must be longer than 12 characters",
        {"log": ["-l", "log", "-l", "journald"], "cid": ["-c", "twelve-chars"]},
    ),
    (
        "=[conmon:e]: Container labels must be in format LABEL=VALUE (nolabel)",
        {"log": ["-l", "journald"], "cid": ["-c", ID], "label": ["--log-label", "nolabel"]},
    ),
    (
        "=[conmon:e]: Container label names must contain only uppercase letters, numbers and underscore (in 'a%=b')",
        {"log": ["-l", "journald"], "cid": ["-c", ID], "label": ["--log-label", "a%=b"]},
    ),
    (
        "[conmon:e]: Bundle path /nonexistent/bundle is not usable: No such file or directory; ",
        {"bundle": ["-b", "/nonexistent/bundle"], "log": ["-l", "none"], "label": []},
    ),
]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault.lstrip("=") for fault, _ in FAULTS])
def test_order(number, directory):
    """Everything that is wrong from here on is wrong; what is said is the first of it."""
    words = {"cid": ["-c", ID], "cuuid": ["-u", ID], "runtime": ["-r", TRUE], "log": ["-l", "none"]}
    later = {}
    for _, changes in reversed(FAULTS[number:]):
        later.update(changes)
    words.update(later)
    start = []
    if words.pop("directory", None):
        start = ["sh", "-c", RUN_IN_A_DIRECTORY_THAT_IS_GONE, "sh", str(directory / "gone")]
    command = [*start, engine.conward(), *(word for part in words.values() for word in part)]
    answer = answer_of(command, cwd=directory)
    line, _ = FAULTS[number]
    if line.startswith("="):
        answer.said(line[1:])
    else:
        answer.refused(line)


def test_nothing_given():
    conward().said("conmon: Container ID not provided. Use --cid")


@pytest.mark.parametrize(
    "cid, why",
    [(".", "'.'"), ("..", "'..'"), ("/", "'/'"), ("a/b", "'/'"), ("../x", "'/'"), ("x" * 201, "200 bytes")],
    ids=["dot", "dot-dot", "slash", "a-slash-b", "up", "201"],
)
def test_ids_become_file_names(cid, why):
    for option, start in (
        ("--cid", "conmon: Container ID given with --cid is not usable: "),
        ("--cuuid", "[conmon:e]: Container UUID given with --cuuid is not usable: "),
    ):
        answer = create(option, cid)
        answer.refused(start)
        assert why in answer.err
    answer = conward("run", "-l", "none", "--cid", cid, TRUE)
    answer.refused("conward: The ID given with --cid is not usable: ", 2)
    assert why in answer.err


def test_empty_ids_are_not_provided():
    create("--cid", "").said("conmon: Container ID not provided. Use --cid")
    create("--cuuid=").said("[conmon:e]: Container UUID not provided. Use --cuuid")
    conward("run", "-l", "none", "--cid", "", TRUE).refused("conward: The ID given with --cid is not usable: ", 2)


@pytest.mark.parametrize("cid", ["x" * 200, "...", ".x", "a b", "-", "a:b"])
def test_unusual_ids(cid):
    valid("-c", cid, "-u", cid)


def test_uuid_of_a_legacy_exec():
    """Only exec without --api-version does without one."""
    words = ["-c", ID, "-r", TRUE, "-l", "none", "-e", "--exec-process-spec", "x"]
    conward(*words, *LAST).refused(LAST_REFUSAL)
    conward(*words, "--api-version").said("[conmon:e]: Container UUID not provided. Use --cuuid")
    conward(*words, "-u", "a/b").refused("[conmon:e]: Container UUID given with --cuuid is not usable: ")


def test_runtime_must_be_executable(directory):
    runtime = directory / "runtime"
    runtime.touch(0o644)
    create("-r", runtime).said(f"[conmon:e]: Runtime path {runtime} is not valid Permission denied")
    runtime.chmod(0o755)
    valid("-r", runtime)
    create("-r", "").said("[conmon:e]: Runtime path  is not valid No such file or directory")
    valid("-r", "/tmp")


def test_runtime_is_not_looked_up_in_path(directory):
    create("-r", "true", cwd=directory).said("[conmon:e]: Runtime path true is not valid No such file or directory")


@pytest.mark.parametrize("value", ["", ":", "::", "::::"])
def test_empty_log_path(value):
    create("-l", value).said("[conmon:e]: log-path must not be empty")


@pytest.mark.parametrize(
    "value, name",
    [("foo:", "foo"), ("foo:bar", "foo"), (":foo:bar", "foo"), ("json-file:x", "json-file"), ("/a:b", "/a")],
)
def test_unknown_log_driver(value, name):
    create("-l", value).said(f"[conmon:e]: No such log driver {name}")


@pytest.mark.parametrize(
    "label, refusal",
    [
        ("=x", "Container labels must be in format LABEL=VALUE (=x)"),
        ("A=B=C", "Container labels must be in format LABEL=VALUE (A=B=C)"),
        ("", "Container labels must be in format LABEL=VALUE ()"),
        ("lower=x", "Container label names must contain only uppercase letters, numbers and underscore (in 'lower=x')"),
        ("A B=x", "Container label names must contain only uppercase letters, numbers and underscore (in 'A B=x')"),
    ],
)
def test_labels(label, refusal):
    create("-l", "journald", "--log-label", "GOOD_1=", "--log-label", label).said(f"[conmon:e]: {refusal}")


def test_good_labels():
    valid("-l", "journald", "--log-label", "A_1=b c", "--log-label", "_=", "--log-tag", "tag")


def test_id_for_journald():
    create("-c", "twelve-chars", "-l", "journald").said("[conmon:e]: Container ID must be longer than 12 characters")
    valid("-c", "thirteen-char", "-l", "journald")


def test_tag_beside_a_file_is_for_journald(directory):
    valid("-l", directory / "log", "-l", "journald", "--log-tag", "x", "--log-label", "A=B")


def test_partial_message_option_without_journald():
    warning = "[conmon:w]: --no-container-partial-message has no effect without journald log driver\n"
    answer = create("--no-container-partial-message", *LAST)
    assert answer.err.startswith(warning + LAST_REFUSAL)
    create("--no-container-partial-message", "--log-level", "error", *LAST).refused(LAST_REFUSAL)
    valid("--no-container-partial-message", "-l", "journald:")


# The limits of a line


@pytest.mark.parametrize("value", ["0", "-1", "unlimited"])
def test_line_without_a_limit(value):
    for answer, start, status in (
        (create("--log-line-max", value), "[conmon:e]: ", 1),
        (conward("run", "-l", "none", "--log-line-max", value, TRUE), "conward: ", 2),
    ):
        answer.refused(f"{start}--log-line-max {value} is refused: ", status)
        for part in ("buffered without bound", "runs out of memory", "256", "1048576"):
            assert part in answer.err


@pytest.mark.parametrize(
    "value",
    ["", "255", "1048577", "1", "-2", "+512", " 512", "512 ", "0512", "0x200", "1k", "512.0", "99999999999999999999"],
)
def test_line_limit_out_of_range(value):
    refusal = f"--log-line-max '{value}' is refused: use a number of bytes from 256 to 1048576"
    create("--log-line-max", value).said(f"[conmon:e]: {refusal}")
    conward("run", "-l", "none", "--log-line-max", value, TRUE).said(f"conward: {refusal}", 2)


@pytest.mark.parametrize("value", ["256", "16384", "1048576"])
def test_line_limit(value):
    valid("--log-line-max", value)


@pytest.mark.parametrize("value", ["", "-1", "3600001", "0x10", "01", "Never", "1s", "99999999999999999999"])
def test_partial_flush_out_of_range(value):
    create("--log-partial-flush", value).refused(f"[conmon:e]: --log-partial-flush '{value}' is refused: ")
    answer = conward("run", "-l", "none", "--log-partial-flush", value, TRUE)
    answer.refused(f"conward: --log-partial-flush '{value}' is refused: ", 2)
    assert "0 to 3600000" in answer.err and "never" in answer.err


@pytest.mark.parametrize("value", ["0", "1", "3600000", "never"])
def test_partial_flush(value):
    valid("--log-partial-flush", value)


# Attach clients that lag behind

SPOOL_RANGE = "use a number of bytes from 0 (keep nothing) to 68719476736"


@pytest.mark.parametrize("value", ["-1", "unlimited"])
def test_spool_without_a_limit(value):
    answer = create("--attach-spool-max", value)
    answer.refused(f"[conmon:e]: --attach-spool-max {value} is refused: without a limit, ")
    assert "fill the disk" in answer.err and SPOOL_RANGE in answer.err


@pytest.mark.parametrize("value", ["", "68719476737", "-2", "+1", "1 ", "01", "0x10", "64M", "99999999999999999999"])
def test_spool_limit_out_of_range(value):
    refusal = f"[conmon:e]: --attach-spool-max '{value}' is refused: {SPOOL_RANGE}"
    create("--attach-spool-max", value).said(refusal)


@pytest.mark.parametrize("option, least, most", [("stall-timeout", 1, 86400), ("linger", 0, 3600)])
def test_patience_out_of_range(option, least, most):
    for value in ("", str(least - 1), str(most + 1), "never", "01", "1s"):
        refusal = f"--attach-{option} '{value}' is refused: use a number of seconds from {least} to {most}"
        create(f"--attach-{option}", value).said(f"[conmon:e]: {refusal}")


@pytest.mark.parametrize("value", ["0", "1", "68719476736"])
def test_spool_limit(value):
    valid("--attach-spool-max", value)


@pytest.mark.parametrize("option, value", [("stall-timeout", 1), ("stall-timeout", 86400), ("linger", 0), ("linger", 3600)])
def test_patience(option, value):
    valid(f"--attach-{option}", str(value))


@pytest.mark.parametrize("option", ["--attach-spool-max", "--attach-stall-timeout", "--attach-linger"])
def test_nobody_attaches_to_a_run(option):
    conward("run", "-l", "none", option, "1", TRUE).refused(f"conward: Unknown option {option}", 2)


# Files


def test_log_file_is_created(directory):
    valid("-l", directory / "log", umask=0o022)
    assert stat.S_IMODE((directory / "log").stat().st_mode) == 0o640


def test_log_file_is_kept(directory):
    log = directory / "log"
    log.write_bytes(b"kept\n")
    valid("-l", f"k8s-file:{log}")
    assert log.read_bytes() == b"kept\n"


@pytest.mark.parametrize(
    "value, name", [(":journald", "journald"), ("json-file", "json-file"), ("k8s-file:a:b", "a:b"), (":x", "x")]
)
def test_name_of_the_log_file(value, name, directory):
    valid("-l", value, cwd=directory)
    assert os.listdir(directory) == [name]


def test_last_log_file_wins(directory):
    valid("-l", "/nonexistent/log", "-l", directory / "first", "-l", directory / "last", "-l", "none")
    assert os.listdir(directory) == ["last"]


def test_log_file_that_cannot_be_opened(directory):
    def refused(path, why, **options):
        create("-l", path, **options).refused(f"[conmon:e]: Failed to open log file {path}: {why}; ")

    locked = directory / "locked"
    locked.mkdir(0o555)
    refused("/nonexistent/log", "No such file or directory")
    refused(directory, "Is a directory")
    refused(locked / "log", "Permission denied", preexec_fn=engine.obey_file_modes)


def test_log_fifo_without_a_reader(directory):
    os.mkfifo(directory / "log")
    create("-l", directory / "log").refused("[conmon:e]: Failed to open log file")


def test_bundle_that_cannot_be_used(directory):
    def refused(bundle, why):
        answer = create("-b", bundle, preexec_fn=engine.obey_file_modes)
        answer.refused(f"[conmon:e]: Bundle path {bundle} is not usable: {why}; ")

    (directory / "file").touch()
    (directory / "unwritable").mkdir(0o555)
    (directory / "unsearchable").mkdir(0o666)
    refused(directory / "missing", "No such file or directory")
    refused(directory / "file", "Not a directory")
    refused(directory / "unwritable", "Permission denied")
    refused(directory / "unsearchable", "Permission denied")
    refused("", "No such file or directory")


def test_valid_line_is_a_success_whatever_follows(directory):
    """As conmon's own tests have it: the runtime is a directory, so everything fails, but in the background."""
    sync, theirs = os.pipe()
    pidfile = directory / "monitor"
    try:
        answer = create(
            "-r", "/tmp", "-l", directory / "log", "-P", pidfile, "--full-attach",
            cwd=directory, pass_fds=[theirs], environment={"_OCI_SYNCPIPE": str(theirs)},
        )  # fmt: skip
        os.close(theirs)
        assert (answer.status, answer.out, answer.err) == (0, "", "")
        assert (directory / "log").exists()
        monitor = int(pidfile.read_text())
        read_to_end(sync, "the end of the monitor")
        os.waitpid(monitor, 0)
    finally:
        os.close(sync)


# Messages


def test_message_is_one_line():
    create("--log-level", "a\nb\tc\x1b[31m\x7f\r").said("[conmon:e]: No such log level a b c\\x1b[31m\\x7f\\x0d")


HIDDEN = [b"\xc2\x9b", b"\x9b", "\u202e".encode(), "\u2066".encode(), "\u200f".encode(), "\u061c".encode(),
          "\u2028".encode(), "\u2029".encode(), b"\xff", b"\xe2\x80", b"\xed\xa0\x80", b"\xc0\x8a"]


@pytest.mark.parametrize("hidden", HIDDEN, ids=repr)
def test_message_shows_what_is_hidden(hidden):
    """Control characters of eight bits, what turns the direction of writing, other ends of lines, invalid UTF-8: a
    terminal may act on them. Letters of any script stay."""
    word = b"a" + hidden + "\u00e9\u05d0\u4e2d".encode()
    shown = "a" + "".join(f"\\x{byte:02x}" for byte in hidden) + "\u00e9\u05d0\u4e2d"
    create("--log-level", word).said(f"[conmon:e]: No such log level {shown}")


def test_message_about_an_option_is_escaped():
    answer = create("--no\x1b[2J\u202esuch")
    assert "--no\\x1b[2J\\xe2\\x80\\xaesuch" in answer.err and "\x1b" not in answer.err


def test_message_is_bounded():
    answer = create("-r", "/" + "ä" * 5000)
    answer.refused("[conmon:e]: Runtime path /äää")
    assert len(answer.err.encode("utf-8")) <= 2100
    assert answer.err.endswith("ä…\n")


def test_unit_without_a_command(directory):
    """The sentence names the file that the unit takes it from."""
    with_unit = {**os.environ, "NOTIFY_SOCKET": str(directory / "notify")}
    words = [engine.conward(), "run", "--quiet", "--cid", "demo", "--log-path", directory / "log", "--"]
    done = subprocess.run(words, env=with_unit, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "COMMAND= of the file /etc/conward/units/demo" in done.stderr


def run_with(start, *words):
    return answer_of([*start, engine.conward(), *words])


def test_syslog(dev_log):
    receiver, start = dev_log
    words = ["-c", "0123456789abcdefghijklmno", "-u", ID, "-r", TRUE, "-l", "none", "--no-container-partial-message"]
    run_with(start, *words, "--syslog", *LAST)
    ident = re.escape(os.path.basename(os.path.realpath(engine.conward()))[:15])
    head = r"<%d>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d " + ident + r"\[\d+\]: conmon 0123456789abcdefghij <%s>: %s"
    warning = head % (14, "nwarn", "--no-container-partial-message has no effect")
    error = head % (11, "error", "Bundle path /nonexistent/bundle is not usable")
    assert re.match(warning, receiver.recv(65536).decode())
    assert re.match(error, receiver.recv(65536).decode())
    with pytest.raises(BlockingIOError):
        receiver.recv(65536)


def test_syslog_id_with_a_tag(dev_log):
    receiver, start = dev_log
    words = ["-c", "0123456789", "-u", ID, "-r", TRUE, "-l", "none", "--log-tag", "a long tag", "--syslog"]
    run_with(start, *words, *LAST)
    assert ": conmon 0123456789: a long t <error>: " in receiver.recv(65536).decode()


def test_syslog_only_if_asked(dev_log):
    receiver, start = dev_log
    run_with(start, "-c", ID, "-u", ID, "-r", TRUE, "-l", "none", *LAST).refused(LAST_REFUSAL)
    with pytest.raises(BlockingIOError):
        receiver.recv(65536)


def test_full_syslog_does_not_block(dev_log):
    receiver, start = dev_log
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                sender.sendto(b"x", receiver.getsockname())
    run_with(start, "-c", ID, "-u", ID, "-r", TRUE, "-l", "none", "--syslog", *LAST).refused(LAST_REFUSAL)


# conward run


def run(*words, **options):
    return conward("run", *words, **options)


def test_run_help():
    answer = run("--help")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("Usage:\n  conward run [OPTION")
    for word in ("-- COMMAND [ARG...]", "128+N", "127", "126", "125", "./ID.log"):
        assert word in answer.out


@pytest.mark.parametrize(
    "words, refusal",
    [
        ([], "No command to run"),
        (["--"], "No command to run"),
        (["-q"], "No command to run"),
        (["--nope", TRUE], "Unknown option --nope"),
        (["--timeout"], "Missing argument for --timeout"),
        (["--timeout", "abc", TRUE], "Cannot parse integer value “abc” for --timeout"),
        (["--bundle", "/x", TRUE], "Unknown option --bundle"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_run_usage_errors(words, refusal):
    run(*words).said(f"conward: {refusal}; try conward run --help", 2)


@pytest.mark.parametrize(
    "words, refusal",
    [
        (["--log-level", "loud"], "No such log level loud; use error, "),
        (["--exit-delay", "-1"], "Delay before invoking exit command must be greater than or equal to 0"),
        (["-l", ""], "log-path must not be empty"),
        (["-l", "k8s-file"], "k8s-file requires a filename"),
        (["-l", "foo:bar"], "No such log driver foo; use PATH, "),
        (["-l", "/nonexistent/log"], "Failed to open log file /nonexistent/log: No such file or directory; "),
        (["-l", "none", "-l", "passthrough"], "log driver passthrough is not supported by this version of "),
        (["--timeout=-1"], "--timeout -1 is out of range: "),
        (["-P", "x"], "--pidfile is for the monitor of --detach: "),
        (["--log-rotate", "--log-max-files", "0"], "--log-max-files '0' is refused: use a number of files from 1 to "),
        (["--log-rotate", "--log-max-files", "1001"], "--log-max-files '1001' is refused: "),
        (["-l", "log", "--log-allowlist-dir", "/nonexistent"], "The log log is in /"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_run_refuses(words, refusal, directory):
    run("-l", "none", *words, "--", "touch", "started", cwd=directory).refused(f"conward: {refusal}", 2)
    assert os.listdir(directory) == []


def test_detached_where_its_pid_cannot_be_written(directory):
    words = ["-l", "none", "--detach", "--pidfile", "/nonexistent/pid", "--", "touch", "started"]
    refusal = "conward: Failed to write the pid file /nonexistent/pid: No such file or directory; --pidfile must "
    run(*words, cwd=directory).refused(refusal, 125)
    assert os.listdir(directory) == []


def test_run_is_the_first_word_only():
    """Elsewhere it is a stray word."""
    conward("-q", "run").said("conmon: option parsing failed: Unknown option -q")
    parses("--sync", "run")

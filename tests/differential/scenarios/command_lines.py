"""Command lines, valid and not, of which nothing runs: the runtime is a directory."""

import re

from rows import LOG_PATHS, OPTIONS
from scenario import add, scenario

CID = "c0ffee0123456789"
LINE = ["--cid", CID, "--cuuid", CID, "--runtime", "/tmp", "--log-path", "ctr.log"]


@scenario("--version", "help and version", each={"long": ["--version"], "with more": [*LINE, "--version"]})
def version(lab, words):
    lab.command_line(*words)
    output, error = lab.seen.pop("standard output and error")
    output = [re.sub(rb"^commit: \S.*", b"commit: COMMIT", line) for line in output]
    lab.note("standard output and error", [output, error])


@scenario("--version", each={"unknown": ["--version", "--foo"], "incomplete": ["--version", "--timeout"]})
def version_in_a_broken_line(lab, words):
    lab.command_line(*words)


@scenario("--help", "help and version")
def help_text(lab):
    """The words are each program's own; which options of conmon it tells of is compared."""
    texts = []
    for word in ("--help", "-h", "-?", "--help-all"):
        lab.command_line(word, name=f"{word}, ")
        output, error = lab.seen.pop(f"{word}, standard output and error")
        lab.note(f"{word}, standard error", error)
        texts.append(b"\n".join(output).decode())
    lab.note("the same text each time", [text == texts[0] for text in texts])
    told = set(texts[0].replace("=", " ").replace(",", " ").split())
    for option in OPTIONS:
        lab.note(f"tells of {option}", option in told)


@scenario("an error in the command line", each={LINE[at]: at for at in range(0, len(LINE), 2)})
def a_required_option_is_missing(lab, at):
    lab.command_line(*LINE[:at], *LINE[at + 2 :])


PARSED = {
    "nothing": [],
    "unknown option": [*LINE, "--foo"],
    "unknown short option": [*LINE, "-Z"],
    "abbreviation": [*LINE, "--log", "x"],
    "value in the same word": [*LINE, "-cID"],
    "missing argument": [*LINE, "--timeout"],
    "no integer": [*LINE, "--timeout", "abc"],
    "integer with a unit": [*LINE, "--timeout", "5s"],
    "integer out of range": [*LINE, "--timeout", "2147483648"],
    "large integer out of range": [*LINE, "--log-size-max", "9223372036854775808"],
    "no large integer": [*LINE, "--log-size-max", "1k"],
    "empty integer": [*LINE, "--timeout", ""],
    "hexadecimal": [*LINE, "--timeout", "0x10"],
    "octal": [*LINE, "--timeout", "010"],
    "value with dashes": [*LINE, "--runtime-arg", "--foo", "--runtime-opt", "--", "--name", "-x"],
    "value after an equals sign": [*LINE, "--timeout=5", "--name=", "--runtime-arg=/x"],
    "stray words": ["word", *LINE, "1", "word"],
    "two dashes": [*LINE, "--", "--foo"],
    "bundle of flags": [*LINE, "-tis"],
    "bundle with a value": ["-tic", *LINE[1:]],
    "flag with a value": [*LINE, "--terminal=false"],
    "scalar twice": ["--cid", "another", *LINE],
    "empty id": [*LINE, "--cid", ""],
    "empty uuid": [*LINE, "--cuuid", ""],
    "runtime is missing": [*LINE, "--runtime", "/nonexistent"],
    "runtime may not be executed": [*LINE, "--runtime", "/etc/passwd"],
    "runtime is empty": [*LINE, "--runtime", ""],
    "level": [*LINE, "--log-level", "loud"],
    "negative delay": [*LINE, "--exit-delay", "-1"],
    "exec and restore": [*LINE, "--exec", "--restore", "/x"],
    "exec without a process": [*LINE, "--exec"],
    "attach without exec": [*LINE, "--exec-attach"],
    "attach to a legacy exec": [*LINE, "--exec", "--exec-attach"],
    "attach without a bundle": [*LINE, "--exec", "--exec-attach", "--api-version", "--exec-process-spec", "x"],
    "max files": [*LINE, "--log-max-files", "-1"],
    "max files out of range": [*LINE, "--log-max-files", "2147483648"],
    "max files without rotate": [*LINE, "--log-max-files", "3"],
    "allowlist without rotate": [*LINE, "--log-allowlist-dir", "/tmp", "--log-allowlist-dir", "/var"],
    "max files with rotate": [*LINE, "--log-rotate", "--log-max-files", "0"],
    "tag with a file": [*LINE, "--log-tag", "x"],
    "label with a file": [*LINE, "--log-label", "A=b"],
    "partial message option without a journal": [*LINE, "--no-container-partial-message"],
    "short id for the journal": ["--cid", "123456789012", *LINE[2:6], "--log-path", "journald"],
    "log in no directory": [*LINE[:6], "--log-path", "k8s-file:/not/a/path"],
    "log is a directory": [*LINE[:6], "--log-path", "k8s-file:/tmp"],
}
OPTIONS_OF = {
    "label with a file": "--log-label",
    "tag with a file": "--log-tag",
    "level": "--log-level",
    "negative delay": "--exit-delay",
    "partial message option without a journal": "--no-container-partial-message",
    "max files": "--log-max-files",
    "max files without rotate": "--log-max-files",
    "allowlist without rotate": "--log-allowlist-dir",
}
for _name, _words in PARSED.items():
    add(
        f"command line, {_name}",
        ["an error in the command line", *filter(None, [OPTIONS_OF.get(_name)])],
        lambda lab, words=_words: lab.command_line(*words),
    )


@scenario("--log-level", each={level: level for level in "error FATAL panic warn warning Info debug trace".split()})
def a_level(lab, level):
    lab.command_line(*LINE, "--log-level", level)


@scenario("--syslog")
def syslog(lab):
    lab.command_line(*LINE, "--syslog", "--log-level", "debug")


@scenario(
    "--seccomp-notify-socket",
    "--seccomp-notify-plugins",
    each={name: name for name in ("--seccomp-notify-socket", "--seccomp-notify-plugins")},
)
def an_option_of_old(lab, name):
    lab.command_line(*LINE, name, "/x")


@scenario("--sync", "a fatal error with --sync")
def a_fatal_error_in_the_foreground(lab):
    lab.command_line(*LINE, "--sync")


@scenario("an error in the command line", each={"C": "C", "C.UTF-8": "C.UTF-8"})
def words_beyond_ascii(lab, locale):
    lab.command_line(*LINE[:6], "--log-path", "journald", "--log-tag", "äöüß", environment={"LC_ALL": locale}.items())


@scenario("an error in the command line", each={"C": "C", "C.UTF-8": "C.UTF-8"})
def a_name_beyond_ascii(lab, locale):
    lab.command_line(*LINE, "--name", "äöüß", environment={"LC_ALL": locale}.items())


@scenario("--log-path", "a bad one among good ones", each={"first": ["foo:", "a"], "last": ["a", "foo:"]})
def two_log_paths(lab, paths):
    lab.command_line(*LINE[:6], *(word for path in paths for word in ("--log-path", path)))


@scenario("a file and journald", "--log-path", each={"file first": ["a", "journald"], "last": ["journald", "a"]})
def a_file_and_journald(lab, paths):
    lab.command_line(*LINE[:6], *(word for path in paths for word in ("--log-path", path)))


def _log_path(lab, value):
    (lab.directory / "cwd").mkdir(parents=True)
    lab.command_line(*LINE[:6], "--log-path", value.replace("/TOP", str(lab.directory / "cwd")))


for _row, _values in LOG_PATHS.items():
    for _value in _values:
        add(f"log path {_value!r}", [_row, "--log-path"], lambda lab, value=_value: _log_path(lab, value))

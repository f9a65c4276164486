"""Runtimes, disks and descriptors that misbehave: every one ends with a report and a sentence, none with a hang."""

import json
import os
import re
import resource
import signal

import pytest

import engine
import k8slog
import procfs
from engine import CRIO, PODMAN
from waiting import wait_until

pytestmark = pytest.mark.balanced

MEBIBYTE = 1 << 20
API = pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)


# The runtime


@API
def test_failure_reaches_the_engine(new_container, family):
    container = new_container(family=family)
    container.stub("stderr", "runc create failed: no such thing")
    container.stub("exit", "1")
    container.launch()
    container.let_go()
    key = "data" if family is PODMAN else "pid"
    assert container.line() == b'{"%s": -1, "message": "runc create failed: no such thing"}\n' % key.encode()
    assert container.wait() == 1
    assert container.line() == b"", "nothing follows the report"
    assert not container.exit_file.exists()
    assert not (container.persist / "exit").exists()


def test_failure_without_a_word(new_container):
    container = new_container()
    container.stub("exit", "1")
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert report.get("message") != "", "an empty message is left out"
    assert container.wait() == 1


def test_failure_by_a_signal(new_container):
    container = new_container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    os.kill(hold.wait(), signal.SIGKILL)
    assert container.report()["data"] == -1
    assert container.wait() == 1


@pytest.mark.parametrize(
    "text",
    [
        'quotes " backslashes \\ slashes / \n lines \r\n tabs \t \b \f',
        "".join(map(chr, range(1, 128))),
        "grüße, 世界, 🐳\n",
    ],
    ids=["usual", "ascii", "utf-8"],
)
def test_failure_text_is_escaped(new_container, text):
    container = new_container()
    container.stub("stderr", text)
    container.stub("exit", "1")
    assert container.create_fails() == text


def test_escapes_to_the_byte(new_container):
    container = new_container()
    container.stub("stderr", b'a"b\\c d\ne\rf\tg\bh\fi\x01j\x7fk')
    container.stub("exit", "1")
    container.launch()
    container.let_go()
    assert container.line().lower() == (
        b'{"data": -1, "message": "a\\"b\\\\c d\\ne\\rf\\tg\\bh\\fi\\u0001j\\u007fk"}\n'
    )


def test_failure_text_that_is_not_utf_8(new_container):
    """JSON has no way to say such bytes; what is sent must be JSON all the same."""
    container = new_container()
    container.stub("stderr", b"before \xff\xfe\xe2\x82 after \xf0\x9f")
    container.stub("exit", "1")
    container.launch()
    container.let_go()
    message = json.loads(container.line().decode())["message"]
    assert message.startswith("before ") and " after " in message


CUT = re.compile(r"\[(\d+) bytes left out\] ")
LONG_TEXTS = {
    "plain": "".join(f"line {number}\n" for number in range(100_000)),
    "quotes": '"' * MEBIBYTE,
    "controls": "\x01" * MEBIBYTE,
    "utf-8": "€" * (MEBIBYTE // 3),
    "shifted-utf-8": "x" + "🐳" * (MEBIBYTE // 4),
    "without-an-end": "x" * 5000,
}


def check_cut(words, text):
    """They end with the end of the text, and say how many bytes of it are missing before."""
    left_out = CUT.search(words)
    end = words[left_out.end() :]
    assert text.endswith(end)
    assert int(left_out[1]) + len(end.encode()) == len(text.encode())


@API
@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS.keys())
def test_long_failure_text_is_cut(new_container, family, text):
    """Podman reads at most 4096 bytes of a line; what it gets must be JSON, use the room, and hold the end of the text:
    a runtime's last words are the reason."""
    container = new_container(family=family)
    container.stub("stderr", text)
    container.stub("exit", "1")
    container.launch()
    container.let_go()
    line = container.line()
    assert 4000 < len(line) <= 4096
    message = json.loads(line.decode())["message"]
    check_cut(message, text)
    assert container.wait() == 1


@pytest.mark.parametrize("length, cut", [(4000, False), (4096, True)])
def test_failure_text_of_about_the_limit(new_container, length, cut):
    container = new_container()
    text = "".join(chr(ord("a") + number % 26) for number in range(length))
    container.stub("stderr", text)
    container.stub("exit", "1")
    message = container.create_fails()
    assert (CUT.match(message) is not None) == cut
    if cut:
        check_cut(message, text)
    else:
        assert message == text


def test_much_noise_and_success(new_container):
    """What comes before a successful create has ended is the runtime's, not the container's: it is not in the log."""
    container = new_container(command="echo out; echo err >&2")
    container.stub("stderr", k8slog.numbered(1, MEBIBYTE // 7))
    assert container.run() == 0
    assert container.output("stdout") == b"out\n"
    assert container.output("stderr") == b"err\n"


@pytest.mark.parametrize("size", [1000, 40_000, MEBIBYTE])
@pytest.mark.parametrize("stream, status", [("stdout", 0), ("stderr", 0), ("stderr", 3)])
def test_words_in_a_message(new_container, system_log, size, stream, status):
    """A message has room for the end of what a runtime says, and says how much is missing."""
    log, find_log = system_log
    container = new_container(command="exit 7")
    container.options["--syslog"] = True
    text = "".join(f"line {number} " for number in range(size // 8))[:size].strip()
    container.stub(stream, text)
    if status != 0:
        container.stub("exit", str(status))
        container.create_fails(prepare=find_log)
    else:
        container.create(prepare=find_log)
    said = log.recv(65536).decode()
    assert (f"exit status 3 of {engine.stub_runtime()}: " if status else f"{engine.stub_runtime()} warned: ") in said
    if size > 1000:
        check_cut(said, text)
    else:
        assert said.endswith(text)


PIDFILES = {"missing": ("no-pidfile", ""), "empty": ("pidfile", ""), "zero": ("pidfile", "0"), "text": ("pidfile", "x")}


@API
@pytest.mark.parametrize("plan", PIDFILES.values(), ids=PIDFILES.keys())
def test_runtime_leaves_no_pid(new_container, family, plan):
    container = new_container(family=family)
    container.stub(*plan)
    container.stub("stderr", "the runtime's reason")
    assert "the runtime's reason" in container.create_fails()
    assert container.wait() == 1
    assert not container.exit_file.exists()


@pytest.mark.parametrize("plan", PIDFILES.values(), ids=PIDFILES.keys())
def test_runtime_leaves_no_pid_and_no_word(new_container, plan):
    container = new_container()
    container.stub(*plan)
    assert str(container.pidfile) in container.create_fails(), "the message names the file"


def test_stale_pid_file_of_the_engine(new_container):
    """CRI-O makes an empty pid file beforehand; a runtime that fails must still be heard."""
    container = new_container(family=CRIO)
    container.pidfile.touch()
    container.stub("stderr", "the runtime's reason")
    container.stub("exit", "1")
    assert container.create_fails() == "the runtime's reason"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_reaches_a_runtime_that_hangs(new_container, sig):
    container = new_container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    container.signal_monitor(sig)
    assert container.report()["data"] == -1
    assert container.wait() == 1
    assert not runtime.exists()


def ignore_keys():
    """As a shell does for what it runs in the background."""
    for sig in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_IGN)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGQUIT])
def test_signal_that_the_engine_ignores(new_container, sig):
    container = new_container()
    hold = container.hold_runtime()
    container.launch(prepare=ignore_keys)
    container.let_go()
    runtime = procfs.Process(hold.wait())
    assert runtime.signals("SigIgn") == set()
    container.signal_monitor(sig)
    assert container.report()["data"] == -1
    assert container.wait() == 1


def test_signal_that_the_caller_of_run_ignores(new_run):
    """Both go on: the command, and the monitor that would pass the signal on."""
    run = new_run("echo ready; read word < go; exit 7")
    os.mkfifo(run.top / "go")
    run.launch(preexec_fn=ignore_keys)
    wait_until(lambda: run.log.exists() and run.log.stat().st_size > 0, "some output")
    assert procfs.Process(run.command_pid()).signals("SigIgn") == {signal.SIGINT, signal.SIGQUIT}
    os.kill(run.pid, signal.SIGINT)
    (run.top / "go").write_text("\n")
    assert run.wait() == 7


def test_signal_before_the_runtime(new_container):
    container = new_container()
    container.launch()
    first = container.first_gate()
    os.kill(first.pid, signal.SIGTERM)
    assert container.wait_first(status=1) == b""


def test_missing_runtime(new_container):
    container = new_container()
    container.options["--runtime"] = str(container.top / "runc")
    container.launch()
    text = container.wait_first(status=1)
    assert b"Runtime path %s is not valid" % os.fsencode(container.top / "runc") in text


def test_runtime_that_cannot_be_executed(new_container):
    """A directory passes for an executable until it is executed."""
    container = new_container()
    container.options["--runtime"] = str(container.top)
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert str(container.top) in report["message"]
    assert container.wait() == 1


# The directories


def test_missing_log_directory(new_container):
    container = new_container()
    container.options["--log-path"] = f"k8s-file:{container.top}/missing/ctr.log"
    container.launch()
    text = container.wait_first(status=1)
    assert b"Failed to open log file" in text and b"No such file or directory" in text
    assert container.line() == b""


def test_read_only_log_directory(new_container):
    container = new_container()
    container.logs.chmod(0o555)
    container.launch(prepare=engine.obey_file_modes)
    text = container.wait_first(status=1)
    assert b"Failed to open log file" in text and b"Permission denied" in text
    assert container.line() == b""


@pytest.mark.parametrize("kind", ["missing", "file", "unreadable"])
def test_bad_bundle(new_container, kind):
    container = new_container()
    bundle = container.top / "bad-bundle"
    if kind == "file":
        bundle.touch()
    elif kind == "unreadable":
        bundle.mkdir(mode=0)
    container.options["--bundle"] = str(bundle)
    container.launch(prepare=engine.obey_file_modes)
    # Either before the fork, in words on stderr, or after it, in words for the engine.
    container.say_go()
    status = engine._wait_process(container._first, "the started process to end")
    if status == 0:
        report = container.report()
        assert report["data"] == -1
        assert str(bundle) in report["message"]
    else:
        assert status == 1
        assert os.fsencode(bundle) in engine.read_to_end(container._stderr, "the end of stderr")


def test_missing_exit_directory(new_container):
    container = new_container(command="exit 5")
    container.options["--exit-dir"] = str(container.top / "missing")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    hold.wait()
    assert (container.persist / "exit").read_bytes() == b"5"
    hold.let_go()
    assert container.wait() == 5


def test_missing_persist_directory(new_container):
    container = new_container(command="exit 5")
    container.options["--persist-dir"] = str(container.top / "missing")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    hold.wait()
    assert container.exit_file.read_bytes() == b"5"
    hold.let_go()
    assert container.wait() == 5


def test_bundle_removed_meanwhile(new_container):
    """An engine may delete the whole bundle while the container ends."""
    container = new_container(command="echo ready; read word < $XDG_RUNTIME_DIR/go; exit 5")
    go = container.fifo("../go")
    container.create()
    container.start()
    container.wait_log(b"ready")
    container.bundle.rename(container.top / "elsewhere")
    os.write(go, b"now\n")
    assert container.wait() == 5
    assert container.exit_file.read_bytes() == b"5"


# The descriptors and limits the monitor was started with


@pytest.mark.parametrize("value", ["x", "3x", "-1", "999"])
def test_bad_pipe_numbers(new_container, value):
    container = new_container()
    container.launch(prepare=lambda: container.environment.update(_OCI_STARTPIPE=value))
    assert b"_OCI_STARTPIPE" in container.wait_first(status=1)


@API
def test_engine_that_dies_before_its_first_word(new_container, family):
    """Nothing is started for it: the monitor might not be in its cgroup yet."""
    container = new_container(command="echo hello", family=family, waits=False)
    container.launch()
    container.close_pipe("start")
    assert b"the engine is gone" in container.wait_first(status=1)
    assert container.line() == b""
    assert not container.pidfile.exists()


def test_engine_that_went_away(new_container):
    """Nobody reads the sync pipe any more: the container lives, its log and its exit status are kept."""
    container = new_container(command="echo hello; exit 5")
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    container.close_sync()
    hold.let_go()
    wait_until(lambda: not runtime.exists() and container.monitor.stat()[0] == "S", "the report into nothing")
    container.start()
    assert container.wait() == 5
    assert container.exit_file.read_bytes() == b"5"
    assert container.output() == b"hello\n"


@pytest.mark.parametrize("limit", [4096, 20000])
def test_small_file_size_limit(new_container, limit):
    """The kernel refuses to let the log grow: the container does not notice, and no record is torn."""
    container = new_container(command="seq 1 20000; exit 5")
    assert container.run(prepare=engine.limit_file_size(limit)) == 5
    assert container.exit_file.read_bytes() == b"5"
    records = container.records()
    assert records
    kept = k8slog.output(k8slog.without_losses(records))
    assert k8slog.numbered(1, 20000).startswith(kept)


def test_few_descriptors(new_container):
    """More clients than descriptors: those that cannot be served wait or are turned away, and nothing else suffers."""
    container = new_container(command="seq 1 1000; exit 5")
    container.create(prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    for _ in range(20):
        container.attach()
    container.start()
    assert container.wait() == 5
    assert container.output() == k8slog.numbered(1, 1000)

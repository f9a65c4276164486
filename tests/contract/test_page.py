"""The monitor's page, where others can look at it: the file, and requests that change what it says."""

import fcntl
import os
import pathlib
import random
import signal
import stat

import pytest

import k8slog
from crashes import Witness, crash, image, page
from waiting import wait_until

DIRECTORY = pathlib.Path("/run/conward")
TEXTS = 12288  # where they begin
NOBODY = 65534


def remove_left_over(path):
    """What an earlier process with the same pid has left, because it was killed: nobody holds its lock."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for left in (path, path.with_suffix(".ctl")):
            left.unlink(missing_ok=True)


def files(pid, suffix, directory=DIRECTORY):
    for path in directory.glob(f"{pid}-????????.state"):
        remove_left_over(path)
    return list(directory.glob(f"{pid}-????????{suffix}"))


def texts(path):
    words = path.read_bytes()[TEXTS:].split(b"\0")
    assert words.pop() == b""
    return dict(word.decode().split("=", 1) for word in words)


@pytest.fixture
def waiting(new_container):
    """A container that runs until it reads a line from its fifo, and that fifo."""
    container = new_container(command="read word < go; printf '%0600d\\n' 0; read word < go; exit 7")
    container.options["--log-partial-flush"] = "never"
    go = container.fifo("go")
    container.create()
    container.start()
    return container, go


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to /run/conward")
def test_file(waiting):
    container, go = waiting
    (path,) = files(container.monitor.pid, ".state")
    assert stat.S_IMODE(DIRECTORY.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_blocks * 512 >= TEXTS, "all of its memory is there"
    found = texts(path)
    assert found["log"] == str(container.log)
    assert found["bundle"] == str(container.bundle)
    assert found["name"] == container.options["--name"]
    assert found["engine"] == pathlib.Path("/proc/self/comm").read_text().strip()
    assert not files(container.monitor.pid, ".ctl"), "the fifo is in the bundle"
    os.write(go, b"\n\n")
    assert container.wait() == 7
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_run_by_another_user(new_run):
    """Who may not write to /run/conward has a directory of his own. Without a bundle, the fifo is beside the page."""
    run = new_run("read word; printf '%0600d\\n' 0")
    for path in (run.top, run.logs, run.exits, *run.top.parents):
        if path.owner() == "root" and not path.stat().st_mode & stat.S_IXOTH or path.is_relative_to(run.top):
            path.chmod(0o777)
    input_end, go = os.pipe2(os.O_CLOEXEC)
    run.options["--log-partial-flush"] = "never"
    run.launch(preexec_fn=lambda: os.setresuid(NOBODY, NOBODY, NOBODY), stdin=input_end)
    os.close(input_end)
    wait_until(lambda: run.pidfile.exists() or run.ended(), "the command")
    assert run.pidfile.exists(), (run.top / "stderr").read_text()
    (path,) = files(run.pid, ".state", run.top / "conward")
    (ctl,) = files(run.pid, ".ctl", run.top / "conward")
    assert path.stem == ctl.stem
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ctl.stat().st_mode) == 0o600
    found = texts(path)
    assert found["command"] == "sh"
    assert found["log"] == str(run.log)
    ctl.write_bytes(b"set log-line-max 300\n")
    wait_until(lambda: page(run.pid)["generation"] == 1, "the setting")
    os.write(go, b"\n")
    os.close(go)
    assert run.wait() == 0
    assert [record.tag for record in run.records()] == ["P", "F"]
    assert os.listdir(run.top / "conward") == []


def test_settings(waiting):
    container, go = waiting
    pid = container.monitor.pid
    assert page(pid)["log_line_max"] == 16384
    container.control("set log-line-max 255\nset log-line-max 1048577\nset log-line-max\nset log-line-max 300x\n")
    container.control("set log-line-max  300\nset log-line-max -300\nset LOG-LINE-MAX 300\nset nothing 1\nset \n")
    container.control("set log-partial-flush -1\nset log-partial-flush 3600001\nset log-partial-flush nev\nset log-partial-flush 9" + "9" * 30)
    container.control("\nset log-line-max 300\n")
    wait_until(lambda: page(pid)["generation"] == 1, "the setting")
    assert page(pid)["log_line_max"] == 300
    assert page(pid)["log_partial_flush"] == -1
    os.write(go, b"\n")
    wait_until(lambda: len(container.records()) == 2, "the line, in two pieces")
    assert [record.tag for record in container.records()] == ["P", "F"]
    container.control("set log-partial-flush 5\nset log-line-max 1048576\n")
    wait_until(lambda: page(pid)["generation"] == 3, "the next settings")
    assert page(pid)["log_partial_flush"] == 5
    container.control("set log-partial-flush never\n")
    wait_until(lambda: page(pid)["log_partial_flush"] == -1, "the word")
    os.write(go, b"\n")
    assert container.wait() == 7
    assert container.output() == b"0" * 600 + b"\n"


@pytest.mark.survival
@pytest.mark.parametrize("loss", ["renamed", "removed", "emptied"])
def test_crash_without_the_page_in_its_place(new_run, loss):
    run = new_run("echo start >> starts; read word; echo end; exit 7")
    input_end, go = os.pipe2(os.O_CLOEXEC)
    run.launch(stdin=input_end)
    os.close(input_end)
    wait_until(lambda: (run.top / "starts").exists(), "the command")
    (path,) = files(run.pid, ".state")
    if loss == "renamed":
        path.rename(path.with_suffix(".elsewhere"))
    elif loss == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    before = image(run.pid)
    run.signal(signal.SIGSEGV)
    wait_until(lambda: image(run.pid) != before or run.ended(), "the next image")
    os.write(go, b"\n")
    os.close(go)
    assert run.wait() == 7
    assert (run.top / "starts").read_text() == "start\n"
    assert run.output() == b"end\n"
    for left in (path, path.with_suffix(".ctl"), path.with_suffix(".elsewhere")):
        left.unlink(missing_ok=True)


def overwrite(data):
    def ruin(path):
        with open(path, "r+b") as file:
            file.write(data)

    return ruin


RUINS = {
    "emptied": lambda path: os.truncate(path, 0),
    "half": lambda path: os.truncate(path, 4096),
    "sparse": lambda path: (os.truncate(path, 0), os.truncate(path, TEXTS)),
    "longer": lambda path: os.truncate(path, 1 << 30),
    "zeros": overwrite(bytes(TEXTS)),
    "ones": overwrite(b"\xff" * TEXTS),
    "garbage": overwrite(random.Random(5).randbytes(TEXTS)),
}


@pytest.mark.survival
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to /run/conward")
@pytest.mark.parametrize("crashes", [False, True], ids=["", "and-crash"])
@pytest.mark.parametrize("ruin", RUINS.values(), ids=RUINS.keys())
def test_page_that_its_owner_ruins(new_container, ruin, crashes):
    """Whatever becomes of the file, the monitor goes on as if nothing had been."""
    container = new_container(command="echo one; read word < go; seq 1 100000; read word < go; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    pid = container.monitor.pid
    (path,) = files(pid, ".state")
    ruin(path)
    os.write(go, b"\n")
    container.wait_log(b" 100000\n")
    if crashes:
        crash(pid, "fault")
        ruin(path)
        crash(pid, signal.SIGSEGV)
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\n" + k8slog.numbered(1, 100000)
    assert not path.exists()


@pytest.mark.survival
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to /run/conward")
def test_lost_page_is_said(new_run):
    """Once, however often there is something new to show, and whoever has a page again does not say it."""
    run = new_run("read word; seq 1 100000; exit 7")
    input_end, go = os.pipe2(os.O_CLOEXEC)
    run.launch(stdin=input_end)
    os.close(input_end)
    run.command_pid()
    (path,) = files(run.pid, ".state")
    os.truncate(path, 0)
    os.write(go, b"\n")
    os.close(go)
    assert run.wait() == 7
    said = (run.top / "stderr").read_text()
    assert said.count("page is damaged: its file was truncated") == 1
    assert "conwardctl" in said


def in_mounts(run, *mounts):
    """The run has mounts of its own."""
    start = run.top / "start"
    start.write_text("#!/bin/sh\n" + "\n".join(f"{mount} || exit 99" for mount in mounts) + f'\nexec {run.program} "$@"\n')
    start.chmod(0o755)
    inside = run.top / "inside"
    inside.write_text(f'#!/bin/sh\nexec unshare --mount {start} "$@"\n')
    inside.chmod(0o755)
    run.program = str(inside)


FULL = "mount -t tmpfs -o size={size} none /run && mkdir /run/conward && head -c {fill} /dev/zero > /run/fill"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("free", range(1, 6), ids=lambda free: f"{4 * free}-KiB-free")
def test_page_is_complete_or_not_there(new_run, free):
    """Also on a file system that is almost full: without its texts nobody would know whose page it is."""
    run = new_run("cp /run/conward/*.state page; exit 7")
    run.options["--name"] = "n" * 4000
    run.environment["XDG_RUNTIME_DIR"] = ""
    in_mounts(run, FULL.format(size="64k", fill=65536 - 4096 * free))
    run.launch()
    assert run.wait() == 7, (run.top / "stderr").read_text()
    said = (run.top / "stderr").read_text()
    if (run.top / "page").exists():
        assert texts(run.top / "page")["name"] == "n" * 4000
        assert "conwardctl cannot see it" not in said
    else:
        assert free < 4
        assert said.count("Cannot make the monitor's page in /run/conward: No space left on device") == 1
        assert said.count("conwardctl cannot see it") == 1


def test_texts_that_are_too_long(new_run):
    """What does not fit is left out: the page as a whole stays one."""
    run = new_run("read word")
    input_end, go = os.pipe2(os.O_CLOEXEC)
    run.options["--name"] = "n" * 30000
    run.launch(stdin=input_end)
    os.close(input_end)
    run.command_pid()
    (path,) = files(run.pid, ".state") or files(run.pid, ".state", run.top / "conward")
    assert path.stat().st_size <= TEXTS + 16384
    assert texts(path)["log"] == str(run.log)
    os.close(go)
    run.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("runtime", ["", "/nonexistent"], ids=["no-directory", "missing-directory"])
def test_no_place_for_a_page(new_run, runtime):
    """It is said where somebody would look for the page, and nowhere else."""
    run = new_run("exit 7")
    for path in (run.top, run.logs, run.exits, *run.top.parents):
        if path.owner() == "root" and not path.stat().st_mode & stat.S_IXOTH or path.is_relative_to(run.top):
            path.chmod(0o777)
    run.environment["XDG_RUNTIME_DIR"] = runtime
    run.launch(preexec_fn=lambda: os.setresuid(NOBODY, NOBODY, NOBODY))
    assert run.wait() == 7
    said = (run.top / "stderr").read_text()
    assert said.count("Cannot make the monitor's page in /nonexistent/conward: No such file") == (runtime != "")
    assert said.count("conwardctl") == (runtime != "")

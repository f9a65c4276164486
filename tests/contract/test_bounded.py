"""Bounded: no input makes the monitor grow. Its peak is compared with its own for a short line, and the memory that it
makes with that of Debian's conmon, $CONMON, for the same input in the same run.

The peak is that of the resident set, which includes what is mapped of a memfd, plus what is not. It counts the pages of
shared libraries that happen to be mapped, so the comparison with another program is about the rest."""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

import engine
import k8slog

BENCH = engine.TOP / "tests/bench"
sys.path.append(str(BENCH))

import measure  # noqa: E402  (found through the path above)

GIB = 1 << 30
MIB_IN_KIB = 1024
LINE_MAX = 16384  # the default of --log-line-max
SIZE_MAX = 8 << 20  # keeps the disk small; the log is then started again hundreds of times
LIMIT = 300  # seconds without any progress

SHORT_LINE = "write:4096:4096:0"
ENDLESS_LINE = f"write:0:{4 * GIB}:0"
NEWLINES = f"write:1:{GIB}:0"
# conmon needs minutes for a GiB of newlines. Its memory does not depend on the number; less can only make it smaller.
SOME_NEWLINES = f"write:1:{GIB // 32}:0"


def conmon():
    return os.environ.get("CONMON", "/usr/bin/conmon")


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    """The helper in workload.c; its step write:LENGTH:TOTAL:0 writes TOTAL bytes in lines of LENGTH, or of no end."""
    output = tmp_path_factory.mktemp("bounded") / "workload"
    compiler = os.environ.get("CC", "cc").split()
    source = str(BENCH / "workload.c")
    subprocess.run([*compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-static", source, "-o", output], check=True)
    yield output
    shutil.rmtree(output.parent)


def fix_addresses():
    """For a child that is about to execute a monitor: no random addresses. The kernel maps file pages in blocks of
    64 KiB, and how many blocks the libraries' code touches depends on where they lie: some hundred KiB of difference
    between two runs of the same program."""
    addr_no_randomize = 0x0040000
    ctypes.CDLL(None).personality(addr_no_randomize)


def watch(pid, hold):
    """Two amounts in KiB, from now until the exit command is held, when all has been logged: the peak, and the most
    memory of its own that was seen."""
    unmapped = most = 0
    before = end = None
    while not hold.reached():
        # How long all of it takes depends on what else the machine does.
        now = pathlib.Path(f"/proc/{pid}/io").read_bytes()
        if now != before:
            before, end = now, time.monotonic() + LIMIT
        assert time.monotonic() < end, f"the monitor has not come any further for {LIMIT} s"
        unmapped = max(unmapped, measure.unmapped_shared_kib(pid))
        most = max(most, measure.own_kib(pid))
        time.sleep(0.02)
    hold.wait()
    return measure.peak_rss_kib(pid) + unmapped, most


def under_engine(container, workload, step):
    container.stub("command", f"exec {workload} run {step}")
    container.options["--log-size-max"] = str(SIZE_MAX)
    hold = container.hold_exit_command()
    container.create(prepare=fix_addresses)
    container.start()
    amounts = watch(container.monitor.pid, hold)
    hold.let_go()
    assert container.wait() == 0
    return amounts


def under_run(directory, workload, step):
    """The same with `conward run` in the foreground; returns the peak and the log."""
    directory.mkdir()
    log = directory / "ctr.log"
    hold = engine.Hold(directory)
    options = ["--quiet", "--log-path", f"k8s-file:{log}", "--log-size-max", str(SIZE_MAX)]
    options += ["--exit-command", engine.stub_runtime()]
    options += ["--exit-command-arg", "hold", "--exit-command-arg", str(directory)]
    command = [engine.conward(), "run", *options, "--", workload, "run", step]
    monitor = subprocess.Popen(command, preexec_fn=fix_addresses)
    try:
        peak, _ = watch(monitor.pid, hold)
        hold.let_go()
        assert monitor.wait(engine.LIMIT) == 0
    finally:
        # Without its monitor, the workload finds its pipe broken and ends too.
        monitor.kill()
        monitor.wait()
        hold.close()
    return peak, log


def check_log(workload, log, step):
    """Only whole records of at most the limit, with the text in its place, and no more than the size limit allows."""
    length = step.split(":")[1]
    text = subprocess.run([workload, "scan", log, length], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {name: int(value) for name, value in (word.split("=") for word in text.split())}
    assert found["bytes"] > 0, found
    assert found["torn"] == 0 and found["wrong"] == 0, found
    assert found["longest"] <= LINE_MAX, found
    assert pathlib.Path(log).stat().st_size <= SIZE_MAX + 2 * (k8slog.HEADER + LINE_MAX + 1)  # a line is open


def test_endless_line_under_an_engine(new_container, workload, monkeypatch):
    short, _ = under_engine(new_container(), workload, SHORT_LINE)
    container = new_container()
    endless, own = under_engine(container, workload, ENDLESS_LINE)
    check_log(workload, container.log, ENDLESS_LINE)
    assert endless <= short + MIB_IN_KIB

    monkeypatch.setenv("CONWARD", conmon())
    _, conmons = under_engine(new_container(), workload, ENDLESS_LINE)
    assert own <= conmons


def test_newlines_under_an_engine(new_container, workload, monkeypatch):
    short, _ = under_engine(new_container(), workload, SHORT_LINE)
    container = new_container()
    newlines, own = under_engine(container, workload, NEWLINES)
    check_log(workload, container.log, NEWLINES)
    assert newlines <= short + MIB_IN_KIB

    monkeypatch.setenv("CONWARD", conmon())
    _, conmons = under_engine(new_container(), workload, SOME_NEWLINES)
    assert own <= conmons


def test_endless_line_under_run(directory, workload):
    short, _ = under_run(directory / "short", workload, SHORT_LINE)
    endless, log = under_run(directory / "endless", workload, ENDLESS_LINE)
    check_log(workload, log, ENDLESS_LINE)
    assert endless <= short + MIB_IN_KIB

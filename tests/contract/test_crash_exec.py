"""Crashes of monitors of further processes in a container, and of restored ones: see test_crash.py. What these have
and a container has not is a child that waits for the engine's word, output before the runtime has ended, and the exit
status on the sync pipe."""

import os
import shutil

import pytest

import engine
import k8slog
import procfs
from crashes import (
    AT_FULL_SPEED,
    ON_BOTH,
    Witness,
    appearance,
    check_appearance,
    crash,
    end,
    printed,
    reading,
    wait_at_rest,
)
from test_crash import CRASHES, STUCK, growth, several, storm
from waiting import is_readable, wait_until

pytestmark = pytest.mark.survival

KINDS = pytest.mark.parametrize("kind", ["signal", "fault"])


def follow(process, go, status):
    """Lets the process end, and sees that the engine hears of it once."""
    os.write(go, b"\n")
    assert process.report() == {"data": status}
    assert process.line() == b""
    assert process.wait() == status
    assert process.exit_file.read_bytes() == b"%d" % status


@KINDS
def test_storm_for_podman(new_exec, kind):
    process = new_exec("echo began >> beginnings; " + ON_BOTH)
    process.log_to_file()
    process.options["--log-partial-flush"] = "1"
    go = process.fifo("go")
    process.begin()
    client = process.attach()
    process.go()
    assert process.report()["data"] > 0
    with reading(client):
        process.wait_log(b"1")
        before = appearance(process.monitor.pid)
        storm(process.monitor.pid, kind, growth(process.log))
        end(process, go)
        check_appearance(process.monitor.pid, before)
        follow(process, go, 7)
    for stream in ("stdout", "stderr"):
        assert client.output(stream) == process.output(stream) == printed(process)
    assert (process.bundle / "beginnings").read_text() == "began\n"


@KINDS
def test_storm_for_cri_o(new_exec_sync, kind):
    process = new_exec_sync(AT_FULL_SPEED)
    process.options["--log-global-size-max"] = None
    go = process.fifo("go")
    process.execute()
    process.wait_log(b"1")
    before = appearance(process.monitor.pid)
    storm(process.monitor.pid, kind, growth(process.log))
    end(process, go)
    check_appearance(process.monitor.pid, before)
    os.write(go, b"\n")
    assert process.answer()["data"] == 7
    assert process.output() == printed(process)


@KINDS
def test_before_the_second_word(new_exec, kind):
    process = new_exec("echo began >> beginnings; echo hello; read word < go; exit 7")
    go = process.fifo("go")
    process.begin()
    process.gate()
    wait_at_rest(process.monitor.pid)
    before = appearance(process.monitor.pid)
    several(process.monitor.pid, kind)
    check_appearance(process.monitor.pid, before)
    client = process.attach()
    assert not is_readable(process.sync)
    process.go()
    assert process.report()["data"] > 0
    follow(process, go, 7)
    engine.receive_all(client)
    assert client.output() == b"hello\n"
    assert (process.bundle / "beginnings").read_text() == "began\n"


@KINDS
def test_while_the_runtime_runs(new_exec, kind):
    """What the process has printed already is not lost."""
    process = new_exec("echo hello; echo began >> beginnings; read word < go; exit 7")
    process.log_to_file()
    go = process.fifo("go")
    hold = process.hold_runtime_at_its_end()
    process.begin()
    client = process.attach()
    process.go()
    hold.wait()
    wait_until((process.bundle / "beginnings").exists, "the process to have printed")
    several(process.monitor.pid, kind)
    hold.let_go()
    assert process.report()["data"] > 0
    follow(process, go, 7)
    engine.receive_all(client)
    assert client.output() == process.output() == b"hello\n"


@KINDS
def test_while_the_runtime_fails(new_exec_sync, kind):
    process = new_exec_sync("echo began >> beginnings")
    process.stub("stderr", "no such thing\n")
    process.stub("exit", "3")
    hold = process.hold_runtime()
    process.execute()
    hold.wait()
    several(process.monitor.pid, kind)
    hold.let_go()
    answer = process.answer()
    assert (answer["data"], answer["message"]) == (-1, "no such thing\n")
    assert process.wait() == 1


@KINDS
@pytest.mark.parametrize("turn", range(CRASHES // 3))
def test_around_the_end(new_exec_sync, kind, turn):
    """Crashes without a pause from the beginning on, until there is nobody left to crash: CRI-O gets one answer."""
    process = new_exec_sync("seq 1 1000; exit 7")
    hold = process.hold_runtime()
    process.execute()
    hold.wait()
    hold.let_go()
    for _ in range(STUCK - 1):
        crash(process.monitor.pid, kind)
    assert process.answer()["data"] == 7
    assert process.output() == k8slog.numbered(1, 1000)


@KINDS
def test_while_late_output_is_awaited(new_container, kind):
    """The orphan prints when the monitor has reaped the container and has crashed since then."""
    container = new_container("(while [ ! -e go ]; do sleep 0.01; done; echo late) & echo hello; exit 7")
    container.options["--late-output"] = "4000"
    witness = Witness(container)
    container.create()
    container.start()
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container to be reaped")
    crash(container.monitor.pid, kind)
    (container.bundle / "go").touch()
    witness.check(7)
    assert container.output() == b"hello\nlate\n"


@KINDS
def test_restored(new_container, kind):
    container = new_container("echo hello; echo began >> beginnings; read word < go; exit 7", waits=False)
    container.options["--restore"] = str(container.top / "checkpoint")
    go = container.fifo("go")
    witness = Witness(container)
    hold = container.hold_runtime_at_its_end()
    container.launch()
    container.let_go()
    hold.wait()
    wait_until((container.bundle / "beginnings").exists, "the container to have printed")
    several(container.monitor.pid, kind)
    hold.let_go()
    container.pid = container.report()["data"]
    assert container.pid > 0
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"hello\n"


@KINDS
def test_working_directory_that_is_deleted(new_exec, kind):
    """It is the bundle, which Podman may remove before the monitor has ended."""
    process = new_exec("exec < go; echo ready; read word; echo last; exit 7")
    go = process.fifo("go")
    process.begin()
    client = process.attach()
    process.go()
    assert process.report()["data"] > 0
    with reading(client):
        wait_until(lambda: client.output() == b"ready\n", "the process to be ready")
        shutil.rmtree(process.bundle)
        crash(process.monitor.pid, kind)
        os.write(go, b"\n")
    assert client.output() == b"ready\nlast\n"
    assert process.report() == {"data": 7}
    assert process.wait() == 7
    assert (process.persist / "exit").read_bytes() == b"7"


@KINDS
def test_default_bundle_that_is_deleted(new_container, kind):
    container = new_container(command="exec < go; read word; exit 7")
    go = container.fifo("go")
    container.options["--bundle"] = None
    container.cwd = container.bundle
    container.create()
    container.start()
    read_by_it = procfs.Process(container.pid).descriptors
    wait_until(lambda: str(container.bundle / "go") in read_by_it().values(), "the container to be ready")
    shutil.rmtree(container.bundle)
    crash(container.monitor.pid, kind)
    os.write(go, b"\n")
    assert container.wait() == 7
    assert container.exit_file.read_bytes() == b"7"

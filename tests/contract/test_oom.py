"""Kills for want of memory, on the kernel's own cgroup v1; tests/guest has those on v2."""

import os
import shlex
import signal
import stat
import subprocess
import tempfile

import pytest

import memory
import procfs
from crashes import descriptors_at_rest, page, wait_at_rest
from engine import CRIO, PODMAN, TOP
from memory import HOG, Cgroup
from waiting import wait_until

pytestmark = memory.needed

HOG_EACH_TIME = f"while read word < go; do {HOG}; echo over; done"


@pytest.fixture
def cgroup():
    one = Cgroup()
    yield one
    one.close()


def files(container):
    return [path for path in (container.persist / "oom", container.bundle / "oom") if path.exists()]


def kills(container):
    return page(container.monitor.pid)["oom_kills"]


def create(new_container, cgroup, *args, **kwargs):
    container = new_container(*args, **kwargs)
    cgroup.take(container)
    container.create()
    return container


@pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)
def test_killed(new_container, cgroup, family):
    container = create(new_container, cgroup, command=f"exec {HOG}", family=family)
    container.start()
    assert container.wait() == 137
    found = files(container)
    assert len(found) == 2
    for path in found:
        status = path.stat()
        assert status.st_size == 0 and stat.S_IMODE(status.st_mode) == 0o644
        assert status.st_mtime_ns <= container.exit_file.stat().st_mtime_ns
    assert cgroup.kills() == 1


def test_each_is_counted_while_the_container_goes_on(new_container, cgroup):
    container = new_container(command=HOG_EACH_TIME)
    go = container.fifo("go")
    cgroup.take(container)
    container.create()
    container.start()
    for count in (1, 2, 3):
        os.write(go, b"\n")
        wait_until(lambda: container.output().count(b"over") == count, "the kill")
        wait_until(lambda: kills(container) == count, "it to be seen")
        wait_until(lambda: len(files(container)) == 2, "the files")
    container.signal_monitor(signal.SIGKILL)


def test_killed_by_somebody(new_container, cgroup):
    container = create(new_container, cgroup, command="kill -KILL $$")
    container.start()
    assert container.wait() == 137
    assert files(container) == []


@pytest.fixture
def disk():
    """A directory whose files can go from memory to a disk."""
    runs = TOP / "build-run"
    runs.mkdir(exist_ok=True)
    if subprocess.check_output(["stat", "-f", "-c", "%T", runs]).strip() in (b"tmpfs", b"ramfs"):
        pytest.skip(f"{runs} is in memory")
    with tempfile.TemporaryDirectory(dir=runs) as directory:
        yield directory


def test_at_the_limit(new_container, cgroup, disk):
    """Memory that can be taken back is wanted again and again; nobody is killed."""
    container = create(new_container, cgroup, command=f"dd if=/dev/zero of={disk}/file bs=1M count=64 2> /dev/null; exit 7")
    container.start()
    assert container.wait() == 7
    assert int((cgroup.path / "memory.max_usage_in_bytes").read_text()) > memory.LIMIT * 0.9
    assert files(container) == []


def test_old_kills_do_not_count(new_container, new_exec, cgroup):
    container = new_container(command=HOG_EACH_TIME)
    go = container.fifo("go")
    cgroup.take(container)
    container.create()
    container.start()
    os.write(go, b"\n")
    wait_until(lambda: kills(container) == 1, "the kill")
    process = new_exec("read word < go; exit 7")
    exec_go = process.fifo("go")
    cgroup.take(process)
    process.launch()
    process.let_go()
    process.line("attach")
    process.go()
    assert process.report()["data"] > 0
    assert kills(process) == 0
    os.write(exec_go, b"\n")
    assert process.report() == {"data": 7}
    assert process.wait() == 7
    assert files(process) == []


def test_exec(new_exec, cgroup):
    process = new_exec(f"read word < go; {HOG}; exit 7")
    go = process.fifo("go")
    cgroup.take(process)
    process.launch()
    process.let_go()
    process.line("attach")
    process.go()
    assert process.report()["data"] > 0
    os.write(go, b"\n")
    assert process.report() == {"data": 7}
    assert process.wait() == 7
    assert len(files(process)) == 2


def test_removed_cgroup(new_container, cgroup):
    """That is no kill, and nothing that keeps the monitor awake."""
    container = new_container(command=f"echo $$ > {cgroup.path.parent}/cgroup.procs; echo left; read word < go; exit 7")
    go = container.fifo("go")
    cgroup.take(container)
    container.create()
    monitor = procfs.Process(container.monitor.pid)
    watching = len(descriptors_at_rest(monitor.pid))
    container.start()
    container.wait_log(b" left\n")
    cgroup.remove()
    wait_until(lambda: len(monitor.descriptors()) == watching - 2, "the monitor to look away")
    wait_at_rest(monitor.pid)
    os.write(go, b"\n")
    assert container.wait() == 7
    assert files(container) == []


def test_no_cgroup_of_its_own(new_container):
    """What happens in ours, with all that tests do there, is not its."""
    container = new_container(command="exit 7")
    container.create()
    assert not [target for target in procfs.Process(container.monitor.pid).descriptors().values() if "oom_control" in target]
    container.start()
    assert container.wait() == 7
    assert files(container) == []


def test_directory_that_is_gone(new_container, cgroup):
    """The other file, and the exit file, do not depend on it."""
    container = create(new_container, cgroup, command=f"exec {HOG}")
    container.persist.rename(container.top / "elsewhere")
    container.start()
    assert container.wait() == 137
    assert files(container) == [container.bundle / "oom"]
    assert container.exit_file.read_text() == "137"


def test_message(new_container, cgroup, dev_log):
    receiver, start = dev_log
    container = new_container(command="everything=$(yes | head -c 64M)")  # there is no /dev/zero
    container.options["--syslog"] = True
    monitor = container.top / "monitor"
    monitor.write_text(f'#!/bin/sh\nexec {shlex.join([*start, container.program])} "$@"\n')
    monitor.chmod(0o755)
    container.program = str(monitor)
    cgroup.take(container)
    container.create()
    container.start()
    assert container.wait() == 137
    said = receiver.recv(65536)
    assert b"killed 1 process of the container quiet_name" in said
    assert b"its memory limit is 16 MiB" in said

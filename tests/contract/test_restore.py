"""Restoring from a checkpoint: the create flow, but the container runs before its runtime has ended."""

import os

import pytest

import engine
import k8slog
import procfs
from engine import CRIO, PODMAN
from waiting import is_readable, wait_until

FAMILIES = pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)


@pytest.fixture
def new_restored(new_container):
    def new(command=None, family=PODMAN):
        container = new_container(command, family=family, waits=False)
        container.options["--restore"] = str(container.top / "checkpoint")
        return container

    return new


@FAMILIES
def test_runtime_arguments(new_restored, family):
    container = new_restored("exit 0", family)
    container.options["--runtime-arg"] = ["--log-format=json", "--log", "--log=/x y", ""]
    container.options["--runtime-opt"] = ["--tcp-established", "--lsm-profile=selinux:x"]
    container.options["--no-pivot"] = True
    container.options["--no-new-keyring"] = True
    container.options["--systemd-cgroup"] = True
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    words = procfs.Process(hold.wait()).words("cmdline")
    assert [word.decode() for word in words] == [
        engine.stub_runtime(),
        "--systemd-cgroup",
        *container.options["--runtime-arg"],
        "restore",
        "--bundle",
        str(container.bundle),
        "--pid-file",
        str(container.pidfile),
        "--no-pivot",
        "--no-new-keyring",
        "--detach",
        "--image-path",
        str(container.top / "checkpoint"),
        "--work-path",
        str(container.bundle),
        *container.options["--runtime-opt"],
        container.cid,
    ]


@FAMILIES
def test_whole_life(new_restored, family):
    container = new_restored("echo out; echo err >&2; read word < go; exit 7", family)
    go = container.fifo("go")
    container.create()
    assert container.pidfile.read_bytes() == b"%d" % container.pid
    container.wait_log(b"err")
    os.write(go, b"\n")
    assert container.wait() == 7
    assert container.line() == b""
    assert container.exit_file.read_bytes() == b"7"
    assert (container.persist / "exit").read_bytes() == b"7"
    assert container.output() == b"out\n"
    assert container.output("stderr") == b"err\n"


@pytest.mark.parametrize("lines", [1, 100000])
def test_output_before_the_runtime_has_ended(new_restored, lines):
    """None of it is lost or taken for the runtime's."""
    container = new_restored(f"seq 1 {lines}; seq 1 {lines} >&2; echo began >> beginnings; read word < go; exit 7")
    go = container.fifo("go")
    begin = container.hold_runtime()
    end = container.hold_runtime_at_its_end()
    container.launch()
    container.let_go()
    begin.wait()
    client = container.attach()
    begin.let_go()
    end.wait()
    if lines == 1:  # a client that does not read much holds the container back
        wait_until((container.bundle / "beginnings").exists, "the container to have printed")
    assert not is_readable(container.sync)
    end.let_go()
    assert container.report()["data"] > 0
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 7
    for stream in ("stdout", "stderr"):
        assert client.output(stream) == container.output(stream) == k8slog.numbered(1, lines)


def test_container_that_ends_before_its_pid_is_known(new_restored):
    container = new_restored("echo hello; exit 7")
    container.stub("fast")
    container.create()
    assert container.wait() == 7
    assert container.exit_file.read_bytes() == b"7"
    assert container.output() == b"hello\n"


@FAMILIES
def test_failing_runtime(new_restored, family):
    container = new_restored("echo began >> beginnings", family)
    container.stub("stderr", "criu failed: type NOTIFY errno 0\n")
    container.stub("exit", "1")
    assert container.create_fails() == "criu failed: type NOTIFY errno 0\n"
    assert container.wait() == 1
    assert not container.exit_file.exists()
    assert container.log.read_bytes() == b""


def test_runtime_that_fails_at_last(new_restored):
    """As with create, and other than with exec, that is no container."""
    container = new_restored("true")
    hold = container.hold_runtime_at_its_end()
    container.launch()
    container.let_go()
    hold.wait()
    hold.let_go(3)
    assert container.report()["data"] == -1
    assert container.wait() == 1
    assert not container.exit_file.exists()

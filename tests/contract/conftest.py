"""Fixtures of the contract tests. The monitor under test is $CONWARD (default: build/src/conward), the runtime is
$STUB_RUNTIME (default: build/tests/stub-runtime)."""

import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import engine  # noqa: E402  (found through the path above)
import exec_engine  # noqa: E402
import node  # noqa: E402
import oracle  # noqa: E402
from fake_journal import FakeJournal  # noqa: E402
from small_disk import SmallDisk  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "survival: the monitor crashes or has trouble.so loaded: not with a sanitizer")
    config.addinivalue_line("markers", "balanced: in the end, each container's figures agree with its log: see oracle.py")


# Any worker of pytest-xdist may have any test of these; each other file is one worker's (--dist loadgroup).
SPREAD = ["test_fault_points.py", "test_crash_calls.py"]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items):
    """Files that take minutes come first, so that no worker begins with one when the others are done; what is spread
    fills the gaps at the end."""
    order = ["test_bounded.py", "test_crash.py", "test_rotation.py"]
    for item in items:
        if item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=lambda item: order.index(item.path.name) if item.path.name in order else len(order))
    items.sort(key=lambda item: item.path.name in SPREAD)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    """Before any fixture ends: a log may be on a disk that is one."""
    outcome = yield
    if item.get_closest_marker("balanced") and outcome.excinfo is None:
        for container in getattr(item.funcargs.get("new_container"), "made", []):
            oracle.check(container, item.funcargs.get("journal"))


@pytest.fixture(scope="session", autouse=True)
def tools():
    for program in (engine.conward(), engine.stub_runtime()):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not an executable: build first, or set CONWARD and STUB_RUNTIME", 2)
    engine.become_subreaper()
    # A shell lets what it runs in the background ignore these, and what is ignored is inherited.
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(sig) == signal.SIG_IGN:
            signal.signal(sig, signal.SIG_DFL)


@pytest.fixture
def directory():
    path = tempfile.mkdtemp(prefix="conward-")
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def dev_log(directory):
    """A socket, and how to start a program that finds it at /dev/log."""
    devices = directory / "dev"
    devices.mkdir()
    (devices / "null").touch()
    bind = 'mount --bind /dev/null "$1/null" && mount --rbind "$1" /dev && shift && exec "$@"'
    start = ["unshare", "--mount", "--map-root-user", "sh", "-c", bind, "sh", str(devices)]
    probe = subprocess.run([*start, "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip(f"no mount namespace: {probe.stderr.decode()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(devices / "log"))
        receiver.setblocking(False)
        yield receiver, start


@pytest.fixture
def system_log(directory):
    """A socket, and what a child does, before it executes a program, so that this program finds it at /dev/log."""
    devices = directory / "devices"
    devices.mkdir()
    (devices / "null").touch()

    def enter():
        node.unshare_mounts()
        node.cover(devices / "null", "/dev/null")
        node.cover("/dev", devices)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(devices / "log"))
        receiver.setblocking(False)
        yield receiver, enter


@pytest.fixture
def journal(directory):
    """A journal that does as it is told."""
    made = FakeJournal(directory / "node")
    yield made
    made.close()


@pytest.fixture
def new_container(directory):
    """Makes containers; each gets a directory of its own and is gone, with its processes, when the test ends."""
    with contextlib.ExitStack() as stack:

        def new(*args, **kwargs):
            new.made.append(closed_later(stack, engine.Container(directory / str(len(new.made)), *args, **kwargs)))
            return new.made[-1]

        new.directory = directory
        new.made = []
        yield new


def closed_later(stack, thing):
    stack.callback(thing.close)
    return thing


@pytest.fixture
def disk(directory):
    """A small one, for a log that fills it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    small = SmallDisk(directory / "disk")
    yield small
    small.close()


@pytest.fixture
def logging_to(disk, new_container):
    """Makes containers that log to the small disk."""

    def new(policy, command, **how):
        container = new_container(command=command, **how)
        container.log = disk.top / "ctr.log"
        container.options["--log-path"] = f"k8s-file:{container.log}"
        container.options["--log-on-error"] = policy
        return container

    return new


def processes(directory, kind):
    with contextlib.ExitStack() as made:
        numbers = itertools.count()
        yield lambda *args, **kwargs: closed_later(made, kind(directory / f"exec-{next(numbers)}", *args, **kwargs))


@pytest.fixture
def new_exec(directory):
    """Makes Podman's further processes in containers, as new_container makes containers."""
    yield from processes(directory, exec_engine.Exec)


@pytest.fixture
def new_exec_sync(directory):
    """The same for CRI-O's."""
    yield from processes(directory, exec_engine.ExecSync)


@pytest.fixture
def new_run(directory):
    """Makes `conward run`s, as new_container makes containers."""
    with contextlib.ExitStack() as made:
        numbers = itertools.count()
        yield lambda command: closed_later(made, engine.Run(directory / f"run-{next(numbers)}", command))

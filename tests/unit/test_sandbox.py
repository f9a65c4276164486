"""What tests/sandbox promises."""

import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys

import pytest

import procfs
from waiting import wait_until

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
SANDBOX = PROJECT / "tests/sandbox"
CGROUPS = pathlib.Path("/sys/fs/cgroup")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a sandbox")


def run(*command, **how):
    return subprocess.run([SANDBOX, *command], capture_output=True, text=True, timeout=60, **how)


def start(script):
    """A sandbox whose script has said `ready`."""
    process = subprocess.Popen([SANDBOX, "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.fixture
def mark():
    """NAME=value for the environment of what shall be found."""
    return f"SANDBOX_TEST={secrets.token_hex(8)}"


def marked(mark):
    return procfs.with_environment(mark.encode())


@pytest.mark.parametrize("command, status", [
    (["sh", "-c", "exit 7"], 7),
    ([SANDBOX, "sh", "-c", "exit 7"], 7),
    (["./missing"], 127),
    ([PROJECT / "README.md"], 126),
])
def test_status(command, status):
    assert run(*command).returncode == status


def test_streams():
    done = run("sh", "-c", "cat; echo two >&2", input="one\n")
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("one\n", "two")


def test_without_root(tmp_path):
    if os.geteuid() == 0:
        os.chmod(tmp_path, 0o755)
        done = run("id", "-u", user=65534, group=65534, extra_groups=[])
    else:
        done = run("id", "-u")
    assert done.returncode == 0
    assert done.stdout != "0\n"
    assert "without a sandbox: only root can make one" in done.stderr


@needs_root
def test_status_of_a_signal():
    assert run("sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM


@needs_root
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("trap, status", [("exit 9", 9), ("-", None)], ids=["handled", "not handled"])
def test_signals_are_passed_on(sig, trap, status):
    process = start(f"trap '{trap}' {sig}; echo ready; while :; do sleep 0.02; done")
    process.send_signal(sig)
    assert process.wait(60) == (status or 128 + sig)


@needs_root
def test_a_signal_while_the_sandbox_is_made():
    for _ in range(20):
        process = subprocess.Popen([SANDBOX, "sleep", "1000"])
        wait_until(lambda: len(procfs.children(process.pid)) > 1, "the first process in the sandbox")
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM


@needs_root
def test_nothing_goes_on(mark):
    assert run("sh", "-c", f"export {mark}; setsid sleep 1000 > /dev/null 2>&1 & sleep 0.1").returncode == 0
    assert not marked(mark)


@needs_root
def test_killed(mark):
    """Also the cgroups go, a moment later."""
    process = start(f"export {mark}; setsid sleep 1000 & setsid sleep 1000 & echo ready; sleep 1000")
    wait_until(lambda: len(marked(mark)) >= 3, "the processes")
    names = set(re.findall(r"/(conward-tests-\w+)", pathlib.Path(f"/proc/{marked(mark)[0]}/cgroup").read_text()))
    process.kill()
    process.wait(60)
    wait_until(lambda: not marked(mark), "the end of the processes")
    wait_until(lambda: not any(names & set(below) for _, below, _ in os.walk(CGROUPS)), "the end of the cgroups")


@needs_root
def test_only_its_own_processes_are_there():
    done = run("ls", "/proc")
    assert len([name for name in done.stdout.split() if name.isdigit()]) == 2  # the first, and ls


@needs_root
@pytest.mark.parametrize("place", ["/run", "/tmp", "/var/tmp", "/dev/shm"])
def test_places_are_its_own(place, mark):
    """But for a directory for locks, and for the way to the project."""
    done = run("sh", "-c", f"ls -A {place}; touch {place}/{mark}; mkdir {place}/crio")
    way = PROJECT.relative_to(place).parts[:1] if PROJECT.is_relative_to(place) else ()
    assert (set(done.stdout.split()) - {"lock", *way}, done.stderr) == (set(), "")
    assert not pathlib.Path(place, mark).exists()


@needs_root
def test_devices_can_be_made(tmp_path):
    """As on a disk, or tests that need one are skipped."""
    make = "mknod {}/null c 1 3 && : > {}/null"
    try:
        subprocess.run(["sh", "-c", make.format(tmp_path, tmp_path)], check=True)
    except subprocess.CalledProcessError:
        pytest.skip("no device can be made here")
    assert run("sh", "-c", make.format("/tmp", "/tmp")).returncode == 0


@needs_root
def test_other_places_are_read_only():
    writable = "for place in / /etc /usr /var /var/lib /root /home; do [ ! -w $place ] || echo $place; done"
    done = run("sh", "-c", f"{writable}; cd {PROJECT} && mkdir -p build-run && file=$(mktemp -p build-run) && rm $file")
    assert (done.stdout, done.stderr) == ("", "")


@needs_root
def test_a_project_in_such_a_place(tmp_path):
    shutil.copytree(PROJECT / "tests/lib", tmp_path / "tests/lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SANDBOX, tmp_path / "tests")
    script = f"pwd; touch seen; ls {tmp_path.parent}"
    done = subprocess.run([tmp_path / "tests/sandbox", "sh", "-c", script], cwd=tmp_path / "tests", capture_output=True)
    assert done.stdout.decode() == f"{tmp_path}/tests\n{tmp_path.name}\n", done.stderr
    assert (tmp_path / "tests/seen").exists()


@needs_root
def test_abstract_names_are_its_own():
    name = f"\0{secrets.token_hex(8)}"
    bind = "import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind('\\0' + sys.argv[1])"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(name)
        assert run(sys.executable, "-I", "-c", bind, name[1:]).returncode == 0


@needs_root
def test_it_has_a_loopback():
    connect = "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())"
    assert run(sys.executable, "-I", "-c", f"import socket; {connect}").returncode == 0


@needs_root
def test_cgroups_are_its_own():
    name = f"test-{secrets.token_hex(8)}"
    make = f'[ ! -e "$place/cgroup.procs" ] || mkdir -v "$place/{name}"'
    done = run("sh", "-c", f"for place in {CGROUPS} {CGROUPS}/*; do {make}; done")
    if "created directory" not in done.stdout:
        pytest.skip("no cgroup can be made here")
    assert not any(name in below for _, below, _ in os.walk(CGROUPS))


@needs_root
def test_what_a_caller_has_in_its_environment(tmp_path):
    """Names of places that are not there, and a service manager that has nothing to do with it."""
    theirs = {"TMPDIR": str(tmp_path), "NOTIFY_SOCKET": "/run/systemd/notify", "XDG_RUNTIME_DIR": "/run/user/0"}
    done = run("env", env={**os.environ, **theirs, "KEPT": "yes"})
    assert "KEPT=yes" in done.stdout.splitlines()
    assert not set(theirs) & {line.partition("=")[0] for line in done.stdout.splitlines()}

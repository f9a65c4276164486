"""The output side of the attach socket."""

import os
import signal
import socket

import pytest

import engine
import k8slog
import procfs
from crashes import descriptors_at_rest
from engine import CRIO
from waiting import is_readable, wait_until


def test_two_clients_get_every_byte(new_container):
    content = os.urandom(1_000_000)
    container = new_container(command="cat content; seq 1 20000 >&2; exit 5")
    (container.bundle / "content").write_bytes(content)
    container.create()
    clients = [container.attach(), container.attach()]
    container.start()
    engine.receive_all(*clients)
    assert container.wait() == 5
    for client in clients:
        assert client.output("stdout") == content
        assert client.output("stderr") == k8slog.numbered(1, 20000)


def test_attached_before_start_means_every_byte(new_container):
    """Podman connects, then starts. Here the monitor wakes up to find the connection, the output and the end of the
    container all at once."""
    container = new_container(command="echo out; echo err >&2; exit 5")
    container.create()
    container.pause_monitor()
    client = container.attach()
    container.start()
    container.wait_dead()
    container.resume_monitor()
    engine.receive_all(client)
    assert container.wait() == 5
    assert client.output("stdout") == b"out\n"
    assert client.output("stderr") == b"err\n"


def test_output_comes_as_it_is_written(new_container):
    """A prompt is not held back until its line ends."""
    container = new_container(command="printf 'prompt> '; read word < go; printf done")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    wait_until(lambda: client.receive() or client.output() == b"prompt> ", "the prompt")
    os.write(go, b"\n")
    engine.receive_all(client)
    assert client.output() == b"prompt> done"


def test_late_client_gets_no_history(new_container):
    container = new_container(command="echo one; read word < go; echo two")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    client = container.attach()
    os.write(go, b"\n")
    engine.receive_all(client)
    assert client.output() == b"two\n"


def test_half_closed_client_gets_output(new_container):
    """Podman closes its direction at once when there is no input to send."""
    container = new_container(command="seq 1 1000")
    container.create()
    client = container.attach()
    client.socket.shutdown(socket.SHUT_WR)
    container.start()
    engine.receive_all(client)
    assert client.output() == k8slog.numbered(1, 1000)


def test_end_comes_before_the_exit_command(new_container):
    container = new_container(command="echo hello; exit 5")
    hold = container.hold_exit_command()
    container.create()
    client = container.attach()
    container.start()
    hold.wait()
    engine.receive_all(client)
    assert client.output() == b"hello\n"
    assert not (container.bundle / "attach").exists()
    assert not container.monitor_ended()


def test_input_for_a_container_without_stdin(new_container):
    """It goes nowhere, and does no harm."""
    container = new_container(command="cat; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    client.socket.send(b"hello\n" * 1000)
    container.start()
    client.socket.send(b"hello\n")
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5
    assert client.output() == b""


def test_input_that_comes_too_late(new_container):
    """A socket closed with unread input resets the connection, and the reset overtakes the output on its way."""
    container = new_container(command="seq 1 1000; exit 5")
    container.create()
    container.pause_monitor()
    client = container.attach()
    client.socket.send(b"hello\n")
    container.start()
    container.wait_dead()
    client.socket.send(b"hello\n")
    container.resume_monitor()
    engine.receive_all(client)
    assert container.wait() == 5
    assert client.output() == k8slog.numbered(1, 1000)


def test_clients_that_leave(new_container):
    """Neither a client that goes in silence nor one that goes in the middle of its output leaves anything behind."""
    container = new_container(command="echo one; read word < go; seq 1 100000; exit 5")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    before = descriptors_at_rest(container.monitor.pid)
    for _ in range(100):
        container.attach().close()
    wait_until(lambda: len(container.monitor.descriptors()) == len(before), "the descriptors of the clients to close")
    leaving = container.attach()
    staying = container.attach()
    os.write(go, b"\n")
    leaving.close()
    engine.receive_all(staying)
    assert container.wait() == 5
    assert staying.output() == k8slog.numbered(1, 100000)
    assert container.output() == b"one\n" + staying.output()


def test_client_that_never_reads(new_container):
    """Its socket can take this much; nobody has to wait for it."""
    container = new_container(command="seq 1 5000; exit 5")
    container.create()
    idle = container.attach()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_bytes() == b"5"
    assert container.output() == k8slog.numbered(1, 5000)
    assert container.wait() == 5
    engine.receive_all(idle)
    assert idle.output() == k8slog.numbered(1, 5000), "what was sent before the end can still be read"


def test_killed_container_is_reaped_though_a_client_never_reads(new_container):
    """CRI-O takes a zombie for a container that is still alive."""
    container = new_container(command="yes | head -c 100000000")
    container.options["--log-size-max"] = "100000"
    container.create()
    container.attach()
    container.start()
    container.wait_log(b"y\n")
    os.kill(container.pid, 9)
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container to be reaped")
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_bytes() == b"137"


def test_monitor_that_is_told_to_end_though_a_client_never_reads(new_container):
    """When the container has gone, SIGTERM is for the monitor."""
    container = new_container(command="yes | head -c 10000000; read word < go")
    container.create()
    container.attach()
    container.start()
    wait_until(lambda: container.log.stat().st_size > 100_000, "output that no socket has room for")
    os.kill(container.pid, signal.SIGKILL)
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container to be reaped")
    container.signal_monitor(signal.SIGTERM)
    assert container.wait() == 137
    assert container.exit_file.read_bytes() == b"137"


def test_long_bundle_path(new_container):
    """Longer than a socket's address may be."""
    container = new_container(command="echo hello")
    bundle = container.bundle
    container.bundle = container.top / ("long" * 40) / "bundle"
    container.bundle.parent.mkdir()
    bundle.rename(container.bundle)
    for option, name in (
        ("--bundle", ""),
        ("--container-pidfile", "pidfile"),
        ("--conmon-pidfile", "conmon-pidfile"),
    ):
        container.options[option] = str(container.bundle / name).rstrip("/")
    container.pidfile = container.bundle / "pidfile"
    container.monitor_pidfile = container.bundle / "conmon-pidfile"
    container.create()
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert client.output() == b"hello\n"


def test_socket_directory_of_cri_o(new_container):
    """CRI-O dials <socket-dir>/<uuid>/attach."""
    container = new_container(command="echo hello", family=CRIO)
    container.create()
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(str(container.sockets / container.cid / "attach"))
    container.start()
    container.wait()
    assert client.recv(engine.Attach.PACKET) == b"\x02hello\n"
    assert client.recv(engine.Attach.PACKET) == b""
    client.close()


@pytest.mark.parametrize("count", [10, 64])
def test_many_clients(new_container, count):
    container = new_container(command="seq 1 1000")
    container.create()
    clients = [container.attach() for _ in range(count)]
    container.start()
    engine.receive_all(*clients)
    container.wait()
    for client in clients:
        assert client.output() == k8slog.numbered(1, 1000)


def test_link_of_a_length_that_is_cut(new_container):
    """CRI-O dials at most 107 bytes, and finds a link whose last byte is missing. That link goes, too."""
    container = new_container(command="exit 5", family=CRIO)
    fill = 107 - len(f"{container.sockets}//{container.cid}")
    sockets = container.sockets / ("x" * fill)
    sockets.mkdir()
    container.options["--socket-dir-path"] = str(sockets)
    container.create()
    assert os.listdir(sockets) == [container.cid[:-1]]
    container.start()
    assert container.wait() == 5
    assert os.listdir(sockets) == []

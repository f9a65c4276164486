"""The notify proxy: what a container says of itself reaches the host's service manager, and nothing else does."""

import array
import os
import signal
import socket
import stat

import pytest

import procfs
from crashes import descriptors_at_rest, is_idle, wait_at_rest
from notify import Host, Sender, notifying
from waiting import is_readable, wait_readable

SEND = "import os, socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1])"


def test_socket(new_container):
    container = new_container(command="exit 7")
    host = notifying(container)
    path = container.bundle / "notify" / "notify.sock"
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    Sender(container).send(b"READY=1")
    assert host.receive() == b"READY=1"
    hold.let_go()
    assert container.report()["data"] > 0
    container.start()
    assert container.wait() == 7
    assert stat.S_ISSOCK(path.stat().st_mode), "engines remove it"
    assert os.listdir(path.parent) == ["notify.sock"]


def test_umask_is_what_it_was(new_container):
    container = new_container(command="exit 0")
    notifying(container)
    container.create(prepare=lambda: os.umask(0o077))
    assert container.monitor.status()["Umask"] == "0022"
    assert stat.S_IMODE((container.bundle / "ctl").stat().st_mode) == 0o640


@pytest.mark.parametrize("stale", ["socket", "file"])
def test_stale_socket_is_replaced(new_container, stale):
    container = new_container(command="exit 0")
    host = notifying(container)
    path = container.bundle / "notify" / "notify.sock"
    if stale == "file":
        path.write_text("stale")
    else:
        container._keep(Host(str(path)))
    container.create()
    Sender(container).send(b"READY=1")
    assert host.receive() == b"READY=1"


def test_long_path(new_container):
    container = new_container(command="exit 0")
    bundle = container.top / ("b" * 200)
    container.bundle.rename(bundle)
    container.bundle = bundle
    container.plan = bundle / "stub"
    container.options["--bundle"] = str(bundle)
    container.options["--container-pidfile"] = str(bundle / "pidfile")
    container.options["--conmon-pidfile"] = container.monitor_pidfile = bundle / "conmon-pidfile"
    host = notifying(container)
    container.create()
    Sender(container).send(b"READY=1")
    assert host.receive() == b"READY=1"


def test_abstract_host(new_container):
    container = new_container(command="exit 0")
    host = notifying(container, f"@conward-test-{os.getpid()}")
    container.create()
    Sender(container).send(b"READY=1")
    assert host.receive() == b"READY=1"


PASSED = [
    (b"READY=1", b"READY=1"),
    (b"READY=1\n", b"READY=1"),
    (b"RELOADING=1\nMONOTONIC_USEC=12345", b"RELOADING=1\nMONOTONIC_USEC=12345"),
    (b"STOPPING=1", b"STOPPING=1"),
    (b"WATCHDOG=1\nWATCHDOG=trigger", b"WATCHDOG=1\nWATCHDOG=trigger"),
    (b"STATUS=two words \xff\tand = more", b"STATUS=two words \xff\tand = more"),
    (b"STATUS=", b"STATUS="),
    (b"ERRNO=2\r\nBUSERROR=org.freedesktop\r\n", b"ERRNO=2\nBUSERROR=org.freedesktop"),
    (b"EXTEND_TIMEOUT_USEC=10000000", b"EXTEND_TIMEOUT_USEC=10000000"),
    (b"MAINPID=1\nREADY=1\nFDSTORE=1\nBARRIER=1\n\nSTATUS=up", b"READY=1\nSTATUS=up"),
    (b"READY=1\0STATUS=behind the end", b"READY=1"),
    (b"STATUS=" + b"x" * 4089, b"STATUS=" + b"x" * 4089),
    (b"READY=1\nSTATUS=" + b"x" * 5000 + b"\nSTOPPING=1", b"READY=1"),
    (b"STATUS=first\n" * 10000, b"\n".join([b"STATUS=first"] * 315)),
]
NOT_PASSED = [
    b"",
    b"\0READY=1",
    b"MAINPID=1",
    b"FDSTORE=1",
    b"BARRIER=1",
    b"WATCHDOG_USEC=1",
    b"WATCHDOG=2",
    b"READY=0",
    b"READY=10",
    b" READY=1",
    b"ready=1",
    b"XSTATUS=x",
    b"STATUS",
    b"X=" + b"x" * 100000,
    b"STATUS=" + b"x" * 4090,
    b"\n\r\n",
]


def test_filter(new_container):
    """One datagram becomes one, or none."""
    container = new_container(command="exit 0")
    host = notifying(container)
    container.create()
    sender = Sender(container)
    for sent, passed in PASSED:
        sender.send(sent)
        assert host.receive() == passed, sent[:80]
    for sent in NOT_PASSED:
        sender.send(sent)
        sender.send(b"STATUS=next")
        assert host.receive() == b"STATUS=next", sent[:80]
    assert not is_readable(host.socket.fileno())


def test_sender_is_the_monitor(new_container):
    """Service managers look at who it is."""
    container = new_container(command="exit 0")
    host = notifying(container)
    host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    container.create()
    Sender(container).send(b"READY=1")
    wait_readable(host.socket.fileno(), "a notification")
    _, ancillary, _, _ = host.socket.recvmsg(100, 100)
    assert array.array("i", ancillary[0][2])[0] == container.monitor.pid


def test_descriptors_are_closed(new_container):
    container = new_container(command="exit 0")
    host = notifying(container)
    container.create()
    sender = Sender(container)
    sender.send(b"READY=1")
    assert host.receive() == b"READY=1"
    before = descriptors_at_rest(container.monitor.pid)
    reader, writer = os.pipe()
    sender.send_descriptors(b"FDSTORE=1\nBARRIER=1", *[writer] * 200)
    sender.send_descriptors(b"READY=1", writer)
    os.close(writer)
    wait_readable(reader, "the end of a pipe that has been passed")
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert host.receive() == b"READY=1"
    assert descriptors_at_rest(container.monitor.pid) == before


def test_full_host(new_container):
    """What the host does not take now waits, and then the container waits; nothing spins, nothing is lost."""
    container = new_container(command="echo hello; exit 7")
    host = notifying(container)
    container.create()
    sender = Sender(container)
    sent = 0
    while sent < (sent := sender.fill(sent)):
        wait_at_rest(container.monitor.pid)
    assert all(is_idle(container.monitor.pid) for _ in range(200)), "the monitor has something to do"
    assert [host.receive() for _ in range(sent)] == [b"STATUS=%d" % number for number in range(sent)]
    sender.socket.setblocking(True)
    sender.send(b"STOPPING=1")
    assert host.receive() == b"STOPPING=1"
    container.start()
    assert container.wait() == 7
    assert container.output() == b"hello\n"


def test_host_that_was_full(new_container):
    """What finds no room is sent later, and is not the last that is sent."""
    container = new_container(command="exit 0")
    host = notifying(container)
    container.create()
    sender = Sender(container)
    sent = 0
    while sent < (sent := sender.fill(sent, b"READY=1")):
        wait_at_rest(container.monitor.pid)
    for _ in range(sent):
        assert host.receive() == b"READY=1"
    sender.socket.setblocking(True)
    sender.send(b"READY=1")
    assert host.receive() == b"READY=1"


def test_full_host_does_not_delay_the_end(new_container):
    container = new_container(command="echo hello; exit 7")
    notifying(container)
    container.create()
    Sender(container).fill()
    container.start()
    assert container.wait() == 7
    assert container.output() == b"hello\n"


@pytest.mark.parametrize("left", ["nothing", "file"])
def test_host_that_is_gone(new_container, left):
    """What is sent meanwhile is lost; what is sent to the next one is not."""
    container = new_container(command="exit 0")
    if left == "file":
        notifying(container).close()
    else:
        notifying(container, bind=False)
    container.create()
    sender = Sender(container)
    for _ in range(100):
        sender.send(b"STATUS=to nobody")
    sender.wait_taken()
    (container.top / "host").unlink(missing_ok=True)
    host = container._keep(Host(str(container.top / "host")))
    sender.send(b"READY=1")
    assert host.receive() == b"READY=1"


def test_host_that_is_replaced(new_container):
    container = new_container(command="exit 0")
    old = notifying(container)
    container.create()
    sender = Sender(container)
    sender.send(b"READY=1")
    assert old.receive() == b"READY=1"
    (container.top / "host").unlink()
    new = container._keep(Host(str(container.top / "host")))
    sender.send(b"STATUS=new")
    assert new.receive() == b"STATUS=new"
    assert not is_readable(old.socket.fileno())


def test_host_that_goes_while_it_is_full(new_container):
    container = new_container(command="exit 0")
    host = notifying(container)
    container.create()
    sender = Sender(container)
    sender.fill()
    host.close()
    sender.wait_taken()
    (container.top / "host").unlink()
    host = container._keep(Host(str(container.top / "host")))
    sender.send(b"STOPPING=1")
    assert host.receive() == b"STOPPING=1"


def test_last_words(new_container):
    """Whatever the container has sent before its end, though nobody looked in time."""
    script = f"""python3 -c '{SEND}; [s.send(b"STATUS=%d" % i) for i in range(5)]; s.send(b"STOPPING=1")' \
        notify/notify.sock; exit 7"""
    container = new_container(command=script)
    host = notifying(container)
    container.create()
    container.pause_monitor()
    container.start()
    container.wait_dead()
    container.resume_monitor()
    assert container.wait() == 7
    assert [host.receive() for _ in range(6)] == [b"STATUS=%d" % i for i in range(5)] + [b"STOPPING=1"]


def test_as_long_as_the_monitor_lives(new_container):
    container = new_container(command="exit 7")
    host = notifying(container)
    hold = container.hold_exit_command()
    container.create()
    sender = Sender(container)
    container.start()
    hold.wait()
    sender.send(b"STATUS=late")
    assert host.receive() == b"STATUS=late"
    hold.let_go()
    assert container.wait() == 7


def test_not_inherited(new_container):
    container = new_container(command="exec sleep 1000")
    notifying(container)
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    assert set(procfs.Process(hold.wait()).descriptors()) == {0, 1, 2}


def refused(container, why):
    hold = container.hold_runtime()
    text = container.create_fails()
    assert why in text
    assert container.line() == b""
    assert container.wait() == 1
    assert not hold.reached(), "the runtime has been started"
    assert os.listdir(container.exits) == []
    assert not os.path.lexists(container.bundle / "attach")


def test_no_directory(new_container):
    container = new_container()
    container.options["--sdnotify-socket"] = "/nowhere"
    refused(container, f"Cannot open the directory {container.bundle}/notify, which --sdnotify-socket needs: No such file")


def test_host_with_a_name_that_is_too_long(new_container):
    container = new_container()
    (container.bundle / "notify").mkdir()
    name = "/" + "x" * 107
    container.options["--sdnotify-socket"] = name
    refused(container, f"Cannot use the notify socket {name}: File name too long")


def test_longest_name(new_container):
    """One byte less; there is nobody, but that is no error."""
    container = new_container(command="exit 7")
    (container.bundle / "notify").mkdir()
    container.options["--sdnotify-socket"] = "/" + "x" * 106
    container.create()
    sender = Sender(container)
    sender.send(b"READY=1")
    sender.wait_taken()
    container.start()
    assert container.wait() == 7


def test_no_host(new_container):
    """As a script makes it of a variable that is not set."""
    container = new_container(command="exit 7")
    container.options["--sdnotify-socket"] = ""
    assert container.run() == 7


def let_go_of_stderr():
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)


def test_with_log_driver_passthrough(new_container):
    container = new_container(command="exit 7")
    host = notifying(container)
    container.options["--log-path"] = "passthrough"
    container.create(prepare=let_go_of_stderr)
    Sender(container).send(b"READY=1")
    assert host.receive() == b"READY=1"
    container.start()
    assert container.wait() == 7


def test_signals_reach_the_container(new_container):
    container = new_container(command="trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done")
    host = notifying(container)
    container.create()
    Sender(container).send(b"READY=1")
    assert host.receive() == b"READY=1"
    container.start()
    container.wait_log(b"ready")
    container.signal_monitor(signal.SIGTERM)
    assert container.wait() == 9

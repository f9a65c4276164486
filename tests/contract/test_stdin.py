"""The container's standard input: what attach clients send, in order and complete, however slowly it is read, and when
it ends. Input through a terminal is in test_terminal.py."""

import hashlib
import os
import shlex

import pytest

import engine
import k8slog
from engine import CRIO, PODMAN
from interactive import (
    MEBIBYTE,
    assert_asleep,
    attach_now,
    fill,
    peak_memory,
    script_of,
    wait_gone,
    wait_script,
)
from waiting import is_readable, wait_until

GROWTH_MOST = 4096  # KiB of memory; far less than what goes through in the tests that look at it

SLOW_READER = """
import hashlib, sys, time
seen = hashlib.sha256()
while data := sys.stdin.buffer.raw.read(49999):
    seen.update(data)
    time.sleep(0.0005)
print(seen.hexdigest())
"""


@pytest.fixture
def new_open(new_container):
    """Makes containers with a standard input."""

    def new(command, **kwargs):
        container = new_container(command=command, **kwargs)
        container.options["--stdin"] = True
        return container

    return new


# Bytes


def test_every_byte_in_order(new_open):
    data = os.urandom(1_500_000)
    container = new_open("cat > got; exit 5")
    container.create()
    client = container.attach()
    container.start()
    for size in (1, 2, 4095, 4096, 4097, 8193, 32768):
        client.send(data[:100_000] if size > 2 else data[:100], size)
    client.send(data)
    client.half_close()
    engine.receive_all(client)
    assert container.wait() == 5
    assert script_of(container, "got") == data[:100] * 2 + data[:100_000] * 5 + data


@pytest.mark.parametrize("size", [32768 + 16, 65535, 65536], ids=str)
def test_large_packets(new_open, size):
    """Podman puts the beginning of a detach sequence before a packet of 32 KiB."""
    data = os.urandom(20 * size)
    container = new_open("cat > got; exit 5")
    container.create()
    client = container.attach()
    container.start()
    client.send(data, size)
    client.half_close()
    assert container.wait() == 5
    assert script_of(container, "got") == data


def test_input_comes_as_it_is_sent(new_open):
    container = new_open("while read line; do echo got $line; done; exit 5")
    container.create()
    client = container.attach()
    container.start()
    for number in range(20):
        client.send(b"%d\n" % number)
        client.receive_until(b"got %d\n" % number)
    client.half_close()
    engine.receive_all(client)
    assert container.wait() == 5


def test_several_clients(new_open):
    """Packets of several clients are merged, those of each in order, and none is torn."""
    container = new_open("cat > got; exit 5")
    container.create()
    clients = {name: container.attach() for name in (b"a", b"b", b"c")}
    container.start()
    count = 2000
    for number in range(count):
        for name, client in clients.items():
            client.send(b"%s %d\n" % (name, number))
    wait_until(lambda: script_of(container, "got").count(b"\n") == 3 * count, "all lines")
    clients[b"a"].close()
    assert container.wait() == 5
    lines = script_of(container, "got").splitlines()
    for name in clients:
        assert [line for line in lines if line.startswith(name)] == [b"%s %d" % (name, i) for i in range(count)]


@pytest.mark.parametrize("size", [1_500_000, 32_000_000], ids=str)
def test_slow_reader(new_open, size):
    """The sender waits. Memory does not grow, and nothing is lost."""
    data = os.urandom(size)
    container = new_open("exec /usr/bin/python3 -I reader")
    (container.bundle / "reader").write_text(SLOW_READER)
    container.create()
    before = peak_memory(container)
    client = container.attach()
    container.start()
    client.send(data)
    assert peak_memory(container) - before < GROWTH_MOST
    client.half_close()
    engine.receive_all(client)
    assert container.wait() == 0
    assert client.output() == hashlib.sha256(data).hexdigest().encode() + b"\n"


def test_slow_reader_is_no_news(new_open, dev_log):
    """That there is no room for a while is not worth a word in the system's log, or there would be no end of them."""
    receiver, start = dev_log
    container = new_open("exec /usr/bin/python3 -I reader")
    (container.bundle / "reader").write_text(SLOW_READER)
    container.options["--syslog"] = True
    monitor = container.top / "monitor"
    monitor.write_text(f'#!/bin/sh\nexec {shlex.join([*start, container.program])} "$@"\n')
    monitor.chmod(0o755)
    container.program = str(monitor)
    container.create()
    client = container.attach()
    container.start()
    for number in range(50):
        client.send(bytes(32768))
        assert not is_readable(receiver.fileno()), receiver.recv(65536)
    client.half_close()
    engine.receive_all(client)
    assert container.wait() == 0
    assert not is_readable(receiver.fileno()), receiver.recv(65536)


def test_reader_that_waits(new_open):
    """What it does not read yet is kept up to a limit. The monitor sleeps meanwhile: it does not try again and
    again."""
    container = new_open("echo ready; read word < go; cat > got; exit 5")
    go = container.fifo("go")
    container.create()
    before = peak_memory(container)
    client = container.attach()
    container.start()
    client.receive_until(b"ready")
    sent = fill(client)
    assert_asleep(container)
    assert peak_memory(container) - before < GROWTH_MOST
    os.write(go, b"\n")
    client.send(b"the end")
    client.half_close()
    assert container.wait() == 5
    assert script_of(container, "got") == sent + b"the end"


def test_latecomer_waits_its_turn(new_open):
    """What comes while there is no room comes after what was there before, also from clients that have gone since."""
    container = new_open("echo ready; read word < go; cat > got; exit 5")
    container.options["--leave-stdin-open"] = True
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready")
    sent = fill(client)
    for number in range(10):
        other = attach_now(container)
        other.send(b"late\n")
        other.close()
    assert_asleep(container)
    os.write(go, b"\n")
    wait_until(lambda: len(script_of(container, "got")) >= len(sent) + 50, "all input")
    got = script_of(container, "got")
    assert got.count(b"late\n") == 10
    assert got.replace(b"late\n", b"") == sent
    os.kill(container.pid, 9)
    assert container.wait() == 137


# Before the container runs


@pytest.mark.parametrize("when", ["while the runtime runs", "before the start"])
def test_input_before_the_start(new_open, when):
    data = os.urandom(100_000)
    container = new_open("cat > got; exit 5")
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    if when == "while the runtime runs":
        client = container.attach()
        client.send(data)
        client.half_close()
    hold.let_go()
    container.pid = container.report()["data"]
    if when == "before the start":
        client = container.attach()
        client.send(data)
        client.half_close()
    assert_asleep(container)
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert script_of(container, "got") == data


def test_without_stdin_it_is_empty(new_container):
    container = new_container(command="cat > got; exit 5")
    container.create()
    client = container.attach()
    client.send(b"hello\n")
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert script_of(container, "got") == b""


# The end of the input: the rule at the top of attach.h

LINK = {PODMAN: False, CRIO: True}


def is_end(family, early, sent, half_close):
    return sent or early or (half_close and LINK[family])


def leave(container, client, half_close):
    before = len(container.monitor.descriptors())
    if half_close:
        client.half_close()
    else:
        client.close()
        wait_gone(container, before - 1)


def check_open(container):
    """The input of somebody else still arrives. The second line is sent when the first has been through: whatever the
    monitor knew before that has had its effect."""
    other = container.attach()
    for line in (b"later", b"and later still"):
        other.send(line + b"\n")
        wait_script(container, "got", line)
    assert not (container.bundle / "ended").exists()
    os.kill(container.pid, 9)
    assert container.wait() == 137


@pytest.mark.parametrize("mode", ["--stdin", "--leave-stdin-open", "--terminal"])
@pytest.mark.parametrize("half_close", [True, False], ids=["half-close", "close"])
@pytest.mark.parametrize("sent", [True, False], ids=["sent", "silent"])
@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
@pytest.mark.parametrize("family", [PODMAN, CRIO], ids=["full-attach", "link"])
def test_who_ends_the_input(new_open, family, early, sent, half_close, mode):
    container = new_open("touch started; cat > got; touch ended; exit 5", family=family)
    container.options[mode] = True
    container.create()
    if early:
        client = attach_now(container)
    container.start()
    wait_until((container.bundle / "started").exists, "the container to run")
    if not early:
        client = attach_now(container)
    if sent:
        client.send(b"sent\n")
        wait_script(container, "got", b"sent\n")
    leave(container, client, half_close)
    if mode == "--stdin" and is_end(family, early, sent, half_close):
        assert container.wait() == 5
        assert script_of(container, "got") == (b"sent\n" if sent else b"")
    else:
        check_open(container)


@pytest.mark.parametrize("half_close", [True, False], ids=["half-close", "close"])
def test_queued_input_comes_before_the_end(new_open, half_close):
    """Nobody reads yet when the client leaves."""
    container = new_open("echo ready; read word < go; cat > got; exit 5")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready")
    sent = fill(client)
    if half_close:
        client.half_close()
    else:
        client.close()
    os.write(go, b"\n")
    assert container.wait() == 5
    assert script_of(container, "got") == sent


def test_input_after_the_end(new_open):
    """It goes nowhere, the sender does not have to wait, and output is still served."""
    container = new_open("cat > got; echo ended; read word < go; seq 1 1000; exit 5")
    go = container.fifo("go")
    container.create()
    first, second = container.attach(), container.attach()
    container.start()
    first.send(b"one\n")
    first.half_close()
    second.receive_until(b"ended\n")
    second.send(bytes(3 * MEBIBYTE))
    assert_asleep(container)
    os.write(go, b"\n")
    engine.receive_all(first, second)
    assert container.wait() == 5
    assert script_of(container, "got") == b"one\n"
    for client in (first, second):
        assert client.output() == b"ended\n" + k8slog.numbered(1, 1000)


def test_container_that_closes_its_input(new_open):
    container = new_open("exec 0<&-; echo ready; read word < go; seq 1 1000; exit 5")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    client.send(bytes(3 * MEBIBYTE))
    assert_asleep(container)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5
    assert client.output() == b"ready\n" + k8slog.numbered(1, 1000)


def test_container_that_closes_its_input_when_it_is_full(new_open):
    container = new_open("echo ready; read word < go; exec 0<&-; echo closed; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    fill(client)
    client.half_close()
    os.write(go, b"\n")
    client.receive_until(b"closed\n")
    assert_asleep(container)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5


def test_container_that_never_reads(new_open):
    """Its end waits for nobody who still has input for it."""
    container = new_open("echo ready; read word < go; seq 1 1000; exit 5")
    go = container.fifo("go")
    container.create()
    clients = [container.attach(), container.attach()]
    container.start()
    for client in clients:
        client.receive_until(b"ready\n")
    fill(clients[0])
    clients[1].send(b"more")
    os.write(go, b"\n")
    engine.receive_all(*clients)
    assert container.wait() == 5
    for client in clients:
        assert client.output() == b"ready\n" + k8slog.numbered(1, 1000)


# Several clients


def test_who_only_watches_ends_nothing(new_open):
    """`podman attach --no-stdin` half-closes at once."""
    container = new_open("while read line; do echo got $line; done; exit 5")
    container.create()
    interactive = container.attach()
    container.start()
    interactive.send(b"one\n")
    interactive.receive_until(b"got one\n")
    watcher = container.attach()
    watcher.half_close()
    for line in (b"two", b"three"):
        interactive.send(line + b"\n")
        for client in (interactive, watcher):
            client.receive_until(b"got " + line + b"\n")
    watcher.close()
    interactive.send(b"four\n")
    interactive.receive_until(b"got four\n")
    interactive.half_close()
    engine.receive_all(interactive)
    assert container.wait() == 5


@pytest.mark.parametrize("option", ["--leave-stdin-open", None], ids=["with-input", "without-input"])
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "talking"])
def test_clients_leave_nothing_behind(new_container, option, silent):
    container = new_container(command="echo ready; read word < go; exit 5")
    if option is not None:
        container.options["--stdin"] = True
        container.options[option] = True
    go = container.fifo("go")
    container.create()
    staying = attach_now(container)
    container.start()
    staying.receive_until(b"ready")
    before = len(container.monitor.descriptors())
    memory = None
    for number in range(1000):
        client = container.attach()
        if not silent:
            client.send(b"hello\n")
        if number % 2:
            client.half_close()
        client.close()
        if number == 100:
            wait_gone(container, before)
            memory = peak_memory(container)
    wait_gone(container, before)
    assert peak_memory(container) - memory < GROWTH_MOST
    assert_asleep(container)
    os.write(go, b"\n")
    engine.receive_all(staying)
    assert container.wait() == 5


def test_client_without_input_stays_served(new_container):
    """Its packets are taken, one after the other, though nobody wants them, and its end is seen."""
    container = new_container(command="echo ready; read word < go; echo more; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    before = len(container.monitor.descriptors())
    client = attach_now(container)
    container.start()
    client.receive_until(b"ready\n")
    client.send(bytes(3 * MEBIBYTE))
    os.write(go, b"\n")
    client.receive_until(b"more\n")
    client.send(bytes(3 * MEBIBYTE))
    client.close()
    wait_gone(container, before)
    os.write(go, b"\n")
    assert container.wait() == 5


# Input and output do not wait for each other


def test_output_while_input_is_blocked(new_open):
    container = new_open("echo ready; read word < go; seq 1 100000; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    fill(client)
    os.write(go, b"\n")
    client.receive_until(b"\n100000\n")
    assert client.output() == b"ready\n" + k8slog.numbered(1, 100000)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5


def test_input_while_output_is_blocked(new_open):
    data = os.urandom(1_500_000)
    container = new_open("exec 3<&0; seq 1 300000 & cat <&3 > got; touch ended; wait; exit 5")
    container.without_spool()
    container.create()
    client = container.attach()
    container.start()
    sent = 0
    while sent < len(data):  # without a look at the output
        sent += client.socket.send(data[sent : sent + 32768])
    client.half_close()
    wait_until((container.bundle / "ended").exists, "the end of the input")
    assert not is_readable(container.monitor_pidfd)
    engine.receive_all(client)
    assert container.wait() == 5
    assert script_of(container, "got") == data
    assert client.output() == k8slog.numbered(1, 300000)

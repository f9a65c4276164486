"""Clients that send, and what shows that their input has arrived or that somebody waits."""

import time

import k8slog
from crashes import is_idle, wait_at_rest
from waiting import wait_until

MEBIBYTE = 1 << 20
QUEUED_MOST = MEBIBYTE  # of what a container does not read: a pipe, the monitor's ring, a socket


def script_of(container, name):
    """What the container's script has written to a file in the bundle until now."""
    path = container.bundle / name
    return path.read_bytes() if path.exists() else b""


def wait_script(container, name, text):
    wait_until(lambda: text in script_of(container, name), f"{text!r} in the file {name!r} of the container")


def attach_now(container):
    """A client that the monitor has already accepted."""
    wait_at_rest(container.monitor.pid)
    before = len(container.monitor.descriptors())
    client = container.attach()
    wait_until(lambda: len(container.monitor.descriptors()) > before, "the client to be accepted")
    return client


def wait_gone(container, before):
    """Waits until the monitor has no more descriptors than before."""
    wait_until(lambda: len(container.monitor.descriptors()) <= before, "a client's descriptor to close")


def peak_memory(container):
    return int(container.monitor.status()["VmHWM"].split()[0])


def wakeups(process):
    """How often it has had the processor."""
    status = process.status()
    return int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])


def assert_asleep(container):
    """Nothing wakes the monitor up. It has all the time it may need to fall asleep."""
    process = container.monitor

    def sleeps():
        before = wakeups(process)
        time.sleep(0.2)
        return wakeups(process) == before and is_idle(process.pid)

    wait_until(sleeps, "the monitor to sleep")


def fill(client):
    """Sends numbered lines until nobody takes any more; returns what was taken."""
    taken = b""
    number = 0
    quiet = 0
    while quiet < 50:
        packet = k8slog.numbered(number, number + 999)
        if client.send_some(packet):
            taken += packet
            number += 1000
            quiet = 0
        else:
            quiet += 1
            time.sleep(0.01)
        assert len(taken) <= QUEUED_MOST, "there is no end to what is taken of a container that reads nothing"
    return taken

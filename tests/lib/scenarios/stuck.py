"""Monitors that crash again and again, or find something else than they have left."""

import os
import signal

from crashes import HeldFault, Witness, spoil
from fault_points import all_points, function
from scenarios.life import whole_life
from waiting import wait_until

STUCK = 5  # so many faults without any progress in between are the end


def crashed_before_the_start(play):
    """It is told to the engine, and undone, by the next image."""
    point = next(point for point in all_points() if function(point) == "fds_add")
    if not (play.faults / point).exists():  # else it is where the test wants a crash
        (play.faults / point).write_text("3\n")
    whole_life(play)


def crash_when_taking_over(play, container):
    """From now on, each image crashes before it has done anything, until the limit of such crashes is long passed."""
    point = next(point for point in all_points() if function(point) == "attach_adopt")
    (play.faults / point).write_text(f"-{2 * STUCK}\n")
    os.kill(container.monitor.pid, signal.SIGSEGV)
    wait_until(lambda: (play.faults / point).read_text().strip() == "0", "the last crash")


def refused_descriptor(play):
    """The next image finds another file where the control fifo must be, and does without."""
    container = play.container(command="echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    container.wait_log(b"one")
    fault = HeldFault(container.monitor.pid)
    descriptors = container.monitor.descriptors().items()
    spoil(container.monitor.pid, next(number for number, name in descriptors if name.endswith("/ctl")))
    fault.let_go()
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\ntwo\n"


def stuck_at_the_start(play):
    container = play.container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    crash_when_taking_over(play, container)
    assert container.report()["data"] == -1
    assert container.wait() == 1


def stuck_at_the_log(play):
    """Not even the last output can be taken: the report alone is left."""
    container = play.container(command="echo hello; read word < go")
    container.fifo("go")
    point = min(point for point in all_points() if function(point) == "set_flush")
    (play.faults / point).write_text("-100\n")
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(255, reported=-1)
    assert container.output() == b"hello\n"


def stuck_at_the_end(play):
    container = play.container(command="exit 7")
    hold = container.hold_exit_command()
    witness = Witness(container)
    play.create(container)
    container.start()
    hold.wait()
    crash_when_taking_over(play, container)
    hold.let_go()
    witness.check(7)

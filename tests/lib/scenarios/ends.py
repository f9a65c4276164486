"""Ends that come otherwise than by themselves, or are waited for."""

import signal

from crashes import Witness
from waiting import wait_until


def timeout(play):
    container = play.container(command="echo hello; : > said; read word < go")
    container.fifo("go")
    container.options["--timeout"] = "1"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(255, reported=-1)
    # A slow machine may not let it say anything in that time.
    assert container.output() == b"hello\n" or not (container.bundle / "said").exists()


def hurried(play):
    """The exit command has to wait, until somebody becomes impatient."""
    container = play.container(command="exit 7")
    container.options["--exit-delay"] = "1000"
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    container.signal_monitor(signal.SIGTERM)
    witness.check(7)


def hurried_cleanup(play):
    """The exit command runs already, and is left alone."""
    container = play.container(command="exit 7")
    hold = container.hold_exit_command()
    witness = Witness(container)
    play.create(container)
    container.start()
    hold.wait()
    container.signal_monitor(signal.SIGTERM)
    wait_until(lambda: signal.SIGTERM not in container.monitor.signals("ShdPnd"), "the signal to be taken")
    hold.let_go()
    witness.check(7)

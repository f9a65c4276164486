"""To see what a monitor does in which order where nothing tells the order of two things: who hears of the first one looks
for the second before the monitor has gone on."""

import contextlib
import os


def step_back():
    """For a child that is about to execute the monitor: it and its children run on the processor that we have under
    one_processor(), and hardly when anybody else wants it. So what wakes us mostly stops the monitor, too; SCHED_IDLE
    would make that sure, but a busy machine would never let it end."""
    os.nice(19)


@contextlib.contextmanager
def one_processor():
    """For as long as such a monitor is looked at; it inherits this from us."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

"""Crashes the monitor of a container again and again, and sees that it goes on:

    storm.py PID LOG

Ten fatal signals that are sent, ten real faults, in any order. After each of them the same process has to write more
to LOG, and in the end it has to look as it did before.

    storm.py PID

Twenty fatal signals, whatever the monitor does meanwhile, and a line on stdout after each; less if it ends.

$FAULT is fault.c as built (default: in build/tests). Standard error says which seed it begins with: $TEST_SEED, or any."""

import os
import pathlib
import random
import sys
import time

import procfs
from crashes import FATAL, appearance, check_appearance, crash
from waiting import wait_until

PAUSE = 0.05  # seconds; the longest pause between two crashes that wait for nothing


def crashes_of_a_printer(pid, log):
    """Faults that come before the monitor has got any further or has found nothing to do are its end, by design."""
    monitor = procfs.Process(pid)
    kinds = 10 * ["fault"] + FATAL + random.choices(FATAL, k=10 - len(FATAL))
    random.shuffle(kinds)
    before = appearance(pid)
    for kind in kinds:
        crash(pid, kind)
        size = log.stat().st_size
        wait_until(lambda: log.stat().st_size > size or not monitor.alive(), "output after a crash")
        assert monitor.alive(), f"the monitor did not survive {kind!r}"
    check_appearance(pid, before)


def crashes_around_an_end(pid):
    try:
        for _ in range(20):
            time.sleep(random.uniform(0, PAUSE))
            crash(pid, "signal")
            print("crashed", flush=True)
    except ProcessLookupError:
        pass  # it has ended between two looks at it


if __name__ == "__main__":
    seed = os.environ.get("TEST_SEED", str(random.SystemRandom().randrange(1 << 32)))
    random.seed(seed)
    print(f"TEST_SEED={seed}", file=sys.stderr)
    if len(sys.argv) == 3:
        crashes_of_a_printer(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
    else:
        crashes_around_an_end(int(sys.argv[1]))

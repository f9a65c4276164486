"""What a monitor must not leave behind when it has ended by itself: only SIGKILL and its like excuse it."""

import os
import pathlib

import procfs

PAGES = pathlib.Path("/run/conward")


def of_files(pid, own_pages, tmp):
    """What is left of its page and the fifo beside it, which who is not root has in a directory of its own, and of the
    socket for a terminal."""
    return [*PAGES.glob(f"{pid}-*"), *own_pages.glob(f"{pid}-*"), *tmp.glob("conward-??????")]


def of_renames(*directories):
    """What was to get its real name. It makes no links."""
    found = (path for directory in set(directories) for path in directory.glob("*.tmp"))
    return [path for path in found if not path.is_symlink()]


def of_processes(program, mark):
    """What it has forked, and has neither become another program nor ended."""
    left = []
    for pid in procfs.with_environment(mark):
        try:
            if os.readlink(f"/proc/{pid}/exe") == os.path.realpath(program):
                left.append(f"process {pid}")
        except OSError:
            continue
    return left


def check(left):
    assert not left, f"the monitor has left behind: {', '.join(map(str, left))}"

"""A cgroup of its own, in each hierarchy of the machine, for who runs what shall leave nothing behind there."""

import errno
import os
import pathlib

from namespaces import NEW_CGROUP, cover, unshare
from waiting import wait_until


def _mounts():
    """Of hierarchies: each as (what is mounted, where, what names it in /proc/PID/cgroup)."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        root, place = mount.split()[3:5]
        kind, _, options = source.split()[:3]
        if kind in ("cgroup", "cgroup2"):
            yield root.rstrip("/"), pathlib.Path(place), set(options.split(",")) if kind == "cgroup" else {""}


def _hierarchies():
    """Those with our own cgroup in what is mounted: each as (where, the directory of our cgroup, is it version 2)."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for root, place, names in _mounts():
            if set(controllers.split(",")) <= names and f"{path}/".startswith(f"{root}/"):
                yield place, place / path[len(root) :].strip("/"), not controllers


def _make(directory):
    directory.mkdir()
    if not (directory / "cgroup.controllers").exists():
        # In version 1, no process can be in it before these are set.
        for setting in directory.glob("cpuset.[cm][pe][um]s"):
            setting.write_text((directory.parent / setting.name).read_text())


def _enter(directory):
    """Returns whether that was possible."""
    try:
        (directory / "cgroup.procs").write_text("0")
        return True
    except OSError:
        return False


def _remove(directory):
    """Returns whether it is gone, with all that is below it."""
    try:
        for path, _, _ in os.walk(directory, topdown=False):
            os.rmdir(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    return not directory.exists()


class Cgroups:
    def __init__(self):
        """Where one cannot be made, what runs here can make none either."""
        self._made = {}  # where the hierarchy is mounted: the directory
        self.name = f"conward-tests-{os.urandom(8).hex()}"
        for place, own, is_version_2 in _hierarchies():
            # In version 2, a cgroup with processes, as ours is, has no controllers for those below it.
            directory = (place if is_version_2 else own) / self.name
            try:
                _make(directory)
                self._made[place] = directory
            except OSError:
                continue

    def enter(self):
        """For a process in a mount namespace of its own: to it and all it starts they are the roots of the hierarchies."""
        entered = {place: directory for place, directory in self._made.items() if _enter(directory)}
        unshare(NEW_CGROUP)
        for place, directory in entered.items():
            if (directory / "cgroup.controllers").exists():
                (directory / "tests").mkdir()
                _enter(directory / "tests")
            cover(place, directory)

    def remove(self):
        """As soon as nothing runs there any more."""
        for directory in self._made.values():
            wait_until(lambda: _remove(directory), f"{directory} to be removed")

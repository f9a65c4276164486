"""A node with settings of its own: files in the place of /etc/conward and of those that came with the program, for who
enters it. Nothing of the machine changes: the places are covered in a mount namespace.

    node = Node(directory)
    node.conf.write_text("[conward]\\nlog-line-max = 300\\n")
    container.launch(prepare=node.enter)
"""

import os
import pathlib
import shutil

from namespaces import NEW_MOUNTS, NEW_USER, cover, keep_mounts_private, unshare

ETC = pathlib.Path("/etc")
LIB = pathlib.Path("/usr/local/lib")


def unshare_mounts(rootless=False):
    """For a child that is about to execute a program: what it mounts is its own. `rootless`: as user 0 of a user
    namespace, which others than root are in any case."""
    user, group = os.geteuid(), os.getegid()
    if rootless or user != 0:
        unshare(NEW_USER | NEW_MOUNTS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            pathlib.Path("/proc/self", name).write_text(text)
    else:
        unshare(NEW_MOUNTS)
    keep_mounts_private()


class Node:
    def __init__(self, top, rootless=False):
        """`rootless`: as for a rootless engine, which is user 0 of a user namespace."""
        self._etc = pathlib.Path(top) / "etc"
        self._lib = pathlib.Path(top) / "lib"
        self._rootless = rootless
        self.directory = self._etc / "conward/conward.conf.d"
        self.directory.mkdir(parents=True)
        self.conf = self._etc / "conward/conward.conf"
        self.vendor = self._lib / "conward/conward.conf"
        self.vendor.parent.mkdir(parents=True)
        if (ETC / "ld.so.cache").exists():
            shutil.copy(ETC / "ld.so.cache", self._etc)

    def seen(self, path):
        """The path of one of its files, as who has entered sees it."""
        for inside, outside in ((self._etc, ETC), (self._lib, LIB)):
            if path.is_relative_to(inside):
                return str(outside / path.relative_to(inside))
        return str(path)

    def enter(self):
        """For a child that is about to execute a program."""
        unshare_mounts(self._rootless)
        for inside, outside in ((self._etc, ETC), (self._lib, LIB)):
            cover(outside, inside)

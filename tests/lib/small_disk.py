"""A small file system of its own for a log: a tmpfs that can be filled up and freed."""

import errno
import os
import subprocess


class SmallDisk:
    def __init__(self, directory, size=1 << 20, inodes=100):
        self.top = directory
        self._filler = directory / "filler"
        directory.mkdir()
        options = f"size={size},nr_inodes={inodes},mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small-disk", directory], check=True)

    def free_bytes(self):
        status = os.statvfs(self.top)
        return status.f_bavail * status.f_frsize

    def fill(self, leave=0):
        """Takes all room but `leave` bytes."""
        with open(self._filler, "ab") as file:
            while (size := self.free_bytes() - leave) > 0:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise  # else somebody else has taken some of it meanwhile
                file.seek(0, os.SEEK_END)

    def free(self):
        self._filler.unlink(missing_ok=True)

    def close(self):
        # Whoever still has a file open there does not keep the name.
        subprocess.run(["umount", "--lazy", self.top], check=True)

"""Namespaces and mounts, as unshare(2), setns(2) and mount(2) make them. Each function raises OSError."""

import ctypes
import os
import signal
import struct

_libc = ctypes.CDLL(None, use_errno=True)

NEW_CGROUP = 0x02000000
NEW_MOUNTS = 0x00020000
NEW_NETWORK = 0x40000000
NEW_PIDS = 0x20000000
NEW_USER = 0x10000000

_MS_NOSUID = 0x2
_MS_NODEV = 0x4
_MS_NOEXEC = 0x8
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000

_MOUNT_ATTR_RDONLY = 0x1
_SYS_MOUNT_SETATTR = 442  # as on all architectures
_AT_FDCWD = -100

_PR_SET_PDEATHSIG = 1


def _call(name, *args, path=None):
    if getattr(_libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}", path)


def unshare(flags):
    _call("unshare", flags)


def join(namespace, kind):
    """The namespace is an open file of /proc/PID/ns."""
    _call("setns", namespace, kind)


def keep_mounts_private():
    """In a mount namespace of its own: what is mounted here is not mounted elsewhere, nor the other way round."""
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)


def cover(place, directory):
    """There, the directory is seen, with all that is mounted in it."""
    _call("mount", os.fsencode(directory), os.fsencode(place), None, _MS_BIND | _MS_REC, None, path=str(place))


def mount_tmpfs(place, size, mode=0o755):
    """`size`: in bytes, at most. Devices and set-user-ID programs work in it, as on a disk."""
    options = f"size={size},mode={mode:o}".encode()
    _call("mount", b"tmpfs", os.fsencode(place), b"tmpfs", 0, options, path=str(place))


def make_read_only(place, read_only=True):
    """What is mounted there, as it is seen there; or, with False, no longer."""
    on, off = (_MOUNT_ATTR_RDONLY, 0) if read_only else (0, _MOUNT_ATTR_RDONLY)
    attributes = struct.pack("QQQQ", on, off, 0, 0)
    _call("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(place), 0, attributes, len(attributes), path=str(place))


def mount_proc():
    """That of the pid namespace this process is in."""
    _call("mount", b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None, path="/proc")


def die_with_parent():
    """The first process of a pid namespace, and with it all the others, even where the parent is killed."""
    _call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

"""A file system of its own for a log that can die: a FUSE server of a few lines, whose files are those of another
directory. When it has been killed, whatever is done with one of its files fails (ENOTCONN), fstat(2) too."""

import ctypes
import errno
import os
import signal
import struct
import subprocess
import traceback

_libc = ctypes.CDLL(None, use_errno=True)

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE = 1, 2, 3, 4, 14, 15, 16
STATFS, RELEASE, FSYNC, FLUSH, INIT, OPENDIR, RELEASEDIR = 17, 18, 20, 25, 26, 27, 29
ACCESS, CREATE, INTERRUPT, BATCH_FORGET = 34, 35, 36, 42

HEADER = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
ROOT = 1
REQUEST_MOST = 1 << 20
WRITE_MOST = 128 << 10


class _Server:
    """Answers one request after the other: see linux/fuse.h."""

    def __init__(self, device, backing):
        self._device = device
        self._paths = {ROOT: backing}

    def run(self):
        while True:
            request = os.read(self._device, REQUEST_MOST)
            _, opcode, unique, node, *_ = HEADER.unpack_from(request)
            if opcode in (FORGET, INTERRUPT, BATCH_FORGET):
                continue
            try:
                answer, error = self._answer(opcode, node, request[HEADER.size :]), 0
            except OSError as failure:
                answer, error = b"", -failure.errno
            os.write(self._device, struct.pack("<IiQ", 16 + len(answer), error, unique) + answer)

    def _attributes(self, path):
        st = os.lstat(path)
        times = [int(st.st_atime), int(st.st_mtime), int(st.st_ctime), 0, 0, 0]
        rest = [st.st_mode, st.st_nlink, st.st_uid, st.st_gid, 0, 4096, 0]
        return struct.pack("<QQQQQQIIIIIIIIII", st.st_ino, st.st_size, st.st_blocks, *times, *rest)

    def _entry(self, path):
        """Nothing of it is valid for longer than this answer."""
        node = os.lstat(path).st_ino
        self._paths[node] = path
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(path)

    def _child(self, node, name):
        return os.path.join(self._paths[node], os.fsdecode(name.rstrip(b"\0")))

    def _answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 0, 0, WRITE_MOST, 1, 0, 0, 0)
        if opcode == LOOKUP:
            return self._entry(self._child(node, body))
        if opcode == CREATE:
            path = self._child(node, body[16:])
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, struct.unpack_from("<II", body)[1] & 0o777))
            return self._entry(path) + bytes(16)
        if opcode in (OPEN, OPENDIR):
            return bytes(16)
        if opcode in (GETATTR, SETATTR):  # nobody here sets any
            return struct.pack("<QII", 0, 0, 0) + self._attributes(self._paths[node])
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            with open(self._paths[node], "rb") as file:
                return os.pread(file.fileno(), size, offset)
        if opcode == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            with open(self._paths[node], "r+b") as file:
                return struct.pack("<II", os.pwrite(file.fileno(), body[40 : 40 + size], offset), 0)
        if opcode in (FLUSH, FSYNC, RELEASE, RELEASEDIR, ACCESS):
            return b""
        if opcode == STATFS:
            return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096, 0)
        raise OSError(errno.ENOSYS, "not served")


class MortalDisk:
    def __init__(self, top):
        """The files of the directory `top` are those of `top`-backing, as long as the server lives."""
        self.top = top
        self.backing = top.with_name(f"{top.name}-backing")
        top.mkdir()
        self.backing.mkdir()
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if _libc.mount(b"mortal-disk", os.fsencode(top), b"fuse", 6, options.encode()) < 0:
            os.close(device)
            raise OSError(ctypes.get_errno(), "mount a FUSE file system")
        self._server = os.fork()
        if self._server == 0:
            try:
                _Server(device, str(self.backing)).run()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(device)

    def kill(self):
        if self._server is not None:
            os.kill(self._server, signal.SIGKILL)
            os.waitpid(self._server, 0)
        self._server = None

    def remove(self):
        """What is below its place is there again: an empty directory."""
        subprocess.run(["umount", "--lazy", self.top], check=True)

    def close(self):
        self.kill()
        if os.path.ismount(self.top) or _is_dead(self.top):
            self.remove()


def _is_dead(path):
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def missing():
    """Why there can be no such disk here, or None."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    return None if os.access("/dev/fuse", os.R_OK | os.W_OK) else "there is no /dev/fuse"

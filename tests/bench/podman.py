"""Real Podman for the benchmarks, with nothing of the machine's own: store, locks, events, settings
and root file system lie in a directory that goes away."""

import os
import shutil
import subprocess

import container
from container import Broken

# cgroupfs, no network and small limits: so it also runs without systemd and in a container that
# may not raise its own limits. Locks as files: the segment in shared memory is the machine's.
SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "{runtime}"
tmp_dir = "{directory}/tmp"
"""


def missing():
    """Why Podman cannot be measured here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("podman") is None:
        return "podman is not installed"
    if runtime() is None:
        return "neither crun nor runc is installed"
    return None


def runtime():
    return next((name for name in ("runc", "crun") if shutil.which(name)), None)


class Podman:
    """Use as a context manager: leaving it removes every container and the directory."""

    def __init__(self, workload, directory):
        self._workload = workload
        self._directory = directory
        self._rootfs = f"{directory}/rootfs"
        self._number = 0
        for name in ("dev", "etc", "proc", "run", "sys", "tmp"):
            os.makedirs(f"{self._rootfs}/{name}")
        shutil.copy(workload, f"{self._rootfs}/workload")
        with open(f"{directory}/containers.conf", "w", encoding="ascii") as file:
            file.write(SETTINGS.format(runtime=runtime(), directory=directory))
        self._environment = {**os.environ, "CONTAINERS_CONF": f"{directory}/containers.conf"}

    def as_conmon(self, name, path):
        """A copy of the monitor under the file name that Podman looks for."""
        copy = f"{self._directory}/{name}/conmon"
        os.mkdir(os.path.dirname(copy))
        shutil.copy(path, copy)
        return copy

    def _call(self, conmon, words):
        command = [
            *("podman", "--storage-driver", "vfs", "--root", f"{self._directory}/store"),
            *("--runroot", f"{self._directory}/runroot", "--conmon", conmon, *words),
        ]
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=container.LIMIT,
        )
        if done.returncode != 0:
            raise Broken(f"podman {words[0]} ended with {done.returncode}: {done.stderr.decode().strip()}")

    def run(self, conmon, options, arguments):
        """podman run; returns the pid of the monitor, which is or will be a zombie of ours."""
        self._number += 1
        pidfile = f"{self._directory}/pidfile-{self._number}"
        own = ["--conmon-pidfile", pidfile, "--rootfs", self._rootfs]
        self._call(conmon, ["run", *options, *own, "/workload", *arguments])
        with open(pidfile, encoding="ascii") as file:
            return int(file.read())

    def reap(self, pid):
        """CPU seconds of the monitor's whole life, which must have ended well."""
        cpu, status = container.reap_zombie(pid, "the monitor")
        if status != 0:
            raise Broken(f"the monitor ended with {status}")
        container.reap_strays()
        return cpu

    def scan(self, log, length):
        return container.scan(self._workload, log, length)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("/bin/true", ["rm", "-f", "-a", "-t", "0"])
        except Broken:
            pass
        container.reap_strays()
        shutil.rmtree(self._directory, ignore_errors=True)

"""What the kernel says about a process: CPU time, context switches, memory.

All figures come from /proc and need no privilege for processes of the same user.
"""

import os
import re
import select
import stat


def _read(path):
    with open(path, "rb") as file:
        return file.read().decode("ascii", "replace")


def comm(pid):
    """The name of the process, or None if it is gone."""
    try:
        return _read(f"/proc/{pid}/comm").strip()
    except FileNotFoundError:
        return None


def cpu_seconds(pid):
    """User and system time of all threads, in seconds.

    schedstat counts nanoseconds where stat counts clock ticks, and it can still be read from a
    zombie, which gives the whole life of a process, without its children, to the nanosecond.
    """
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(_read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    return total / 1e9


def context_switches(pid):
    """Voluntary and involuntary context switches of all threads: how often it was woken."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        status = _read(f"/proc/{pid}/task/{task}/status")
        total += sum(int(n) for n in re.findall(r"voluntary_ctxt_switches:\s*(\d+)", status))
    return total


def _kib(text, field):
    found = re.search(rf"^{field}:\s*(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def peak_rss_kib(pid):
    """The most resident memory it ever had, mapped files and shared memory included."""
    return _kib(_read(f"/proc/{pid}/status"), "VmHWM")


def unmapped_shared_kib(pid):
    """Pages of memfds it holds open that no mapping of its own shows.

    Such pages are memory like any other, but RSS and smaps only know what is mapped and touched.
    """
    files = {}
    directory = f"/proc/{pid}/fd"
    for number in os.listdir(directory):
        try:
            target = os.readlink(f"{directory}/{number}")
            status = os.stat(f"{directory}/{number}")
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and target.startswith("/memfd:"):
            files[status.st_ino] = status.st_blocks * 512 // 1024
    mapped = dict.fromkeys(files, 0)
    inode = None
    for line in _read(f"/proc/{pid}/smaps").splitlines() if files else []:
        mapping = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+)", line)
        if mapping:
            inode = int(mapping.group(1))
        elif inode in mapped and line.startswith("Rss:"):
            mapped[inode] += int(line.split()[1])
    return sum(max(0, size - mapped[inode]) for inode, size in files.items())


def own_kib(pid):
    """Memory that it made itself: neither programs nor libraries, of which the kernel maps more or less around each page
    that is used. What is on a memfd counts."""
    status = _read(f"/proc/{pid}/status")
    return _kib(status, "RssAnon") + _kib(status, "RssShmem") + unmapped_shared_kib(pid)


def private_kib(pid):
    """Memory that would come back if only this process ended, memfd pages included."""
    rollup = _read(f"/proc/{pid}/smaps_rollup")
    private = _kib(rollup, "Private_Clean") + _kib(rollup, "Private_Dirty")
    return private + _kib(rollup, "Private_Hugetlb") + unmapped_shared_kib(pid)


def most(pid, done):
    """Looks at it until the descriptor `done` can be read: (its peak RSS with what is on memfds, the most memory of its
    own that was seen), in KiB."""
    unmapped = own = 0
    while True:
        unmapped = max(unmapped, unmapped_shared_kib(pid))
        own = max(own, own_kib(pid))
        if select.select([done], [], [], 0.02)[0]:
            return peak_rss_kib(pid) + unmapped, own

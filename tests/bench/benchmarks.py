"""The benchmarks. Each is a function of a Context, runs the monitors in turn, and records figures."""

import os
import time
from dataclasses import dataclass, field

import measure
import podman
from container import Broken, Container, check

GIB = 1 << 30
VOLUME = GIB  # the most bytes one run logs


@dataclass
class Context:
    monitors: dict  # name -> path
    workload: str
    directory: str
    runs: int
    quick: bool
    idle_seconds: float
    figures: dict = field(default_factory=dict)  # (name, unit) -> monitor -> [value]
    notes: list = field(default_factory=list)
    broken: list = field(default_factory=list)

    def record(self, name, unit, monitor, value):
        self.figures.setdefault((name, unit), {}).setdefault(monitor, []).append(value)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def in_turn(self, name, one_run, runs=None):
        """Calls one_run(monitor name, path) for A B A B ...; a run that is broken is noted, and the
        others go on."""
        for number in range(runs or self.runs):
            for monitor, path in self.monitors.items():
                try:
                    one_run(monitor, path)
                except (Broken, OSError, ValueError) as error:
                    self.broken.append(f"{name}, {monitor}, run {number + 1}: {error}")

    def container(self, path, **how):
        return Container(path, self.workload, f"{self.directory}/container", **how)


def lines_of(length, total):
    """`total` in whole lines."""
    return total // length * length if length else total


def throughput(context, name, length, total, chunk=0):
    """CPU time of the monitor's whole life per GiB, wall time, and the records it made."""
    total = lines_of(length, total // 8 if context.quick else total)

    def one_run(monitor, path):
        with context.container(path) as container:
            go = container.gate("go")
            container.steps([go.step, f"write:{length}:{total}:{chunk}"])
            container.start()
            go.wait()
            begin = time.perf_counter()
            go.open()
            cpu = container.finish()
            wall = time.perf_counter() - begin
            found = container.scan(length)
            check(found, total, length)
        context.record(f"CPU, {name}", "s/GiB", monitor, cpu * GIB / total)
        context.record(f"wall, {name}", "s/GiB", monitor, wall * GIB / total)
        records = found["full"] + found["partial"]
        if length:
            context.record(f"records, {name}", "per line", monitor, records / (total // length))
        else:
            context.record(f"records, {name}", "bytes each", monitor, total / records)

    context.in_turn(name, one_run)


def cpu(context):
    throughput(context, "100-byte lines", 100, VOLUME)
    throughput(context, "1 KiB lines", 1024, VOLUME)
    throughput(context, "20 KiB lines", 20 * 1024, VOLUME)
    throughput(context, "one endless line", 0, VOLUME)


def small_writes(context):
    throughput(context, "100-byte lines, a write(2) each", 100, VOLUME // 8, chunk=100)


def start(context):
    """From the start of the program to the pid report; and what one whole short life costs."""

    def one_run(monitor, path):
        with context.container(path) as container:
            seconds = container.start()
            cpu = container.finish()
            context.record("start to pid report", "ms", monitor, seconds * 1e3)
            context.record("CPU of a whole empty life", "ms", monitor, (cpu + container.parent_cpu) * 1e3)

    context.in_turn("start", one_run, runs=30 if context.quick else 200)


def memory(context):
    """Private memory (memfd pages included) idle, in a burst, and after it; peak RSS of all that.

    A second, idle container under each monitor runs meanwhile, so that what containers share, such as
    the program's own pages, is not counted as one container's cost.
    """
    length = 100
    total = lines_of(length, VOLUME // (16 if context.quick else 2))
    settle = 3.0

    def one_run(monitor, path):
        with (
            Container(path, context.workload, f"{context.directory}/companion") as companion,
            context.container(path) as container,
        ):
            stay = companion.gate("stay")
            companion.steps([stay.step])
            companion.start()
            stay.wait()

            go, end, held = container.gate("go"), container.gate("end"), container.hold_exit()
            container.steps([go.step, f"write:{length}:{total}:0", end.step])
            container.start()
            go.wait()
            time.sleep(settle)
            context.record("private memory, idle", "KiB", monitor, measure.private_kib(container.pid))
            go.open()
            most = 0
            while not end.reached(0.005):
                most = max(most, measure.private_kib(container.pid))
            if most == 0:
                raise Broken("the burst was over before it could be looked at")
            context.record("private memory, most seen in a burst", "KiB", monitor, most)
            time.sleep(settle)
            after = measure.private_kib(container.pid)
            context.record("private memory, 3 s after a burst", "KiB", monitor, after)
            end.open()
            held.wait()
            context.record("peak RSS", "KiB", monitor, measure.peak_rss_kib(container.pid))
            held.open()
            container.finish()
            check(container.scan(length), total, length)
            stay.open()
            companion.finish()

    context.in_turn("memory", one_run)


def wakeups(context):
    """Context switches of a monitor whose container does nothing."""

    def one_run(monitor, path):
        with context.container(path) as container:
            stay = container.gate("stay")
            container.steps([stay.step])
            container.start()
            stay.wait()
            time.sleep(1)
            before = measure.context_switches(container.pid)
            time.sleep(context.idle_seconds)
            woken = measure.context_switches(container.pid) - before
            context.record("wakeups, idle", "per minute", monitor, woken * 60 / context.idle_seconds)
            stay.open()
            container.finish()

    context.in_turn("wakeups", one_run, runs=1 if context.quick else 2)


def with_podman(context):
    """Real Podman and runtime: a short attached container, and a detached one that logs a lot."""
    reason = podman.missing()
    if reason:
        context.note(f"podman left out: {reason}")
        return
    total = lines_of(100, VOLUME // (8 if context.quick else 1))
    with podman.Podman(context.workload, f"{context.directory}/podman") as house:
        paths = {name: house.as_conmon(name, path) for name, path in context.monitors.items()}

        def short(monitor, _):
            begin = time.perf_counter()
            pid = house.run(paths[monitor], ["--rm"], ["run", "write:100:100:0"])
            wall = time.perf_counter() - begin
            context.record("podman run, short: wall", "ms", monitor, wall * 1e3)
            context.record("podman run, short: CPU of the monitor", "ms", monitor, house.reap(pid) * 1e3)

        def volume(monitor, _):
            log = f"{context.directory}/podman/log"
            pid = house.run(
                paths[monitor], ["-d", "--log-opt", f"path={log}"], ["run", f"write:100:{total}:0"]
            )
            cpu = house.reap(pid)
            check(house.scan(log, 100), total, 100)
            os.unlink(log)
            context.record("podman run -d: CPU, 100-byte lines", "s/GiB", monitor, cpu * GIB / total)

        context.in_turn("podman short", short, runs=5 if context.quick else 20)
        context.in_turn("podman volume", volume)


ALL = {
    "cpu": cpu,
    "small-writes": small_writes,
    "start": start,
    "memory": memory,
    "wakeups": wakeups,
    "podman": with_podman,
}

"""Log files: limits, new ones on request, and what is in the way."""

import os

import engine
import k8slog
from engine import CRIO, PODMAN
from fake_journal import FakeJournal
from lab import settle
from scenario import scenario
from waiting import wait_until

STREAM = {"podman": PODMAN, "crio": CRIO}
LINES = "i=0; while [ $i -lt 50 ]; do echo line $((1000 + i)); i=$((i + 1)); done"


@scenario(
    "--log-size-max",
    each={size: size for size in ("-1", "0", "10", "54", "55", "200", "550", "1000", "10000", "0x100", "010000")},
)
def a_limited_log(lab, size):
    container = lab.container(LINES)
    container.options["--log-size-max"] = size
    lab.life(container).run()


@scenario("--log-global-size-max", each={size: size for size in ("-1", "0", "10", "55", "550", "560", "100000")})
def a_log_with_a_global_limit(lab, size):
    container = lab.container(LINES)
    container.options["--log-global-size-max"] = size
    lab.life(container).run()


@scenario("--log-size-max", "--log-global-size-max")
def a_log_with_both_limits(lab):
    container = lab.container(LINES)
    container.options["--log-size-max"] = "300"
    container.options["--log-global-size-max"] = "1100"
    lab.life(container).run()


OLD = "2026-08-21T09:05:07.000123456+02:00 stdout F old\n"


LIMITS = {"free": {}, "limited": {"--log-size-max": "540"}, "limited in total": {"--log-global-size-max": "540"}}


@scenario("--log-path", "--log-size-max", "--log-global-size-max", each=LIMITS)
def a_log_that_is_there_already(lab, options):
    """It is kept, and counts."""
    container = lab.container(LINES)
    container.options.update(options)
    container.log.write_text(OLD)
    container.log.chmod(0o604)
    lab.life(container).run()


@scenario("--log-path", each={"moved": "moved", "removed": "removed", "left": "left"})
def a_new_log_on_request(lab, before):
    container = lab.container("echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    life = lab.life(container)
    life.create()
    life.start()
    container.wait_log(b"one")
    old = container.log.stat().st_ino
    if before == "moved":
        container.log.rename(container.logs / "moved.log")
    elif before == "removed":
        container.log.unlink()
    container.control("2 1 1\n")
    wait_until(
        lambda: container.log.exists() and (before != "left" or container.log.stat().st_ino != old), "a new log"
    )
    os.write(go, b"\n")
    life.finish()


@scenario("--no-sync-log")
def a_log_that_is_not_synced(lab):
    container = lab.container("echo hello; exit 7")
    container.options["--no-sync-log"] = True
    lab.life(container).run()


@scenario("the last file counts", "--log-path")
def two_log_files(lab):
    container = lab.container("echo hello")
    container.options["--log-path"] = [f"k8s-file:{container.logs}/first.log", f"k8s-file:{container.log}"]
    lab.life(container).run()


@scenario("--log-path", "a file and none")
def a_log_beside_none(lab):
    container = lab.container("echo hello")
    container.options["--log-path"] = ["none", f"k8s-file:{container.log}", "off"]
    lab.life(container).run()


@scenario("--log-path")
def a_log_through_a_link(lab):
    container = lab.container("echo hello")
    (container.top / "real.log").touch()
    container.log.symlink_to(container.top / "real.log")
    lab.life(container).run()


@scenario("--log-path", each={"fifo": "fifo", "/dev/null": "/dev/null", "/dev/full": "/dev/full"})
def a_log_that_is_no_file(lab, what):
    container = lab.container("echo hello; exit 7")
    if what == "fifo":
        reader = container._fifo_in(container.logs, "fifo")
        container.options["--log-path"] = f"k8s-file:{container.logs}/fifo"
        lab.life(container).run()
        lab.note("through the fifo", len(os.read(reader, 65536)))
        return
    container.options["--log-path"] = f"k8s-file:{what}"
    lab.life(container).run()


@scenario("--log-rotate", "--log-max-files", "--log-allowlist-dir", each={"3": "3", "1": "1"})
def a_rotated_log(lab, files):
    container = lab.container(LINES + "; exit 7")
    container.options["--log-rotate"] = True
    container.options["--log-max-files"] = files
    container.options["--log-size-max"] = "100"
    container.options["--log-allowlist-dir"] = str(container.logs)
    container.launch()
    if not _refused(lab, container):
        container.report()
        container.start()
        lab.note("status", container.wait())
        lab.note("files", sorted(os.listdir(container.logs)))


@scenario("--log-path")
def a_new_log_that_cannot_be_made(lab):
    """Its directory has been moved away; a monitor that ends by that is given the time to do so."""
    container = lab.container("echo one; read word < go; echo two; exit 7")
    container.log = container.logs / "deep" / "ctr.log"
    container.log.parent.mkdir()
    container.options["--log-path"] = f"k8s-file:{container.log}"
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    away = container.logs / "away"
    container.log.parent.rename(away)
    container.control("2 1 1\n")
    if lab.program == engine.conward():
        settle(container)
    else:
        wait_until(container.monitor_ended, "conmon to end")
    os.write(go, b"\n")
    lab.note("status", container.wait())
    lab.note("exit file", container.exit_file.read_text() if container.exit_file.exists() else None)
    lab.note("the moved log", k8slog.output(k8slog.records((away / "ctr.log").read_bytes(), rising=False)))


# Of the entries: conmon's library adds where in its source they were made, conward a number.
OWN_FIELDS = ("CODE_FILE", "CODE_LINE", "CODE_FUNC", "CONWARD_SEQ")


def _note_journal(lab, command, **options):
    journal = FakeJournal(lab.directory / "node")
    container = lab.container(command)
    container.options.update({"--log-path": "journald", **options})
    try:
        container.launch(prepare=journal.enter)
        if _refused(lab, container):
            return
        container.report()
        container.start()
        lab.note("status", container.wait())
        # What was sent before the end is there at the end.
        journal.stop()
        journal.take_rest()
    finally:
        journal.close()
    for stream in ("stdout", "stderr"):
        lab.note(f"journal, {stream}", journal.output(stream))
    lab.note(
        "journal, fields",
        sorted(
            {
                f"{name}={value.decode()}"
                for entry in journal.entries
                for name, values in entry.fields.items()
                for value in values
                if name not in (*OWN_FIELDS, "MESSAGE")
            }
        ),
    )
    lab.note("journal, sender", {entry.pid == container.monitor.pid for entry in journal.entries} == {True})


@scenario("--log-tag", "journald")
def a_container_with_a_journal(lab):
    _note_journal(lab, "echo one; printf two; echo three >&2; exit 7", **{"--log-tag": "a tag"})


@scenario("journald")
def a_long_line_to_the_journal(lab):
    _note_journal(lab, "printf %070000d 0; echo; echo; exit 7")


@scenario("journald")
def a_priority_for_the_journal(lab):
    _note_journal(lab, "echo '<3>one'; exit 7")


@scenario("--log-label", "journald")
def a_label_for_the_journal(lab):
    _note_journal(lab, "echo one; exit 7", **{"--log-label": ["A_LABEL=its value"]})


def _refused(lab, container):
    container.say_go()
    status, said = container.end_of_first(), container.said()
    lab.note("started process, status", status)
    lab.note("started process, words", said)
    return status != 0

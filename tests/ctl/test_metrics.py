"""conwardctl metrics: the figures of real monitors ($CONWARD run), in the text format of Prometheus; and the alert
rules in contrib/. Promtool judges them ($PROMTOOL, else an installed one); without it that is skipped, and
$PROMTOOL_MISSING says why it is not there."""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

# Real monitors, made and looked at as the tests of the other commands do it.
from test_monitors import FAILED, TOP, WRONG, ctl, needs_root, put_page, run  # noqa: F401  (run is a fixture)

from procfs import Process
from waiting import wait_until

LIMIT = 60
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? ([0-9.]+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
PLAIN = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
OUTPUT = "echo one; printf 'no newline' >&2; cat"

pytestmark = needs_root


def parse(text):
    """The samples as {(name, frozenset of labels): value}; anything that the format does not know is a failure."""
    samples = {}
    declared = None
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, _ = line[2:].split(" ", 2)
            assert word in ("HELP", "TYPE") and (word == "HELP" or name == declared), line
            declared = name
            continue
        match = SAMPLE.fullmatch(line)
        assert match and match[1] == declared, line
        labels = {name: re.sub(r"\\.", lambda m: PLAIN[m[0]], value) for name, value in LABEL.findall(match[2] or "")}
        key = (match[1], frozenset(labels.items()))
        assert key not in samples, line
        samples[key] = float(match[3])
    return samples


def samples_of(one, *args):
    """Those of one monitor: {name or (name, stream): value}, and its labels."""
    found, labels = {}, None
    for (name, pairs), value in parse(ctl("metrics", *args)[0]).items():
        its = dict(pairs)
        if its.get("id") == one.id:
            stream = its.pop("stream", None)
            found[(name, stream) if stream else name] = value
            labels = its
    return found, labels


def promtool(*words, **how):
    program = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if program is None:
        pytest.skip(f"no promtool: {os.environ.get('PROMTOOL_MISSING') or 'see tests/ctl/get-promtool'}")
    done = subprocess.run([program, *words], capture_output=True, timeout=LIMIT, check=False, **how)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.decode()


def quiet(run, *options):  # noqa: F811  (the fixture)
    """A monitor whose container has written what it will write, and whose log has all of it."""
    one = run(OUTPUT, *options)
    wait_until(lambda: one.json()["stderr"]["records"] and one.json()["stdout"]["records"], "the log")
    return one


def test_every_figure_is_exported(run):  # noqa: F811
    one = quiet(run)
    figures = json.loads(ctl("stats", "--json", one.id)[0])
    samples, labels = samples_of(one)
    assert set(labels) == {"id", "name", "kind", "engine"} and labels["kind"] == "run"
    exported = {name if isinstance(name, str) else name[0] for name in samples}

    def check(figure, value, stream=None):
        base = "conward_" + re.sub("_us$", "_seconds", figure)
        (name,) = exported & {base, base + "_total"} or {None}
        if figure in ("open_line_since_us", "oom_last_kill_us") and value == 0:
            assert (name, stream) not in samples and name not in samples
            return
        sample = samples[(name, stream) if stream else name]
        assert sample == pytest.approx(value / (1e6 if figure.endswith("_us") else 1), rel=1e-12), figure

    others = {"monitor_pid", "container_pid", "owner", "log_partial_flush_ms", "monitor_cpu_us"}
    for figure, value in figures.items():
        if isinstance(value, int) and figure not in others:
            check(figure, value)
    for stream in ("stdout", "stderr"):
        for figure, value in figures[stream].items():
            check(figure, value, stream)
    assert samples["conward_logged_bytes_total", "stdout"] == 4
    assert samples["conward_open_line_bytes", "stderr"] == 10


def test_the_monitor_itself(run):  # noqa: F811
    one = quiet(run)
    samples, _ = samples_of(one)
    fields = Process(one.pid).stat()
    assert samples["conward_monitor_rss_bytes"] == int(fields[21]) * os.sysconf("SC_PAGESIZE")
    ticks = int(fields[11]) + int(fields[12])
    assert samples["conward_monitor_cpu_seconds_total"] == pytest.approx(ticks / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("name", ['a "b" \\ c', "two\nlines", "\\n", 'x",kind="y', "gr\u00fc\u00dfe {}"])
def test_names_are_escaped(run, name):  # noqa: F811
    one = quiet(run, "--name", name)
    assert samples_of(one)[1]["name"] == name


def test_name_that_is_no_text(run):  # noqa: F811
    one = quiet(run, "--name", b"a\xff\x1b[31m")
    assert samples_of(one)[1]["name"] == "a\ufffd\ufffd[31m"


def copies(one, directory, count):
    """A directory with so many pages of the same monitor."""
    directory.mkdir()
    page = one.page().read_bytes()
    for number in range(count):
        put_page(directory / f"{number:03}.state", page)
    return directory


def test_same_labels_are_set_apart(run, tmp_path):  # noqa: F811
    one = quiet(run)
    states = copies(one, tmp_path / "states", 3)
    samples = parse(ctl("metrics", "--state-dir", states)[0])
    pages = [dict(labels).get("page") for name, labels in samples if name == "conward_crashes_total"]
    assert len(pages) == 3 and len(set(pages)) == 3 and pages[0] is None
    assert all(page.startswith(f"{states}/") for page in pages[1:])
    assert samples["conward_monitors", frozenset({("kind", "run")})] == 3


def test_promtool_likes_it(run, tmp_path):  # noqa: F811
    one = quiet(run, "--name", b'a "b" \\ c\nd \xff\x01')
    for args in ([], ["--state-dir", copies(one, tmp_path / "states", 3)]):
        assert promtool("check", "metrics", input=ctl("metrics", *args)[0].encode()) == ""


def test_nothing_runs(tmp_path):
    samples = parse(ctl("metrics", "--state-dir", tmp_path)[0])
    assert samples == {
        ("conward_pages_unread", frozenset()): 0,
        **{("conward_monitors", frozenset({("kind", kind)})): 0 for kind in ("container", "restored", "exec", "run")},
    }


def test_page_that_is_none_is_counted(tmp_path):
    (tmp_path / "1-00000000.state").write_bytes(b"x" * 12288)
    output = tmp_path / "conward.prom"
    text, errors = ctl("metrics", "--state-dir", tmp_path, status=FAILED)
    assert parse(text)["conward_pages_unread", frozenset()] == 1
    assert "1-00000000.state" in errors
    ctl("metrics", "--state-dir", tmp_path, "--output", output, status=FAILED)
    assert output.read_text() == text


def test_output_replaces_the_file(tmp_path):
    states = tmp_path / "states"
    states.mkdir()
    output = tmp_path / "conward.prom"
    output.write_text("old")
    output.chmod(0o600)
    with output.open() as old:
        before = os.umask(0o077)
        try:
            assert ctl("metrics", "--state-dir", states, "--output", output) == ("", "")
        finally:
            os.umask(before)
        assert old.read() == "old", "it was overwritten in place"
    assert output.read_text() == ctl("metrics", "--state-dir", states)[0]
    assert stat.S_IMODE(output.stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conward.prom", "states"]


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "directory").mkdir()
    for output, why in (("nowhere/a.prom", "No such file"), ("directory", "Is a directory")):
        said = ctl("metrics", "--output", tmp_path / output, status=FAILED)[1]
        assert str(tmp_path / output) in said and why in said
        assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_disk_that_is_full(run, tmp_path):  # noqa: F811
    """A limit on file sizes is as good as a full disk: what was there stays, and nothing is left beside it."""
    one = quiet(run)
    states = copies(one, tmp_path / "states", 20)
    (tmp_path / "conward.prom").write_text("old")
    script = f"trap '' XFSZ; ulimit -f 4; exec {os.environ.get('CONWARDCTL', TOP / 'build/src/conwardctl')} \"$@\""
    words = ["metrics", "--state-dir", states, "--output", tmp_path / "conward.prom"]
    done = subprocess.run(["sh", "-c", script, "sh", *words], capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == FAILED and b"File too large" in done.stderr
    assert (tmp_path / "conward.prom").read_text() == "old"
    assert not list(tmp_path.glob("*.tmp"))


def test_arguments():
    assert "--output" in ctl("metrics", "file.prom", status=WRONG)[1]
    assert "--no-such" in ctl("metrics", "--no-such", status=WRONG)[1]


def test_alerts():
    promtool("check", "rules", TOP / "contrib/prometheus/conward-alerts.yml")
    promtool("test", "rules", pathlib.Path(__file__).parent / "prometheus/alerts.yml")


def test_alerts_name_what_is_exported(run):  # noqa: F811
    rules = (TOP / "contrib/prometheus/conward-alerts.yml").read_text()
    expressions = " ".join(re.findall(r"expr: (?:\|\n)?((?:.|\n)*?)\n +(?:for|labels):", rules))
    named = set(re.findall(r"\bconward_[a-z_]+", expressions))
    quiet(run)
    assert len(named) >= 8 and named <= {name for name, _ in parse(ctl("metrics")[0])}

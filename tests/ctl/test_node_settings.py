"""What conwardctl says of settings of a whole node: doctor of conward.conf, stats of where a monitor has them from."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lib"))

from node import Node  # noqa: E402  (found through the path above)
from test_doctor import Node as Image  # noqa: E402
from waiting import wait_until  # noqa: E402

LIMIT = 60
CONF = "etc/conward/conward.conf"
DROP_IN = "etc/conward/conward.conf.d/99-conward-doctor.conf"
LIMITED = "[conward]\nlog-size-max = 104857600\nlog-rotate = yes\n"


def program(variable, name):
    return os.path.abspath(os.environ.get(variable, TOP / "build/src" / name))


@pytest.fixture
def image(tmp_path):
    (tmp_path / "root").mkdir()
    return Image(tmp_path / "root")


@pytest.fixture
def podman(image):
    """A node whose Podman has conward as its monitor, and sets no limit."""
    conmon = "usr/local/libexec/conward/conmon"
    image.put(conmon)
    image.put("etc/containers/containers.conf",
              f'[containers]\nlog_driver = "k8s-file"\n[engine]\nconmon_path = ["/{conmon}"]\n')
    return image


def found_of_conward(image, *args, **how):
    return [one for one in image.examine(*args, **how) if one["program"] == "conward"]


def notes_of_conward(image):
    done = image.run("--json")
    found = map(json.loads, done.stdout.splitlines())
    return [one for one in found if one["program"] == "conward" and one["severity"] == "note"]


def test_all_is_well(image):
    image.put("usr/local/lib/conward/conward.conf", "[conward]\nlog-line-max = 1000\nlate-output = 1\n")
    image.put(CONF, "# a comment\n[conward]\nlog-line-max = 2000\n")
    image.put("etc/conward/conward.conf.d/a.conf", "[conward]\ncrash-core = yes\n")
    image.put("etc/conward/conward.conf.d/README", "no settings\n")
    assert image.examine() == []
    told = {(one["file"].removeprefix(str(image.root)), one["line"]): one["what"] for one in notes_of_conward(image)}
    assert len(told) == 4
    assert "has no effect" in told["/usr/local/lib/conward/conward.conf", 2]
    assert f"{image.root}/{CONF}, line 3, comes later" in told["/usr/local/lib/conward/conward.conf", 2]
    assert "conward.conf sets late-output" in told["/usr/local/lib/conward/conward.conf", 3]
    assert "conward.conf sets log-line-max" in told[f"/{CONF}", 3]
    assert "conward.conf sets crash-core" in told["/etc/conward/conward.conf.d/a.conf", 2]


@pytest.mark.parametrize(
    "text, line, what",
    [
        ("[conward]\nlog-line-max = -1\n", 2, "log-line-max -1 is refused"),
        ("[conward]\n\nlog-size-max = 10M\n", 3, "log-size-max '10M' is refused"),
        ("[conward]\nlog-line-maximum = 1000\n", 2, "log-line-maximum is unknown"),
        ("[conward]\n[conmon]\nlog-line-max = 1000\n", None, "[conmon] is an unknown section"),
        ("[conward]\nlog-line-max = 1000\nwhat?\n", 3, "ignores this file: line 3 is neither"),
        ("[conward]\n" + "#" * 65536, None, "ignores this file: it has 65546 bytes"),
        ("[conward]\n\0", None, "ignores this file: it contains NUL bytes"),
    ],
)
def test_what_is_wrong(image, text, line, what):
    image.put(CONF, text)
    (found,) = image.examine()
    assert (found["program"], found["severity"]) == ("conward", "warning")
    assert found["file"] == f"{image.root}/{CONF}"
    assert found.get("line") == line
    assert what in found["what"]
    assert found["why"] and found["mend"] and found["restart"]


def test_what_is_no_file(image):
    image.put("etc/conward/x")
    os.mkfifo(image.root / CONF)
    (found,) = image.examine()
    assert "it is not a regular file" in found["what"]
    (image.root / CONF).unlink()
    (image.root / CONF).symlink_to("nothing")
    (found,) = image.examine()
    assert "it is a symbolic link to a file that does not exist" in found["what"]


@pytest.mark.parametrize("value, warns", [(32700, False), (32701, True), (1048576, True)])
def test_records_that_collectors_do_not_read(image, value, warns):
    image.put(CONF, f"[conward]\nlog-line-max = {value}\n")
    found = image.examine()
    if not warns:
        assert found == []
        return
    (one,) = found
    assert (one["program"], one["severity"], one["line"]) == ("conward", "warning", 2)
    assert f"lets a record have {value} bytes: Fluent Bit and Vector" in one["what"]
    assert "conward-log(5)" in one["why"] and "buffer_max_size" in one["mend"]
    found_of_conward(image, "--fix", status=0)
    assert image.text(CONF) == "[conward]\nlog-line-max = 16384\n"
    assert image.examine() == []


def test_no_limit(podman):
    (found,) = found_of_conward(podman)
    assert found["what"].startswith("log files of containers grow without limit: neither Podman nor conward.conf")
    assert found["mend"].startswith("Put into /etc/conward/conward.conf:\n[conward]\nlog-size-max = ")
    assert podman.examine() == [found], "and Podman's own settings need none"


def test_no_limit_is_mended(podman):
    (found,) = found_of_conward(podman, "--fix", status=0)
    assert found["mended"]
    assert podman.text(CONF) == LIMITED
    assert podman.examine() == []


def test_no_limit_is_mended_beside_what_is_there(podman):
    podman.put(CONF, "[conward]\nlog-line-max = 1000\n")
    found_of_conward(podman, "--fix", status=0)
    assert podman.text(CONF) == "[conward]\nlog-line-max = 1000\n"
    assert podman.text(DROP_IN) == LIMITED
    assert podman.examine() == []


@pytest.mark.parametrize("value", ["0", "-1"])
def test_no_limit_is_mended_where_it_stands(podman, value):
    podman.put(CONF, f"[conward]\nlog-size-max = {value} \nlog-line-max = 1000\n")
    done = podman.run("--fix")
    assert done.returncode == 0
    assert f"-log-size-max = {value}" in done.stdout and "+log-size-max = 104857600" in done.stdout
    assert podman.text(CONF) == "[conward]\nlog-size-max = 104857600 \nlog-line-max = 1000\n"
    assert podman.text(CONF + ".conward-backup").startswith(f"[conward]\nlog-size-max = {value} \n")
    assert podman.examine() == []


def test_the_engines_limit(podman):
    podman.put("etc/containers/containers.conf.d/a.conf", "[containers]\nlog_size_max = 5000\n")
    assert podman.examine() == []
    podman.put(CONF, LIMITED)
    assert podman.examine() == []
    (told,) = [one["what"] for one in notes_of_conward(podman) if "engine" in one["what"]]
    assert "the engine's limit takes precedence over conward.conf's: containers.log_size_max = 5000 of Podman" in told


def test_crio(image):
    conmon = "usr/local/libexec/conward/conmon"
    image.put(conmon)
    image.put("etc/crio/crio.conf", f'[crio.runtime]\nconmon = "/{conmon}"\n')
    (found,) = image.examine()
    assert found["program"] == "conward" and "neither CRI-O nor conward.conf" in found["what"]
    image.put("usr/bin/kubelet")
    assert image.examine() == [], "the kubelet rotates logs"


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path / "node")
    try:
        subprocess.run(["true"], preexec_fn=made.enter, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no mount namespace: {error}")
    return made


def doctor(node):
    done = subprocess.run(
        [program("CONWARDCTL", "conwardctl"), "doctor", "--json"],
        capture_output=True,
        preexec_fn=node.enter,
        timeout=LIMIT,
        check=False,
    )
    found = map(json.loads, done.stdout.splitlines())
    return [one for one in found if one["program"] == "conward"]


def test_what_others_may_write_is_said_on_the_node(node):
    node.conf.write_text(LIMITED)
    node.conf.chmod(0o666)
    (found,) = doctor(node)
    assert "ignores this file: with mode 0666, others may write it; chmod it to 0644" in found["what"]
    node.conf.chmod(0o644)
    assert {found["severity"] for found in doctor(node)} == {"note"}


def test_stats_say_where_settings_come_from(node, tmp_path):
    node.conf.write_text("[conward]\nlate-output = 1\nlog-line-max = 300\nlog-partial-flush = never\n")
    name = f"settings-{os.getpid()}"
    words = [program("CONWARD", "conward"), "run", "--cid", name, "--log-path", tmp_path / "log"]
    with subprocess.Popen(
        [*words, "--log-size-max", "5000", "--", "cat"],
        stdin=subprocess.PIPE,
        preexec_fn=node.enter,
        env={**os.environ, "CONWARD_LOG_LINE_MAX": "400"},
    ) as run:

        def stats(*options):
            done = subprocess.run(
                [program("CONWARDCTL", "conwardctl"), "stats", *options, name], capture_output=True, check=False
            )
            return done.stdout.decode() if done.returncode == 0 else None

        settings = json.loads(wait_until(lambda: run.poll() is not None or stats("--json"), "its page"))["settings"]
        text = stats()
        run.stdin.close()
    assert settings["log_size_max"] == {"value": "5000", "from": "option"}
    assert settings["log_line_max"] == {"value": "400", "from": "environment"}
    assert settings["log_partial_flush"] == {"value": "never", "from": "/etc/conward/conward.conf"}
    assert settings["late_output"] == {"value": "1", "from": "/etc/conward/conward.conf"}
    assert settings["attach_linger"] == {"from": "default"}
    shown = [line.split(None, 1) for line in text.splitlines()]
    assert ["late-output", "1 (/etc/conward/conward.conf)"] in shown
    assert ["attach-linger", "default"] in shown

"""conwardctl doctor, on file systems made of the configuration files that programs really have. The program under test
is $CONWARDCTL (default: build/src/conwardctl)."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
FILES = pathlib.Path(__file__).resolve().parent / "doctor"
LIMIT = "max_container_log_line_size"
CONTAINERD = "etc/containerd/config.toml"


class Node:
    """A file system to examine."""

    def __init__(self, root):
        self.root = root

    def put(self, path, text=""):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def text(self, path):
        return (self.root / path).read_text()

    def run(self, *args):
        program = os.environ.get("CONWARDCTL", str(TOP / "build/src/conwardctl"))
        return subprocess.run([program, "doctor", "--root", str(self.root), *args], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)

    def examine(self, *args, status=None):
        """What the doctor finds, notes left out."""
        done = self.run("--json", *args)
        assert done.stderr == ""
        found = [json.loads(line) for line in done.stdout.splitlines()]
        severe = [one for one in found if one["severity"] != "note"]
        assert done.returncode == (status if status is not None else 1 if severe else 0), done
        return severe

    def notes(self):
        found = [json.loads(line) for line in self.run("--json").stdout.splitlines()]
        return [one["what"] for one in found if one["severity"] == "note"]


@pytest.fixture
def node(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    return Node(root)


def real(name, old=None, new=None):
    text = (FILES / name).read_text()
    if old is not None:
        assert old in text
        text = text.replace(old, new)
    return text


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_nothing_is_here(node):
    done = node.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("Nothing to fix. Looked at: nothing. "
                           "Not here: containerd, CRI-O, Podman, Docker, journald, the kubelet, "
                           "conward.\n")


def test_what_packages_bring_is_fine(node):
    node.put("usr/libexec/crio/conmon")
    node.put("etc/crio/crio.conf.d/10-crio.conf", real("10-crio.conf"))
    node.put("usr/share/containers/containers.conf", real("containers.conf"))
    node.put("var/lib/kubelet/config.yaml", real("kubelet-config.yaml"))
    for name in ("containerd-1.6-default.toml", "containerd-1.6-debian.toml", "containerd-2-default.toml"):
        node.put(CONTAINERD, real(name))
        assert node.examine() == []


@pytest.mark.parametrize("name", ["containerd-1.6-default.toml", "containerd-2-default.toml"])
@pytest.mark.parametrize("limit", ["-1", "0", "-1_000"])
def test_containerd_without_a_limit(node, name, limit):
    text = real(name, f"{LIMIT} = 16384", f"{LIMIT} = {limit} # the cause")
    node.put(CONTAINERD, text)
    (found,) = node.examine()
    assert (found["severity"], found["program"]) == ("danger", "containerd")
    assert found["file"] == str(node.root / CONTAINERD)
    assert found["line"] == line_of(text, "# the cause")
    assert f"{LIMIT} = 16384" in found["mend"]
    assert found["restart"] == "systemctl restart containerd"
    assert f"{CONTAINERD}:{found['line']}: plugins." in node.run().stdout


def test_containerd_version_1(node):
    node.put(CONTAINERD, f"[plugins]\n[plugins.cri]\n{LIMIT} = -1\n")
    assert node.examine()[0]["line"] == 3


@pytest.mark.parametrize("limit, severe", [(1048576, False), (1048577, True)])
def test_containerd_with_a_large_limit(node, limit, severe):
    node.put(CONTAINERD, real("containerd-2-default.toml", "16384", str(limit)))
    assert [one["severity"] for one in node.examine()] == ["warning"] * severe


def test_containerd_strings_and_comments_do_not_mislead(node):
    node.put(CONTAINERD, real("containerd-1.6-default.toml")
             + f'[proxy_plugins]\n# {LIMIT} = -1\na = """\n[plugins.cri]\n{LIMIT} = -1\n"""\n')
    assert node.examine() == []


def test_containerd_without_its_cri_plugin(node):
    text = real("containerd-1.6-default.toml", f"{LIMIT} = 16384", f"{LIMIT} = -1")
    node.put(CONTAINERD, text.replace("disabled_plugins = []", 'disabled_plugins = ["cri"]'))
    assert node.examine() == []


def test_containerd_imports(node):
    section = '[plugins."io.containerd.cri.v1.runtime"]\n'
    node.put(CONTAINERD, 'imports = ["conf/*.toml", "/etc/containerd/one.toml"]\n' + section + f"{LIMIT} = -1\n")
    assert node.examine()[0]["line"] == 3
    node.put("etc/containerd/conf/a.toml", section + f"{LIMIT} = 16384\n")
    assert node.examine() == []
    node.put("etc/containerd/one.toml", 'imports = ["./config.toml"]\n\n' + section + f"{LIMIT} = 0\n")
    assert node.examine()[0]["file"].endswith("etc/containerd/one.toml")


def test_what_cannot_be_understood_is_said(node):
    node.put(CONTAINERD, f"version = 2\n[plugins.cri]\n{LIMIT} = -1\nx = what is this\n")
    (found,) = node.examine(status=3)
    assert (found["severity"], found["line"]) == ("unread", 4)
    assert "a value is missing or is not valid" in found["what"]


def test_a_cut_file_is_never_called_fine(node):
    text = real("containerd-1.6-default.toml")
    node.put(CONTAINERD, text[:text.index("stream_idle_timeout") + 5])
    assert [one["severity"] for one in node.examine(status=3)] == ["unread"]


def test_no_file_can_stop_it(node):
    directory = node.root / "etc/containerd"
    directory.mkdir(parents=True)
    os.mkfifo(directory / "config.toml")
    node.put("etc/docker/daemon.json", " " * (1 << 20) + "{}")
    (node.root / "var/lib/kubelet/config.yaml").mkdir(parents=True)
    node.put("etc/crio/crio.conf").write_bytes(bytes(range(256)) * 100)
    node.put("etc/systemd/journald.conf").write_bytes(b"\0" * 100)
    found = node.examine(status=3)
    assert {one["severity"] for one in found} == {"unread"}
    assert {one["program"] for one in found} == {"containerd", "Docker", "the kubelet", "CRI-O", "journald"}
    text = node.run().stdout
    assert "not a regular file" in text and "larger than 1 MiB" in text


def test_links_of_an_image_stay_in_it(node, tmp_path):
    (tmp_path / "outside.toml").write_text(f"[plugins.cri]\n{LIMIT} = -1\n")
    (node.root / "etc/containerd").mkdir(parents=True)
    (node.root / CONTAINERD).symlink_to(tmp_path / "outside.toml")
    assert node.examine() == []
    (node.root / CONTAINERD).unlink()
    (node.root / CONTAINERD).symlink_to("/inside.toml")
    node.put("inside.toml", f"[plugins.cri]\n{LIMIT} = -1\n")
    assert node.examine()[0]["severity"] == "danger"


def test_names_are_escaped(node):
    node.put("etc/crio/crio.conf.d/a\033[2Jb", 'x = "\033"\n')
    done = node.run()
    assert "\033" not in done.stdout and "a\\x1b[2Jb" in done.stdout


def test_crio_needs_a_monitor_that_exists(node):
    node.put("var/lib/kubelet/config.yaml", real("kubelet-config.yaml"))
    node.put("etc/crio/crio.conf.d/10-crio.conf", real("10-crio.conf"))
    found = node.examine()
    assert [one["line"] for one in found] == [10, 18]
    assert all("/usr/libexec/crio/conmon does not exist" in one["what"] for one in found)
    node.put("usr/libexec/crio/conmon")
    assert node.examine() == []


def test_crio_tells_of_conward(node):
    node.put("var/lib/kubelet/config.yaml", real("kubelet-config.yaml"))
    node.put("usr/local/libexec/conward/conmon")
    node.put("etc/crio/crio.conf.d/10-conward.conf", (TOP / "contrib/crio/10-conward.conf").read_text())
    assert node.examine() == []
    assert node.notes() == ["CRI-O's monitor is /usr/local/libexec/conward/conmon, conward"]


def test_crio_without_a_kubelet_must_limit_its_logs(node):
    node.put("etc/crio/crio.conf", "[crio.runtime]\nlog_size_max = -1\n")
    assert node.examine()[0]["line"] == 2
    node.put("etc/crio/crio.conf.d/20-size.conf", "[crio.runtime]\nlog_size_max = 10485760\n")
    assert node.examine() == []


def test_podman_drop_ins_take_precedence(node):
    node.put("usr/share/containers/containers.conf", real("containers.conf", "#log_size_max = -1", "log_size_max = -1"))
    assert node.examine()[0]["file"].endswith("/usr/share/containers/containers.conf")
    node.put("etc/containers/containers.conf", "[containers]\nlog_size_max = 1048576\n")
    assert node.examine() == []
    node.put("etc/containers/containers.conf.d/1.conf", "[containers]\nlog_size_max = -1\n")
    assert node.examine()[0]["file"].endswith("containers.conf.d/1.conf")
    node.put("etc/containers/containers.conf.d/2.conf", '[containers]\nlog_driver = "journald"\n')
    assert node.examine() == []


def test_podman_with_files_and_no_limit(node):
    node.put("etc/containers/containers.conf", '[containers]\nlog_driver = "k8s-file"\n')
    assert "without limit" in node.examine()[0]["what"]


def test_podman_monitor(node):
    node.put("usr/bin/conmon")
    node.put("etc/containers/containers.conf.d/conward.conf", (TOP / "contrib/podman/conward.conf").read_text())
    (found,) = node.examine()
    assert "/usr/local/libexec/conward/conmon does not exist" in found["what"]
    assert node.notes() == ["Podman's monitor is /usr/bin/conmon"]
    node.put("usr/local/libexec/conward/conmon")
    node.put("etc/conward/conward.conf", "[conward]\nlog-size-max = 1000\n")
    assert node.examine() == []
    assert node.notes()[:1] == ["Podman's monitor is /usr/local/libexec/conward/conmon, conward"]


def test_podman_monitor_lists_replace_or_append(node):
    node.put("usr/bin/conmon")
    node.put("opt/conmon")
    node.put("etc/containers/containers.conf", '[engine]\nconmon_path = ["/usr/bin/conmon"]\n')
    node.put("etc/containers/containers.conf.d/1.conf", '[engine]\nconmon_path = ["/opt/conmon", {append = true}]\n')
    assert node.notes() == ["Podman's monitor is /usr/bin/conmon"]
    node.put("etc/containers/containers.conf.d/1.conf", '[engine]\nconmon_path = ["/opt/conmon"]\n')
    assert node.notes() == ["Podman's monitor is /opt/conmon"]


@pytest.mark.parametrize("text, line", [
    ("{}", None),
    ('{\n"log-driver": "json-file"}', 2),
    ('{\n\t"log-opts": {\n\t\t"max-size": "-1"\n\t}\n}', 3),
    ('{"log-driver": "local"}', 0),
    ('{"log-driver": "journald"}', 0),
    ('{"log-opts": {"max-size": "10m", "max-file": "3"}}', 0),
])
def test_docker(node, text, line):
    node.put("etc/docker/daemon.json", text)
    found = node.examine()
    assert [one.get("line") for one in found] == ([] if line == 0 else [line])


def test_podman_as_a_user():
    """Only a look at this node itself reads a user's files; whatever else the node has is not looked at here."""
    program = os.environ.get("CONWARDCTL", str(TOP / "build/src/conwardctl"))
    with tempfile.TemporaryDirectory() as config:
        os.chmod(config, 0o755)
        node = Node(pathlib.Path(config))
        file = node.put("containers/containers.conf.d/1.conf", '[containers]\nlog_driver = "k8s-file"\n')
        copy = shutil.copy(program, config)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([copy, "doctor", "--json"], env=os.environ | {"XDG_CONFIG_HOME": config},
                              capture_output=True, text=True, timeout=120, cwd="/", **nobody)
        assert done.returncode == 1
        (found,) = [one for one in map(json.loads, done.stdout.splitlines()) if one.get("file") == str(file)]
        assert config + "/containers/containers.conf.d/99-conward-doctor.conf" in found["mend"]


def test_docker_without_settings(node):
    node.put("usr/bin/dockerd")
    assert node.examine()[0]["file"] == str(node.root / "etc/docker/daemon.json")


def test_docker_with_options(node):
    """dockerd does not start with the same setting in both places."""
    node.put("usr/bin/dockerd")
    node.put("etc/default/docker", '#DOCKER_OPTS="--log-driver=local"\n')
    assert len(node.examine()) == 1
    node.put("etc/systemd/system/docker.service.d/a.conf", "[Service]\nExecStart=dockerd \\\n --log-opt a=b\n")
    assert node.examine("--fix") == []
    assert "options of dockerd" in node.notes()[0]
    assert not (node.root / "etc/docker").exists()


def test_journald(node):
    main = node.put("etc/systemd/journald.conf", "[Journal]\n#RateLimitBurst=10000\n#LineMax=48K\n")
    assert node.examine() == []
    main.write_text("[Journal]\nRateLimitBurst=0\nRateLimitIntervalSec=0s\nLineMax=1G\n")
    assert [one["line"] for one in node.examine()] == [2, 3, 4]
    # A drop-in counts by its name, and /etc hides the same name elsewhere.
    node.put("usr/lib/systemd/journald.conf.d/20-x.conf", "[Journal]\nRateLimitBurst=7\nRateLimitIntervalSec=1s\n")
    node.put("run/systemd/journald.conf.d/10-y.conf", "[Journal]\nRateLimitBurst=0\nLineMax=48K\n")
    assert node.examine() == []
    node.put("etc/systemd/journald.conf.d/20-x.conf", "[Journal]\nRateLimitBurst=8\n")
    assert [one["line"] for one in node.examine()] == [3]


@pytest.mark.parametrize("size, files, words", [
    ("10Mi", 5, None),
    ("-1", 5, "does not rotate"),
    ("0", 5, "almost every time"),
    ("10m", 5, "almost every time"),
    ("2Gi", 5, "very large"),
    ("500Mi", 50, "more than 10 GiB"),
    ("10Mi", 1, "fewer than two"),
])
def test_kubelet(node, size, files, words):
    text = real("kubelet-config.yaml", "containerLogMaxSize: 10Mi", f"containerLogMaxSize: {size}")
    node.put("var/lib/kubelet/config.yaml", text.replace("MaxFiles: 5", f"MaxFiles: {files}"))
    found = node.examine()
    assert len(found) == (words is not None)
    assert words is None or words in found[0]["what"]


def test_kubelet_flags_override(node):
    node.put("var/lib/kubelet/config.yaml", real("kubelet-config.yaml"))
    node.put("var/lib/kubelet/kubeadm-flags.env", '#\nKUBELET_KUBEADM_ARGS="--a=b --container-log-max-size=-1 --c"\n')
    (found,) = node.examine()
    assert (found["file"], found["line"]) == (str(node.root / "var/lib/kubelet/kubeadm-flags.env"), 2)


def test_worst_first(node):
    node.put("etc/docker/daemon.json", "{}")
    node.put("etc/crio/crio.conf", "[")
    node.put(CONTAINERD, f"[plugins.cri]\n{LIMIT} = -1\n")
    assert [one["severity"] for one in node.examine()] == ["danger", "warning", "unread"]


def test_a_wrong_call(node):
    assert node.run("--what").returncode == 2
    done = node.run("more")
    assert done.returncode == 2 and "takes no argument" in done.stderr
    done = Node(node.root / "nowhere").run()
    assert done.returncode == 3 and "nowhere" in done.stderr


class TestFix:
    def test_one_value_changes_and_nothing_else(self, node):
        text = real("containerd-1.6-default.toml", f"{LIMIT} = 16384", f"{LIMIT} =  -1\t# the cause")
        file = node.put(CONTAINERD, text)
        file.chmod(0o640)
        done = node.run("--fix")
        assert (done.returncode, done.stderr) == (0, "")
        assert file.read_text() == text.replace("=  -1\t", "=  16384\t")
        assert file.stat().st_mode & 0o7777 == 0o640
        assert node.text(CONTAINERD + ".conward-backup") == text
        assert f"\n-    {LIMIT} =  -1\\x09# the cause\n+    {LIMIT} =  16384\\x09# the cause\n" in done.stdout
        assert re.search(r"^@@ -(\d+),7 \+\1,7 @@$", done.stdout, re.MULTILINE)
        assert "Restart: systemctl restart containerd" in done.stdout
        assert sorted(path.name for path in file.parent.iterdir()) == ["config.toml", "config.toml.conward-backup"]
        assert node.examine() == []

    def test_names_are_escaped(self, node):
        node.put(CONTAINERD, 'imports = ["/etc/containerd/conf.d/*"]\n')
        node.put("etc/containerd/conf.d/a\033[2J\x9b\u202eb", f"[plugins.cri]\n{LIMIT} = -1\n")
        before = node.run().stdout
        done = node.run("--fix")
        for text in (before, done.stdout, done.stderr):
            assert not {"\033", "\x9b", "\u202e"} & set(text)
        assert "Fixed " in done.stdout and "a\\x1b[2J\\xc2\\x9b\\xe2\\x80\\xaeb:\n" in done.stdout

    def test_no_set_user_id_bit_is_kept(self, node):
        file = node.put(CONTAINERD, f"[plugins.cri]\n{LIMIT} = -1\n")
        file.chmod(0o6755)
        node.examine("--fix", status=0)
        assert node.text(CONTAINERD) == f"[plugins.cri]\n{LIMIT} = 16384\n"
        for path in file.parent.iterdir():
            assert path.stat().st_mode & 0o7777 == 0o755, path

    def test_two_values_of_one_file(self, node):
        text = f"[plugins.cri]\n{LIMIT} = -1\n[plugins.'io.containerd.grpc.v1.cri']\n{LIMIT} = -1000000\n"
        node.put(CONTAINERD, text)
        found = node.examine("--fix", status=0)
        assert [one["mended"] for one in found] == [True, True]
        assert node.text(CONTAINERD) == text.replace("-1000000", "16384").replace("-1", "16384")

    def test_an_older_backup_stays(self, node):
        node.put(CONTAINERD + ".conward-backup", "old")
        node.put(CONTAINERD, f"[plugins.cri]\n{LIMIT} = -1\n")
        done = node.run("--fix")
        assert "config.toml.conward-backup.1\n" in done.stdout
        assert node.text(CONTAINERD + ".conward-backup") == "old"
        assert node.text(CONTAINERD + ".conward-backup.1") == f"[plugins.cri]\n{LIMIT} = -1\n"

    def test_a_link_is_left_alone(self, node):
        node.put("real.toml", f"[plugins.cri]\n{LIMIT} = -1\n")
        (node.root / "etc/containerd").mkdir(parents=True)
        (node.root / CONTAINERD).symlink_to("/real.toml")
        done = node.run("--fix")
        assert done.returncode == 3 and "symbolic link" in done.stderr
        assert node.text("real.toml") == f"[plugins.cri]\n{LIMIT} = -1\n"

    def test_podman_gets_a_drop_in_beside_its_packages_file(self, node):
        text = real("containers.conf", "#log_size_max = -1", "log_size_max = -1")
        node.put("usr/share/containers/containers.conf", text)
        (node.root / "etc/containers").mkdir(parents=True)
        node.examine("--fix", status=0)
        assert node.text("usr/share/containers/containers.conf") == text
        assert node.text("etc/containers/containers.conf.d/99-conward-doctor.conf") == \
            "[containers]\nlog_size_max = 104857600\n"
        assert node.examine() == []

    def test_crio_gets_no_backup_where_it_would_be_read(self, node):
        node.put("etc/crio/crio.conf.d/10-x.conf", "[crio.runtime]\nlog_size_max = -1\n")
        node.examine("--fix", status=0)
        assert sorted(path.name for path in (node.root / "etc/crio/crio.conf.d").iterdir()) == \
            ["10-x.conf", "99-conward-doctor.conf"]
        assert node.examine() == []

    def test_docker_gets_a_file_only_if_it_has_none(self, node):
        node.put("usr/bin/dockerd")
        (node.root / "etc").mkdir()
        node.examine("--fix", status=0)
        assert json.loads(node.text("etc/docker/daemon.json"))["log-opts"] == {"max-size": "10m", "max-file": "3"}
        assert node.examine() == []
        node.put("etc/docker/daemon.json", '{"debug": true}')
        (found,) = node.examine("--fix", status=1)
        assert not found["mended"]
        assert node.text("etc/docker/daemon.json") == '{"debug": true}'

    def test_journald(self, node):
        node.put("etc/systemd/journald.conf", "[Journal]\nRateLimitIntervalSec = 0\nLineMax=1G\n")
        node.examine("--fix", status=0)
        assert node.text("etc/systemd/journald.conf") == "[Journal]\nRateLimitIntervalSec = 30s\nLineMax=48K\n"

    def test_nothing_to_mend_changes_nothing(self, node):
        node.put(CONTAINERD, real("containerd-2-default.toml"))
        assert node.run("--fix").returncode == 0
        assert [path.name for path in (node.root / "etc/containerd").iterdir()] == ["config.toml"]

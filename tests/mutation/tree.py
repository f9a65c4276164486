"""Copies of the project, each with a build of its own, in which its programs may be changed and its tests run."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
TOP = PROJECT / "build-mutation"
# Others have the processors first, and what is left behind ends.
MODEST = ("setpriv", "--pdeathsig", "KILL", "nice", "-n", "10")
# A mutant may ask for files or memory without end. Soft limits, as tests set their own.
BOUNDS = ("prlimit", "--fsize=4294967296:", "--data=4294967296:")

MONITORS = ("src/conward", "src/libexec/conmon", "tests/fault-points/conmon", "src/conwardctl")
HELPERS = ("tests/stub-runtime", "tests/fault", "tests/page", "tests/trouble.so", "tests/buffering-logger")


class Failed(Exception):
    """What the tool itself needs does not work."""


def sources():
    """The files of the project as they are now, without what git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    got = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True)
    return [name for name in got.stdout.decode().split("\0") if name and (PROJECT / name).is_file()]


def units():
    """The unit test programs."""
    return sorted(f"tests/unit/{path.stem}" for path in (PROJECT / "tests/unit").glob("test-*.c"))


class Tree:
    def __init__(self, name):
        self.path = TOP / name
        self.build = self.path / "build"

    def copy(self):
        """Brings the copy up to date; what is equal keeps its time, so that it is not built again."""
        wanted = set(sources())
        for name in wanted:
            source, target = PROJECT / name, self.path / name
            if target.exists() and target.read_bytes() == source.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(source, target)
        for directory, below, files in os.walk(self.path):
            if pathlib.Path(directory) == self.path:  # what is not of the project has such a name
                below[:] = [name for name in below if not name.startswith("build-") and name != "build"]
                files = [name for name in files if not name.startswith("build-")]
            for name in files:
                if os.path.relpath(os.path.join(directory, name), self.path) not in wanted:
                    os.unlink(os.path.join(directory, name))

    def configure(self, *options):
        """Sets the build up once; other options start it anew."""
        settings = self.path / "build-settings"
        if not settings.exists() or settings.read_text() != repr(options):
            shutil.rmtree(self.build, ignore_errors=True)
            self._do("meson", "setup", str(self.build), "-Dtests=true", *options)
            settings.write_text(repr(options))

    def make(self, *targets):
        """Builds; returns whether that could be done."""
        command = (*MODEST, "ninja", "-C", str(self.build), *targets)
        with open(self.path / "build-log", "w", encoding="utf-8") as log:
            return subprocess.run(command, stdout=log, stderr=log).returncode == 0

    def must_make(self, *targets):
        if not self.make(*targets):
            raise Failed(f"{self.path} cannot be built: see {self.path}/build-log")

    def _do(self, *command):
        with open(self.path / "build-log", "w", encoding="utf-8") as log:
            if subprocess.run(command, cwd=self.path, stdout=log, stderr=log).returncode != 0:
                raise Failed(f"{' '.join(command)} fails: see {self.path}/build-log")

    def object_of(self, path):
        """The first object that is made of a source: its name in the build. None for a header."""
        for entry in json.loads((self.build / "compile_commands.json").read_text()):
            if (self.build / entry["file"]).resolve() == self.path / path:
                return entry["output"]
        return None

    def digest(self, name):
        return hashlib.sha256((self.build / name).read_bytes()).hexdigest()

    def sandboxed(self, command, timeout, environment=None, log="build-test-log"):
        """Runs a command of the tests. Returns its exit status, or None after a timeout."""
        command = [*MODEST, *BOUNDS, str(self.path / "tests/sandbox"), *command]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}
        with open(self.path / log, "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command, cwd=self.path, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
                start_new_session=True,
            )  # fmt: skip
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()  # with which all of the sandbox ends
                process.wait()
                return None
            except BaseException:
                process.kill()
                raise

    def pytest(self, files, timeout, environment, programs=None):
        """Runs tests with the programs of this tree, or of `programs`."""
        build = (programs or self).build
        options = ("-p", "no:cacheprovider", "-p", "pytest_seed", "-p", "chosen", "-q", "--tb=line")
        return self.sandboxed(
            ["/usr/bin/python3", "-B", "-m", "pytest", *options, *files],
            timeout,
            {
                "TEST_SEED": "1",
                "PYTHONPATH": f"{self.path}/tests/lib:{self.path}/tests/mutation",
                "CONWARD": str(build / "src/conward"),
                "CONWARDCTL": str(build / "src/conwardctl"),
                "FAULTY": str(build / "tests/fault-points/conmon"),
                "STUB_RUNTIME": str(build / "tests/stub-runtime"),
                "FAULT": str(build / "tests/fault"),
                "PAGE": str(build / "tests/page"),
                "TROUBLE_LIBRARY": str(build / "tests/trouble.so"),
                **environment,
            },
        )

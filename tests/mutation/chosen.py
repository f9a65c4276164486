"""A pytest plugin (-p chosen) for tests/mutate: runs chosen tests only, in the order in which they are given, each
within a time of its own, and notes what became of each.

$CHOSEN is a file with a JSON list of [test, seconds]; without it all tests run. $OUTCOMES is the file to which one JSON
object a test is appended. $REACHED is a directory: what reach.c writes there during a test is noted with the test."""

import json
import os
import pathlib
import shutil
import signal

import pytest

import reached

LIMIT = 300


class TooLong(BaseException):
    """A test that has not ended in its time."""


def _too_long(*_):
    raise TooLong


class Chosen:
    def __init__(self):
        chosen = os.environ.get("CHOSEN")
        self._limits = dict(json.loads(pathlib.Path(chosen).read_text())) if chosen else None
        self._outcomes = open(os.environ["OUTCOMES"], "a", encoding="utf-8")
        self._reached = os.environ.get("REACHED")
        self._test = None
        signal.signal(signal.SIGALRM, _too_long)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collection_modifyitems(self, items):
        yield
        if self._limits is None:
            return
        order = {name: place for place, name in enumerate(self._limits)}
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self._test = {"test": item.nodeid, "seconds": 0.0, "outcome": "passed", "why": ""}
        if self._reached:
            shutil.rmtree(self._reached, ignore_errors=True)
            os.mkdir(self._reached)
            os.chmod(self._reached, 0o1777)
        yield
        if self._reached:
            self._test["reached"] = reached.read(self._reached)
        print(json.dumps(self._test), file=self._outcomes, flush=True)

    @pytest.hookimpl(hookwrapper=True)
    def _limited(self, item):
        signal.setitimer(signal.ITIMER_REAL, LIMIT if self._limits is None else self._limits[item.nodeid])
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)

    pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _limited

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        self._test["seconds"] = round(self._test["seconds"] + report.duration, 3)
        if report.failed and self._test["outcome"] != "timeout":
            self._test["outcome"] = "timeout" if call.excinfo.errisinstance(TooLong) else "failed"
            self._test["why"] = call.excinfo.exconly()[:300]
        elif report.skipped:
            self._test["outcome"] = "skipped"


def pytest_configure(config):
    config.pluginmanager.register(Chosen())

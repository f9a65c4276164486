"""A pytest plugin (-p pytest_tap) that writes what became of every test to $PYTEST_TAP as TAP, for tests/run to count.
The plan comes last: a run that broke off has none."""

import os

import pytest


class Tap:
    def __init__(self, path):
        self._path = path
        self._results = {}

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self._results[report.nodeid] = "not ok"
        elif report.skipped and self._results.get(report.nodeid) != "not ok":
            self._results[report.nodeid] = "skip"
        elif report.when == "call":
            self._results.setdefault(report.nodeid, "ok")

    def pytest_collectreport(self, report):
        if report.failed:
            self._results[report.nodeid or "collection"] = "not ok"

    def pytest_sessionfinish(self, exitstatus):
        with open(self._path, "w", encoding="utf-8") as file:
            for number, (name, result) in enumerate(self._results.items(), 1):
                print(
                    f"ok {number} - {name} # SKIP" if result == "skip" else f"{result} {number} - {name}",
                    file=file,
                )
            # After an interruption or an error of pytest's own, what is counted is not all there was.
            if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
                print(f"1..{len(self._results)}", file=file)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # the workers of pytest-xdist report to the one that has started them
        config.pluginmanager.register(Tap(os.environ["PYTEST_TAP"]))

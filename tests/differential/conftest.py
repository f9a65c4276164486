"""Fixtures of the differential tests: as for the contract tests."""

import os
import pathlib
import signal
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

import compare  # noqa: E402  (found through the paths above)
import engine  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def tools():
    for program in (compare.CONMON, engine.conward(), engine.stub_runtime()):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not an executable: install conmon, build, set CONWARD and STUB_RUNTIME", 2)
    engine.become_subreaper()
    # A shell lets what it runs in the background ignore these, and what is ignored is inherited.
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(sig) == signal.SIG_IGN:
            signal.signal(sig, signal.SIG_DFL)

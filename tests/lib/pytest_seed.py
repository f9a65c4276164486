"""A pytest plugin (-p pytest_seed) that makes chance repeatable: in each test, the module random begins with a seed
made of $TEST_SEED and the test's name. A run without one takes any, and says which; so does each test that fails.
The scheduler still does as it likes."""

import os
import random

import pytest


def pytest_configure():
    # Before the workers of pytest-xdist begin: they get it with the environment.
    os.environ.setdefault("TEST_SEED", str(random.SystemRandom().randrange(1 << 32)))


def pytest_report_header():
    return f"TEST_SEED={os.environ['TEST_SEED']}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    random.seed(f"{os.environ['TEST_SEED']} {item.nodeid}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        report.sections.append(("to repeat what was left to chance", f"TEST_SEED={os.environ['TEST_SEED']}"))

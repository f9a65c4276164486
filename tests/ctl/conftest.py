"""What all tests of conwardctl share."""

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def signals():
    """A shell lets what it runs in the background ignore these, and what is ignored is inherited."""
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(sig) == signal.SIG_IGN:
            signal.signal(sig, signal.SIG_DFL)

"""Marks of test modules that begin clusters."""

from __future__ import annotations

import pytest

BEGINS_CLUSTERS = [
    # Sockets of a cluster that was torn down are closed by the garbage collector: at the end of the module, not in the
    # middle of some other test.
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore:unclosed .*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

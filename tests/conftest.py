"""Settings that all tests share.

Property tests draw the same examples every time, so that main passes or fails for everyone alike; to look for new
ones, run with `HYPOTHESIS_PROFILE=explore`.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# How fast a shared machine draws examples says nothing of the code.
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Lets sockets be left open in a process that has begun a cluster.

    Dask leaves some to the garbage collector, which may come in any later test.
    """
    if "distributed" in sys.modules:
        item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
    return (yield)


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Collects garbage when the module ends, see `tests.support.clusters`."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, see `tests.support.mined`; not to be written to."""
    from tests.support.mined import mine_into

    return mine_into(tmp_path_factory.mktemp("mined"))

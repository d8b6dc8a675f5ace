"""From a Parquet file to a panel, and from a panel to the engine's blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from benches import yardsticks
from benches.duel import Yardstick
from fama_fast.backends.numba_vm.run_memory import to_blocks
from fama_fast.data import to_frame

if TYPE_CHECKING:
    from pathlib import Path

    from benches.duel import Duel
    from fama_fast.panel import Panel


@pytest.fixture(scope="module")
def parquet(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ingestion") / "prices.parquet"
    to_frame(panel).write_parquet(path)
    return path


@pytest.mark.quick
def test_parquet_to_panel(duel: Duel, panel: Panel, parquet: Path) -> None:
    """`Panel.from_parquet`, beside Polars reading the same columns into memory."""
    names = [n.lower() for n in panel.supplied_fields]
    loaded = ff.Panel.from_parquet(parquet)
    np.testing.assert_array_equal(loaded["CLOSE"], panel["CLOSE"])
    read = Yardstick(lambda: pl.read_parquet(parquet, columns=["date", "symbol", *names]))
    duel(lambda: ff.Panel.from_parquet(parquet), {"pl.read_parquet": read}, group="ingestion")


@pytest.mark.quick
def test_panel_to_blocks(duel: Duel, panel: Panel) -> None:
    """The blocked copy of one field that the engine makes when it first meets it."""
    duel(lambda: to_blocks(panel["CLOSE"]), {"copy": yardsticks.copy(panel)}, group="ingestion")

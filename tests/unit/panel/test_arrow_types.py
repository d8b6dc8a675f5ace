"""Parquet files with types that the engine's own frames lack are read, or refused by column."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fama_fast as ff
from fama_fast.errors import DataError
from fama_fast.panel import Panel

DAYS = pa.array([dt.date(2020, 1, 2), dt.date(2020, 1, 3)])
MONEY = [Decimal("1.5"), Decimal("-2.25")]


def write(folder: Path, **columns: Any) -> Path:
    base = {"date": DAYS, "symbol": pa.array(["A", "A"]), "close": pa.array([1.0, 2.0])}
    path = folder / "p.parquet"
    pq.write_table(pa.table({**base, **columns}), path)
    return path


def both(path: Path, **options: Any) -> Panel:
    """The panel, the same whole and in parts."""
    whole = ff.load_market_data(path, **options)
    parts = ff.scan_market_data(path, **options)
    assert parts.data_hash == whole.data_hash
    return whole


@pytest.mark.parametrize(
    "kind", [pa.decimal256(50, 2), pa.decimal256(76, 30), pa.decimal256(10, 4), pa.decimal128(38, 10)], ids=str
)
def test_decimals_of_any_width_are_numbers(tmp_path: Path, kind: Any) -> None:
    path = write(tmp_path, close=pa.array(MONEY, kind), extra=pa.array([Decimal(3), None], kind))
    panel = both(path)
    np.testing.assert_array_equal(panel["CLOSE"][:, 0], [1.5, -2.25])
    np.testing.assert_array_equal(panel["EXTRA"][:, 0], [3, np.nan])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_stamps_with_an_offset_stand_at_its_clock(tmp_path: Path, unit: str) -> None:
    # 2020-01-01 and 02, 18:30 UTC: midnight of the day after at +05:30, and 13:30 of the same day at -05:00.
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    moments = [(1_577_903_400 + 86_400 * i) * scale for i in range(2)]
    east = write(tmp_path, date=pa.array(moments, pa.timestamp(unit, "+05:30")))
    assert both(east).dates.tolist() == DAYS.to_pylist()
    assert both(east, timezone="Asia/Kolkata").dates.tolist() == DAYS.to_pylist()
    west = write(tmp_path, date=pa.array(moments, pa.timestamp(unit, "-05:00")))
    assert str(both(west).dates[0]) == "2020-01-01T13:30:00.000000"
    assert str(both(west, timezone="UTC").dates[0]) == "2020-01-01T18:30:00.000000"


ODD = {
    "a": pa.array([[1], [2]]),
    "b": pa.array([{"x": 1}, {"x": 2}]),
    "c": pa.array([b"x", b"y"]),
    "d": pa.array([1, 2], pa.duration("s")),
}
NESTED = pa.array([[MONEY[0]], [MONEY[1]]], pa.list_(pa.decimal256(50, 2)))


def test_types_that_hold_no_numbers_are_named(tmp_path: Path) -> None:
    panel = both(write(tmp_path, **ODD))
    assert panel.supplied_fields == ("CLOSE",)
    assert sum("is not used: its type is" in w for w in panel.warnings) == len(ODD)


@pytest.mark.parametrize("key", ["date", "symbol", "close"])
def test_keys_and_prices_of_such_types_are_refused(tmp_path: Path, key: str) -> None:
    for column in (*ODD.values(), NESTED):
        path = write(tmp_path, **{key: column})
        with pytest.raises(DataError, match=f"p.parquet.*column '{key}' has (the )?type"):
            ff.load_market_data(path)
        with pytest.raises(DataError, match=r"p\.parquet"):
            ff.scan_market_data(path).panel()

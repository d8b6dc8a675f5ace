"""Joins date and time that stand in two columns, as Stooq and MetaTrader write bars within a day, to moments.

Only where the date does not tell the rows of a symbol apart: beside daily bars a time may mean anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from fama_fast.panel import names as nm
from fama_fast.panel.key_columns import key_column
from fama_fast.panel.keys import read_dates

if TYPE_CHECKING:
    from fama_fast.panel.reading import Reading

_TIMES = ("time", "时间")
# 9:35, 09:35:00, 0935, 93500, 093500; in digits alone the last two of five or six are seconds.
_CLOCK = r"^(\d{1,2}):?(\d{2}):?(\d{2})?$"


def with_clock(table: pl.DataFrame, reading: Reading, source: str) -> pl.DataFrame:
    """The rows with the time of day in their dates, where they need it; as they are otherwise.

    Raises:
        DataError: a date that cannot be read.
    """
    columns = table.columns
    date = key_column(columns, "date", reading.date)
    time = next((c for c in columns if nm.plain(c) in _TIMES and c != date), None)
    if date is None or time is None or not (isinstance(table[time].dtype, pl.String) and table.height):
        return table
    symbol = key_column(columns, "symbol", reading.symbol)
    keys = [date] if symbol is None else [date, symbol]
    if table.select(keys).n_unique() == table.height:
        return table
    clock = table[time].str.strip_chars()
    # A zero in front of the hour may be lost.
    clock = pl.select(pl.when(clock.str.contains(r"^(\d{3}|\d{5})$")).then("0" + clock).otherwise(clock)).to_series()
    parts = clock.str.extract_groups(_CLOCK).struct.unnest()
    hour, minute, second = (parts.to_series(i).cast(pl.Int64, strict=False) for i in range(3))
    known = (hour < 24) & (minute < 60) & (second.fill_null(0) < 60)
    if not known.fill_null(value=False).all():
        return table
    days = read_dates(table[date], source=source)
    if not isinstance(days.dtype, pl.Date):
        return table
    seconds = hour * 3600 + minute * 60 + second.fill_null(0)
    moments = days.cast(pl.Datetime("us")) + (seconds * 1_000_000).cast(pl.Duration("us"))
    return table.with_columns(moments.alias(date)).drop(time)

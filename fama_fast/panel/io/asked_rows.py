"""Finds the rows of a text file that may be among the dates asked for: their cells alone decide a column's type.

One bad cell on an old day would make a column of prices one of text. The rows found here are never fewer than those
that are used in the end, which is decided when all files are known (`panel.choose`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.errors import DataError
from fama_fast.panel.calendar import Span, span_of
from fama_fast.panel.keys import MICROSECONDS_A_DAY, microseconds, read_dates

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.panel.reading import Reading
    from fama_fast.types import BoolArray


def asked_rows(dates: pl.Series, reading: Reading) -> BoolArray | None:
    """Mask of the rows (a date each) that may be asked for; None for all of them."""
    if (reading.start is None and reading.end is None) or dates.is_empty():
        return None
    try:
        moments = microseconds(read_dates(dates, source=""))
    except DataError:
        return None  # what is no date is refused where its row can be named
    span = span_of(reading)
    low, high = span.low, span.high
    if low is not None and reading.history:
        before = np.unique(moments[moments < low])
        # Dates with few symbols may be passed over, and then as many more are history.
        low = None if reading.min_symbols is not None else int(before[-reading.history :].min(initial=low))
    if reading.timezone is not None:  # another clock is less than a day off
        low = None if low is None else low - MICROSECONDS_A_DAY
        high = None if high is None else high + MICROSECONDS_A_DAY
    inside = Span(low, high).holds(moments)
    return None if inside.all() else inside

"""Dates and symbols of a long frame, made uniform: datetime64 and text.

Both functions name the column, the row (counted from 1) and the value of what they cannot read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError, shortened
from fama_fast.panel.columns import is_text

if TYPE_CHECKING:
    import numpy as np

Locate = Callable[[int], str]
"""Says where a 0-based row lies, for messages: `row 17`, or `prices/b.csv row 3`."""

_DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d")
_ACCEPTED = "a date, YYYY-MM-DD or YYYYMMDD"


def plain_row(row: int) -> str:
    """`row 1` for the first row of data."""
    return f"row {row + 1:,}"


def read_dates(column: pl.Series, *, source: str, locate: Locate = plain_row) -> pl.Series:
    """Dates from Date, Datetime, ISO text or whole numbers yyyymmdd.

    Datetimes that all stand at midnight become dates; others stay, in microseconds, at local clock time.

    Raises:
        DataError: a null, a text or number that is no date, another type.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Date):
        parsed = column
    elif isinstance(dtype, pl.Datetime):
        parsed = _local(column)
    elif is_text(dtype) or dtype.is_integer():
        # Each distinct value is parsed once: there are far fewer dates than rows.
        texts = column.cast(pl.String).str.strip_chars()
        distinct = texts.unique().drop_nulls()
        parsed = texts.replace_strict(distinct, _parse(distinct), default=None, return_dtype=pl.Datetime("us"))
    elif isinstance(dtype, pl.Null):
        parsed = column.cast(pl.Date)
    else:
        raise DataError(f"{source}: column {column.name!r} has type {dtype}, which is not {_ACCEPTED}")
    if parsed.null_count():
        _refuse(column, parsed.is_null(), source, locate, f"is not {_ACCEPTED}")
    return _midnight_to_date(parsed).rename(column.name)


def read_symbols(column: pl.Series, *, source: str, locate: Locate = plain_row) -> pl.Series:
    """Symbols as text, without spaces around them; whole numbers become their digits.

    Raises:
        DataError: a null or empty symbol, another type.
    """
    if not (is_text(column.dtype) or column.dtype.is_integer() or isinstance(column.dtype, pl.Null)):
        raise DataError(f"{source}: column {column.name!r} has type {column.dtype}, not symbols")
    texts = column.cast(pl.String).str.strip_chars()
    empty = texts.is_null() | (texts == "").fill_null(value=False)
    if empty.any():
        _refuse(column, empty, source, locate, "is not a symbol")
    return texts


def _parse(texts: pl.Series) -> pl.Series:
    found = pl.Series(texts.name, [None] * len(texts), dtype=pl.Datetime("us"))
    for form in _DATE_FORMATS:
        day = texts.str.to_date(form, strict=False, exact=True).cast(pl.Datetime("us"))
        found = found.fill_null(day)
    missing = texts.filter(found.is_null())
    if not missing.is_empty():
        moments = [_moment(t) for t in missing.to_list()]
        found = found.scatter(found.is_null().arg_true(), pl.Series(moments, dtype=pl.Datetime("us")))
    return found


def _moment(text: str) -> object:
    """An ISO date and time, at its local clock time; None for anything else."""
    import datetime as dt

    # Bare digits would pass for week dates and the like: yyyymmdd is the only number that is a date.
    if "-" not in text:
        return None
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def _local(column: pl.Series) -> pl.Series:
    return column.dt.replace_time_zone(None).dt.cast_time_unit("us")


def _midnight_to_date(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Date):
        return column
    whole = column.dt.truncate("1d") == column
    return column.cast(pl.Date) if whole.all() else column


def _refuse(column: pl.Series, bad: pl.Series, source: str, locate: Locate, what: str) -> None:
    rows = bad.arg_true().to_list()
    value = column[rows[0]]
    shown = "an empty value" if value is None or not str(value).strip() else repr(shortened(str(value)))
    more = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
    raise DataError(f"{source}: column {column.name!r}, {locate(rows[0])}: {shown} {what}{more}")


def dates_to_numpy(dates: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """datetime64[D] for dates, datetime64[us] for moments."""
    unit = "D" if isinstance(dates.dtype, pl.Date) else "us"
    return dates.to_numpy().astype(f"datetime64[{unit}]")

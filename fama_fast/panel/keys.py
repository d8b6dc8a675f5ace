"""Reads the dates and symbols of a long frame into one form: datetime64 and text.

Both functions name the column, the row (counted from 1) and the value of what they cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.errors import DataError, quoted
from fama_fast.panel.columns import is_text
from fama_fast.panel.zones import to_zone

if TYPE_CHECKING:
    from fama_fast.types import IntArray

MICROSECONDS_A_DAY = 86_400_000_000

Locate = Callable[[int], str]
"""Says where a 0-based row lies, for messages: `row 17`, or `prices/b.csv row 3`."""

# With dots, the day comes first unless the year does; with slashes it depends on the country.
_DATE_FORMATS = (
    *("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%Y.%m.%d"),
    *("%d%b%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y"),
)
_FIRST_YEAR = 1000  # what comes before was written with two digits
_WITH_TIME = re.compile(r"([12]\d{3})(?:([-/.])(\d{1,2})\2(\d{1,2})|(\d\d)(\d\d))[ T](\d{1,2})(:.*)\Z")
_TWO_DIGITS = re.compile(r"(\d{1,2}[- ]?[A-Za-z]{3}[- ]?|[A-Za-z]{3} \d{1,2}, |\d{1,2}\.\d{1,2}\.)\d\d\Z")
_WITH_SLASHES = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}\b")
_SLASHES = "; whether the day or the month comes first depends on the country: write them as YYYY-MM-DD"
_YEAR = "; write the year with four digits"
_SERIAL = re.compile(r"[2-5]\d{4}(\.\d+)?\Z")
_HINTS = (
    (_WITH_SLASHES, _SLASHES),
    (_TWO_DIGITS, _YEAR),
    (_SERIAL, "; if it is a spreadsheet's number of days: write it as YYYY-MM-DD"),
)
_ACCEPTED = "a date, YYYY-MM-DD or YYYYMMDD"
_ACCEPTED_NUMBER = f"{_ACCEPTED}, or a time since 1970 in s, ms, us or ns"
# Units of time since 1970 by size, in microseconds, from 1973 on: no other whole number that stands for a date is as
# large. Seconds end in 2030, where ten digits could be yyyymmddhh; milliseconds leave out those of 1976, where twelve
# could be yyyymmddhhmm.
_SINCE_1970: tuple[tuple[int, int, float], ...] = (
    (10**8, 1_900_000_000, 1e6),
    (10**11, 190_000_000_000, 1e3),
    (210_100_000_000, 4_200_000_000_000, 1e3),
    (10**14, 4_200_000_000_000_000, 1.0),
    (10**17, 4_200_000_000_000_000_000, 1e-3),
)


def plain_row(row: int) -> str:
    """Name of a row in messages: `row 1` for the first row of data."""
    return f"row {row + 1:,}"


def read_dates(column: pl.Series, *, source: str, locate: Locate = plain_row, zone: str | None = None) -> pl.Series:
    """Parse dates from Date, Datetime, text (ISO, 31.12.2020, 31DEC2020), whole numbers yyyymmdd or of time since 1970.

    Datetimes that all stand at midnight become dates; others stay, in microseconds, at the clock that they carry.

    Args:
        zone: move them to the clock of this time zone; those that carry no zone are of UTC.

    Raises:
        DataError: a null, a text or number that is no date, another type.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Date):
        parsed = column if zone is None else column.cast(pl.Datetime("us"))
    elif isinstance(dtype, pl.Datetime):
        universal = column if dtype.time_zone is None or zone is None else column.dt.convert_time_zone("UTC")
        parsed = universal.dt.replace_time_zone(None).dt.cast_time_unit("us")
    elif is_text(dtype) or dtype.is_integer() or dtype.is_float():
        # Each distinct value is parsed once: there are far fewer dates than rows.
        texts = _digits(column) if dtype.is_float() else column.cast(pl.String).str.strip_chars()
        distinct = texts.unique().drop_nulls()
        read = _parse(distinct, universal=zone is not None)
        parsed = texts.replace_strict(distinct, read, default=None, return_dtype=pl.Datetime("us"))
    elif isinstance(dtype, pl.Null):
        parsed = column.cast(pl.Date)
    else:
        raise DataError(f"{source}: column {quoted(column.name)} has type {dtype}, which is not {_ACCEPTED}")
    if parsed.null_count():
        accepted = _ACCEPTED_NUMBER if dtype.is_numeric() else _ACCEPTED
        _refuse(column, parsed.is_null(), source, locate, f"is not {accepted}")
    if zone is not None:
        parsed = to_zone(parsed, zone)
    return plain_dates(parsed).rename(column.name)


def _digits(column: pl.Series) -> pl.Series:
    """Whole numbers that are stored as floats, as text; null for others."""
    integral = column.is_finite() & (column.round() == column) & (column.abs() < 2.0**63)
    return column.set(~integral, None).cast(pl.Int64).cast(pl.String)


def read_symbols(column: pl.Series, *, source: str, locate: Locate = plain_row) -> pl.Series:
    """Symbols as text, without spaces around them; whole numbers become their digits.

    Raises:
        DataError: a null or empty symbol, another type.
    """
    if not (is_text(column.dtype) or column.dtype.is_integer() or isinstance(column.dtype, pl.Null)):
        raise DataError(f"{source}: column {quoted(column.name)} has type {column.dtype}, not symbols")
    texts = column.cast(pl.String).str.strip_chars()
    empty = texts.is_null() | (texts == "").fill_null(value=False)
    if empty.any():
        _refuse(column, empty, source, locate, "is not a symbol")
    return texts


def _parse(texts: pl.Series, *, universal: bool) -> pl.Series:
    """Distinct texts as stamps, null for those that are none: at the clock that they carry, or of UTC."""
    stamps = pl.Series(texts.name, [None] * len(texts), dtype=pl.Datetime("us"))
    for form in _DATE_FORMATS:
        day = texts.str.to_date(form, strict=False, exact=True).cast(pl.Datetime("us"))
        # %Y takes 19 for the year 19.
        stamps = stamps.fill_null(day.set((day.dt.year() < _FIRST_YEAR).fill_null(value=False), None))
    stamps = stamps.fill_null(_since_1970(texts)).fill_null(_seconds_written_out(texts))
    missing = texts.filter(stamps.is_null())
    if not missing.is_empty():
        moments = [_moment(t, universal=universal) for t in missing.to_list()]
        stamps = stamps.scatter(stamps.is_null().arg_true(), pl.Series(moments, dtype=pl.Datetime("us")))
    return stamps


def _since_1970(texts: pl.Series) -> pl.Series:
    numbers = texts.set(~texts.str.contains(r"^[0-9]{9,19}$"), None).cast(pl.Int64, strict=False)
    moments = pl.Series(texts.name, [None] * len(texts), dtype=pl.Int64)
    for low, high, unit in _SINCE_1970:
        within = numbers.set(~numbers.is_between(low, high, closed="left"), None)
        moments = moments.fill_null(within * int(unit) if unit >= 1 else within // round(1 / unit))
    return moments.cast(pl.Datetime("us"))


def _seconds_written_out(texts: pl.Series) -> pl.Series:
    """Parse whole numbers yyyymmddhhmmss."""
    digits = texts.set(~texts.str.contains(r"^[0-9]{14}$"), None)
    return digits.str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False, exact=True)


def _moment(text: str, *, universal: bool) -> object:
    """An ISO date and time, at the clock that it carries, or of UTC; None for anything else."""
    import datetime as dt

    spelled = _WITH_TIME.match(text)
    if spelled is not None:
        year, _, *month_and_day, hour, rest = spelled.groups()
        month, day = (part for part in month_and_day if part)
        text = f"{year}-{month:0>2}-{day:0>2} {hour:0>2}{rest}"
    # Bare digits would pass for week dates and the like.
    if "-" not in text:
        return None
    try:
        read = dt.datetime.fromisoformat(text)
        if universal and read.tzinfo is not None:
            read = read.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return read.replace(tzinfo=None) if read.year >= _FIRST_YEAR else None


def plain_dates(column: pl.Series) -> pl.Series:
    """Moments that all stand at midnight as dates; others as they are."""
    if isinstance(column.dtype, pl.Date):
        return column
    midnight = column.dt.truncate("1d") == column
    return column.cast(pl.Date) if midnight.all() else column


def _refuse(column: pl.Series, bad: pl.Series, source: str, locate: Locate, what: str) -> None:
    rows = bad.arg_true().to_list()
    value = column[rows[0]]
    shown = "an empty value" if value is None or not str(value).strip() else quoted(value)
    more = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
    text = "" if value is None else str(value).strip()
    hint = next((said for form, said in _HINTS if form.match(text)), "")
    raise DataError(f"{source}: column {quoted(column.name)}, {locate(rows[0])}: {shown} {what}{more}{hint}")


def dates_to_numpy(dates: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """The dates in NumPy: datetime64[D] for dates, datetime64[us] for moments."""
    unit = "D" if isinstance(dates.dtype, pl.Date) else "us"
    return dates.to_numpy().astype(f"datetime64[{unit}]")


def microseconds(dates: pl.Series) -> IntArray:
    """Dates or moments, as `read_dates` gives them, in microseconds since 1970."""
    moments: IntArray = dates.to_physical().to_numpy().astype(np.int64)
    return moments * MICROSECONDS_A_DAY if isinstance(dates.dtype, pl.Date) else moments


def shown_moment(moment: np.datetime64) -> str:
    """A date or moment for messages: `2020-01-02`, `2020-01-02 09:30:00`."""
    return str(moment).replace("T", " ").removesuffix(".000000")

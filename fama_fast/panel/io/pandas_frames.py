"""Turns pandas data frames into ones without an index, and into wide tables by field.

pandas itself is never imported here: who gives a frame of pandas has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from fama_fast.errors import DataError, listed
from fama_fast.panel.io.layout import known_field
from fama_fast.panel.key_columns import key_column
from fama_fast.panel.keys import read_dates
from fama_fast.panel.reading import PLAIN

if TYPE_CHECKING:
    from fama_fast.panel.reading import Reading


def is_pandas(data: Any) -> bool:
    """Whether an object is a data frame or series of pandas; pandas is not imported for it."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "index")


def with_columns_alone(data: Any, reading: Reading | None = None) -> Any:
    """A pandas frame whose index has become columns, in front, with names that are text and types that Arrow has.

    A series with a name and an index of two levels is a frame of one column. Levels whose names do not say which holds
    the dates are told apart by what is in them.

    Returns:
        The frame; None for another series.

    Raises:
        DataError: two columns of one name; two levels, of which neither or both hold dates.
    """
    if not hasattr(data, "columns"):
        if data.name is None or data.index.nlevels < 2:
            return None
        data = data.to_frame()
    plain = data.set_axis([str(c) for c in data.columns], axis=1)
    plain = _indexed(plain, reading or PLAIN)
    if not plain.columns.is_unique:
        raise DataError(f"the frame has two columns {plain.columns[plain.columns.duplicated()][0]!r}")
    # Polars has no periods: a month is its first day.
    periods = {c: plain[c].dt.to_timestamp() for c in plain.columns if str(plain[c].dtype).startswith("period[")}
    return plain.assign(**periods) if periods else plain


def _indexed(plain: Any, reading: Reading) -> Any:
    index = plain.index
    if index.nlevels == 1:
        dated = key_column(list(plain.columns), "date", reading.date) is not None
        whole = type(index).__name__ == "RangeIndex" or (dated and getattr(index.dtype, "kind", "") in "iu")
        # Row numbers that nobody named say nothing.
        if index.name is None and whole:
            return plain
        plain = plain if index.name is None else plain.rename_axis(str(index.name))
        return _without_index(plain)
    names = [None if name is None else str(name) for name in index.names]
    if index.nlevels == 2:
        names = _keys_named(plain, names, reading)
    return _without_index(plain.rename_axis(names))


def _without_index(plain: Any) -> Any:
    clash = [name for name in plain.index.names if name is not None and name in plain.columns]
    if clash:
        raise DataError(
            f"{clash[0]!r} is a column and a level of the index: drop one of them (frame.reset_index(drop=True))"
        )
    return plain.reset_index()


def _keys_named(plain: Any, names: list[str | None], reading: Reading) -> list[str | None]:
    """Names of two levels, where those without one are the keys that nothing else is called."""
    if None not in names:
        return names
    have = [*(n for n in names if n is not None), *plain.columns]
    missing: list[str] = []
    if reading.date is None and key_column(have, "date", fallbacks=False) is None:
        missing.append("date")
    if reading.symbol is None and key_column(have, "symbol") is None:
        missing.append("symbol")
    if len(missing) < 2:
        key = missing[0] if missing and names.count(None) == 1 else None
        return [key if name is None else name for name in names]
    if plain.empty:
        return ["date", "symbol"]
    dated = [at for at in (0, 1) if names[at] is None and _holds_dates(plain.index.get_level_values(at).unique())]
    if len(dated) != 1 or names.count(None) != 2:
        which = "both" if len(dated) == 2 else "neither"
        raise DataError(
            f"frame: the index has two levels that are not called date and symbol, and {which} can be told to hold the "
            "dates: name them (frame.rename_axis(['date', 'symbol']))"
        )
    return ["date" if at in dated else "symbol" for at in (0, 1)]


def _holds_dates(level: Any) -> bool:
    if str(level.dtype).startswith(("datetime64", "period[")):
        return True
    try:
        read_dates(pl.Series("level", level.tolist()), source="index")
    except (DataError, TypeError, pl.exceptions.PolarsError):
        return False
    return True


def by_field(data: Any, reading: Reading) -> dict[str, Any]:
    """The wide tables of a frame whose columns are pairs of a field and a symbol, in either order.

    Raises:
        DataError: no level of the columns names a field.
    """
    levels = [data.columns.get_level_values(i).unique() for i in (0, 1)]
    known = [sum(known_field(str(name), reading) is not None for name in level) for level in levels]
    level = 0 if known[0] >= known[1] else 1
    if not known[level]:
        raise DataError(
            f"frame: the columns have two levels, and neither names a field such as close (the first has "
            f"{listed(map(str, levels[0]), 5)})"
        )
    return {str(name): data.xs(name, axis=1, level=level) for name in levels[level]}

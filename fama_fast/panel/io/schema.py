"""Merges the columns of the files of one data set, and refuses files that differ.

Columns are matched without regard to case. A file may lack a column that others have (its values are missing there),
but neither a key nor the close. A column without any value, and a file without rows, have no type. Numbers of all
kinds go together, and so do dates of all kinds, text and whole numbers yyyymmdd included, where they are keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError, quoted
from fama_fast.panel import names as nm
from fama_fast.types import STANDARD_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_SHOWN = 3


@dataclass(frozen=True)
class Common:
    """The columns of a data set.

    Attributes:
        schema: names (as the first file that has them spells them) and types. names: for each file, its own name of
            each of these columns that it has. warnings: which columns are missing where.
    """

    schema: dict[str, pl.DataType]
    names: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]


def common_schema(
    files: Sequence[tuple[str, Mapping[str, pl.DataType]]],
    *,
    keys: Collection[str],
    needed: Callable[[str], bool] = lambda _: False,
) -> Common:
    """The common columns of these files, each a name for messages and its columns.

    Args:
        keys: names of columns of dates or symbols, as `names.plain` spells them.
        needed: whether a file must have a column that others have.

    Raises:
        DataError: a file lacks a column that it must have, or has one of another kind.
    """
    spelled: dict[str, str] = {}
    holders: dict[str, list[int]] = {}
    names: list[dict[str, str]] = []
    for i, (_, schema) in enumerate(files):
        own: dict[str, str] = {}
        # A ticker T and a time t are two columns.
        letters = nm.is_bar_of_letters(schema)
        for column in schema:
            exact = letters and column in ("T", "t")
            name = spelled.setdefault(column if exact else column.strip().lower(), column)
            if name in own:
                raise DataError(f"{files[i][0]}: columns {quoted(own[name])} and {quoted(column)} differ only in case")
            own[name] = column
            holders.setdefault(name, []).append(i)
        names.append(own)
    out: dict[str, pl.DataType] = {}
    lacking: dict[str, list[int]] = {}
    for name, having in holders.items():
        if len(having) < len(files):
            without = [i for i in range(len(files)) if name not in names[i]]
            if nm.plain(name) in keys or needed(name):
                have, lack = files[having[0]][0], files[without[0]][0]
                raise DataError(f"{lack}: columns differ from {have}: there is no {quoted(name)}")
            lacking[name] = without
        out[name] = _common_type(
            name, [(files[i][0], files[i][1][names[i][name]]) for i in having], key=nm.plain(name) in keys
        )
    return Common(
        out, tuple(names), tuple(_missing(name, [files[i][0] for i in at], len(files)) for name, at in lacking.items())
    )


def _missing(column: str, files: Sequence[str], of: int) -> str:
    more = ", ..." if len(files) > _SHOWN else ""
    verb = "has" if len(files) == 1 else "have"
    shown = ", ".join(files[:_SHOWN]) + more
    return f"{len(files):,} of {of:,} files {verb} no column {quoted(column)}, which is missing there: {shown}"


def _common_type(name: str, types: Sequence[tuple[str, pl.DataType]], *, key: bool) -> pl.DataType:
    distinct: dict[pl.DataType, str] = {}
    for file, dtype in types:
        if not isinstance(dtype, pl.Null):
            distinct.setdefault(dtype, file)
    if not distinct:
        return pl.Null()
    if len(distinct) == 1:
        return next(iter(distinct))
    kinds: dict[str, str] = {}
    for dtype, file in distinct.items():
        kinds.setdefault(_kind(dtype), file)
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind == "numbers":
            integral = all(d.is_integer() for d in distinct)
            signed = integral and not any(isinstance(d, pl.UInt64 | pl.Int128) for d in distinct)
            return pl.Int64() if signed else pl.Float64()
        if kind == "text":
            return pl.String()
        if kind == "dates":
            zones = {d.time_zone for d in distinct if isinstance(d, pl.Datetime)}
            if len(zones) <= 1 and not (zones - {None} and any(isinstance(d, pl.Date) for d in distinct)):
                return pl.Datetime("us", zones.pop() if zones else None)
    if set(kinds) == {"numbers", "true or false"}:
        return pl.Float64()
    group = (nm.alias_of(name) or nm.field_name(name)) in STANDARD_GROUPS and set(kinds) <= {"numbers", "text"}
    if group or (key and set(kinds) <= {"numbers", "text", "dates"}):
        return pl.String()
    (one, first), (other, second) = [*kinds.items(), *kinds.items()][:2]
    if len(kinds) == 1:
        (a, first), (b, second) = list(distinct.items())[:2]
        one, other = str(a), str(b)
    raise DataError(f"{second}: column {quoted(name)} is {other}, but {one} in {first}")


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "numbers"
    if isinstance(dtype, pl.Boolean):
        return "true or false"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "dates"
    return str(dtype)


def aligned(column: pl.Expr, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """A column of one file in the type of the data set; dates become ISO text where text is wanted."""
    if have == want:
        return column
    if isinstance(want, pl.String) and isinstance(have, pl.Date):
        return column.dt.strftime("%Y-%m-%d")
    if isinstance(want, pl.String) and isinstance(have, pl.Datetime):
        return column.dt.replace_time_zone(None).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    if isinstance(want, pl.String) and have.is_float():
        # A column of whole numbers with a gap is one of floats: 20200102.0 is 20200102.
        integral = column.is_null() | (column == column.round())
        return (
            pl.when(integral.all())
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        )
    return column.cast(want)

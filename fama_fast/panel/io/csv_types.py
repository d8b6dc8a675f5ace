"""Types the columns of a text file as numbers, true and false, or text: all cells of a column decide.

- Keys stay text: 000001 is not 1, and TRUE is a company. So do whole numbers with leading zeros, which are codes.
- A column of numbers and words for "no value" (`text_values.MISSING_TOKENS`) is one of numbers.
- A column without any value has no type.
- With a decimal comma, dots between groups of three digits are no decimal points: 1.234,5 is 1234.5.

Tables may have ten thousand columns, so each step is done for many columns at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from fama_fast.panel import names as nm
from fama_fast.panel.text_values import labels_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_COMMA_NUMBER = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)?(,\d*)?([eE][+-]?\d+)?$"
# One group of three digits behind a comma may be thousands as well.
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+$"
_CODE = r"^[+-]?0\d"
_HEAD = 100
# Why CRSP has no return for a day, in the column of returns itself.
_RETURNS = frozenset({"ret", "retx", "dlret", "dlretx"})
_RETURN_CODES = ["A", "B", "C", "D", "E", "P", "S", "T"]


def typed(texts: pl.DataFrame, *, decimal: str = ".", market: Collection[str] = ()) -> pl.DataFrame:
    """Columns of text, each with the type that all its cells allow.

    Args:
        texts: cells as they stand in the file, without nulls. decimal: `.` or `,`.
        market: columns of prices, volumes and the like, which are never codes.
    """
    columns = _numbers(texts, decimal, market)
    rest = [n for n in texts.columns if n not in columns]
    if rest:
        words = texts.select(labels_of(pl.col(rest)))
        coded = [n for n in rest if nm.plain(n) in _RETURNS]
        words = words.with_columns(pl.col(coded).replace(_RETURN_CODES, None)) if coded else words
        empty = [n for n, nulls in zip(rest, words.null_count().row(0), strict=True) if nulls == len(texts)]
        columns |= {n: pl.Series(n, [None] * len(texts), dtype=pl.Null) for n in empty}
        words = words.drop(empty)
        columns |= _numbers(words, decimal, market)
        columns |= _truths(words.drop(n for n in words.columns if n in columns))
    columns |= {s.name: s for s in as_text(texts.drop(columns))}
    return texts.select(columns[n] for n in texts.columns)


def as_text(texts: pl.DataFrame) -> pl.DataFrame:
    """Columns of text, null where there is none."""
    return texts.select(pl.all().replace("", None))


def _numbers(texts: pl.DataFrame, decimal: str, market: Collection[str]) -> dict[str, pl.Series]:
    """The columns in which every cell is a number (or null), as Int64 or Float64, but for those that are codes."""
    plain = texts
    if decimal == ",":
        wrong = texts.select((~pl.all().str.contains(_COMMA_NUMBER)).any())
        consistent = [n for n in texts.columns if not wrong[n][0]]
        dotless = pl.col(consistent).str.replace_all(".", "", literal=True)
        plain = texts.select(dotless.str.replace(",", ".", literal=True))
    # Most columns of text show it at once.
    head = plain.head(_HEAD)
    names = _without_new_nulls(head, pl.Float64())
    integral = set(_without_new_nulls(head.select(names), pl.Int64()))
    integers = plain.select(pl.col([n for n in names if n in integral]).cast(pl.Int64, strict=False))
    columns = {s.name: s for s in integers if s.null_count() == plain[s.name].null_count()}
    doubtful = plain.select(pl.col([n for n in columns if n not in market]).str.contains(_CODE).any())
    codes = {s.name for s in doubtful if s[0]}
    floats = plain.select(pl.col([n for n in names if n not in columns]).cast(pl.Float64, strict=False))
    columns |= {s.name: s for s in floats if s.null_count() == plain[s.name].null_count()}
    return {n: s for n, s in columns.items() if n not in codes and s.null_count() < len(s)}


def _without_new_nulls(texts: pl.DataFrame, dtype: pl.DataType) -> list[str]:
    """The columns of which every cell can be cast."""
    cast = texts.select(pl.all().cast(dtype, strict=False))
    pairs = zip(texts.null_count().row(0), cast.null_count().row(0), strict=True) if texts.width else ()
    return [n for n, (a, b) in zip(texts.columns, pairs, strict=True) if a == b]


def _truths(texts: pl.DataFrame) -> dict[str, pl.Series]:
    """The columns in which every cell is true or false (or null)."""
    if not texts.width:
        return {}
    first = texts.select(pl.all().drop_nulls().first()).row(0)
    names = [n for n, text in zip(texts.columns, first, strict=True) if str(text).lower() in ("true", "false")]
    lower = texts.select(pl.col(names).str.to_lowercase())
    other = lower.select((~pl.all().is_in(["true", "false"])).any())
    return {n: lower[n] == "true" for n in names if not other[n][0]}


def decimal_commas(texts: pl.DataFrame, types: Sequence[pl.DataType]) -> tuple[bool, bool]:
    """Whether numbers of these columns have decimal commas for certain; and whether something speaks against it.

    Args:
        texts: cells as they stand in the file. types: of the columns, read with a decimal point.
    """
    certain = False
    for name, dtype in zip(texts.columns, types, strict=True):
        if not (isinstance(dtype, pl.String) or dtype.is_float()):
            continue
        cells = labels_of(texts[name]).drop_nulls()
        numbers = bool(cells.str.contains(_COMMA_NUMBER).all())
        if dtype.is_float() and not numbers:
            return certain, True
        if isinstance(dtype, pl.String) and numbers:
            commas = cells.filter(cells.str.contains(",", literal=True))
            certain = certain or not commas.str.contains(_THOUSANDS).all()
    return certain, False

"""Interprets texts in data: words for "no value", labels of groups, and texts that are no labels.

A column of text is a group only where it says which company belongs with which. Numbers written as text (`1.5%`,
`1,300`, `1.2B`), dates, and a column that has a label of its own for nearly every row do not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from fama_fast.errors import shortened
from fama_fast.types import STANDARD_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

# What people write for "no value". Never applied to a symbol: NA is a listed company.
MISSING_TOKENS = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "<NA>"),
    *("NaN", "nan", "NAN", "null", "NULL", "None", "none", "NaT", "-"),
)

_SIGN = r"[-+\u2212\u2010-\u2015\uFF0D]"
_DIGITS = r"(?:\d[\d,.'\u00A0\u2009\u202F ]*|\.\d+)"
_NUMBER = re.compile(
    rf"\(?{_SIGN}?\s*[$€£¥￥₩₹]?\s*{_SIGN}?{_DIGITS}(?:[eE]{_SIGN}?\d+)?\s*(?:%|‰|bps?|[kmbtKMBT]n?|mio|mrd|万|亿|萬|億)?\)?\Z"
)
_CODE = re.compile(r"\d+\Z")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ].*)?\Z|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\Z")

_FEW = 4  # rows with a text below which nothing is said of how many labels they have
_MANY = 10  # symbols from which on a label for nearly each of them is a name
_NEARLY = 0.8
_MOST = 0.9


Texts = TypeVar("Texts", pl.Series, pl.Expr)


def labels_of(column: Texts) -> Texts:
    """Labels of a group as text: stripped, null where they are a word for "no value"."""
    return column.cast(pl.String).str.strip_chars().replace(list(MISSING_TOKENS), None)


def no_group(name: str, column: str, labels: Iterable[str], *, rows: int | None, symbols: int) -> str | None:
    """A sentence that says why a column of text is no group, None where it is one.

    Args:
        name: of the group. column: of the data. labels: its labels, without words for "no value".
        rows: how many rows have a label; None for data with one row a symbol. symbols: how many symbols there are.
    """
    texts = list(labels)
    if not texts:
        return None
    start = f"column {shortened(column)!r} is not used: "
    if all(map(_DATE.match, texts)):
        return f"{start}it holds dates such as {shortened(min(texts))!r}"
    numbers = [t for t in texts if _NUMBER.match(t)]
    if len(numbers) >= _MOST * len(texts) and not all(map(_CODE.match, texts)):
        odd = next((t for t in numbers if not _CODE.match(t)), numbers[0])
        return f"{start}it holds numbers written as text, such as {shortened(odd)!r}"
    if name in STANDARD_GROUPS:
        return None
    hint = "(ask for it as a group to use it)"
    if rows is not None and rows >= _FEW and 2 * len(texts) > rows:
        return f"{start}it has {len(texts):,} labels in {rows:,} rows {hint}"
    if symbols >= _MANY and len(texts) > _NEARLY * symbols:
        return f"{start}it has {len(texts):,} labels for {symbols:,} symbols {hint}"
    return None

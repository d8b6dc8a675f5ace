"""Reads tables whose columns have two names, a field and a symbol, in two header lines: as yfinance writes them.

    Price,Close,Close,Volume,Volume
    Ticker,AAPL,MSFT,AAPL,MSFT
    Date,,,,
    2024-01-02,185.6,370.9,82488700,25258600

The lines may stand in either order, and the one that names the dates may be missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.panel import names as nm
from fama_fast.panel.columns import MARKET_FIELDS
from fama_fast.panel.io.csv_header import Header, cells_of, next_line, separator_of

if TYPE_CHECKING:
    from fama_fast.panel.io.csv_bytes import Bytes

_CORNERS = frozenset(
    {"", "price", "ticker", "attributes", "symbols", "unnamed_0", "unnamed_level_0", "symbol", "field"}
)
_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+\Z")
_KNOWN = frozenset({*MARKET_FIELDS, nm.ADJUSTED_CLOSE, "DIVIDENDS", "STOCK_SPLITS", "CAPITAL_GAINS"})


@dataclass(frozen=True)
class Stacked:
    """A header of two lines: `header` has an invented name for each column, `fields` and `symbols` say what it holds.

    `titles` are the fields as the file writes them.
    """

    header: Header
    fields: dict[str, str]
    titles: dict[str, str]
    symbols: dict[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `unstacked` rows."""
        return ("Date", "Symbol", *dict.fromkeys(self.titles.values()))


def read_stacked(data: Bytes, start: int) -> Stacked | None:
    """The header of a text, if it is one of two lines."""
    first, after = next_line(data, start)
    second, after = next_line(data, after)
    if not second:
        return None
    line = first.decode("utf-8")
    separator = separator_of(line)
    one, two = ([c.strip() for c in cells_of(t, separator)] for t in (line, second.decode("utf-8")))
    if len(one) != len(two) or len(one) < 2 or any(nm.plain(c[0]) not in _CORNERS for c in (one, two)):
        return None
    fields = [[_field(c) for c in cells[1:]] for cells in (one, two)]
    known = [all(f in _KNOWN for f in names) for names in fields]
    if known[0] == known[1]:
        return None
    titles, others = (one[1:], two[1:]) if known[0] else (two[1:], one[1:])
    if not all(others) or (all(_NUMBER.match(c) for c in others) and nm.plain(two[0]) == ""):
        return None
    third, after_third = next_line(data, after)
    label = [c.strip() for c in cells_of(third.decode("utf-8"), separator)]
    if label and not any(label[1:]) and nm.plain(label[0]) in nm.DATE_NAMES:
        after = after_third
    header_names = [str(i) for i in range(len(one))]
    called = [f or "" for f in fields[0 if known[0] else 1]]
    return Stacked(
        Header(tuple(header_names), separator, after, frozenset()),
        dict(zip(header_names[1:], called, strict=True)),
        dict(zip(header_names[1:], titles, strict=True)),
        dict(zip(header_names[1:], others, strict=True)),
    )


def _field(title: str) -> str | None:
    return nm.alias_of(title) or nm.field_name(title)


def unstacked(table: pl.DataFrame, stacked: Stacked) -> pl.DataFrame:
    """The table as one row for each date and symbol that has any value."""
    parts = []
    for symbol in dict.fromkeys(stacked.symbols.values()):
        columns = {name: stacked.titles[name] for name, s in stacked.symbols.items() if s == symbol}
        part = table.select(pl.col(table.columns[0]).alias("Date"), pl.lit(symbol).alias("Symbol"), *columns)
        part = part.rename(columns)
        parts.append(part.filter(pl.any_horizontal(pl.col(*columns.values()).is_not_null())))
    return pl.concat(parts, how="diagonal_relaxed")

"""The single data-quality checks on rows: each counts one kind of defect.

A check is a function of a prepared table to a finding, or None where it does not apply or finds nothing.
`CHECKS` is their order. They change nothing and decide nothing: what to do about a wart is the reader's
choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.data.quality.finding import NOTE, RETURNED, SHOWN, WARNING, Finding, value_text
from fama_fast.types import PRICE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Table:
    """Rows to check, sorted by symbol and date.

    `rows` has `date`, `symbol`, `day` (index of the market day) and every field as Float64, null where not
    finite; `spans` has one row a symbol: first, last (market days), n (rows); `raw` has the fields as they
    came.
    """

    rows: pl.DataFrame
    spans: pl.DataFrame
    raw: pl.DataFrame
    n_days: int
    jump: float

    def has(self, *fields: str) -> bool:
        return all(f in self.rows.columns for f in fields)


def _examples(rows: pl.DataFrame, *fields: str) -> tuple[str, ...]:
    """`AOS 2014-05-19: high 23.595, low 23.85` for the first rows."""
    shown = []
    for row in rows.sort("date", "symbol").head(SHOWN).iter_rows(named=True):
        values = ", ".join(f"{f.lower()} {value_text(row[f])}" for f in fields)
        shown.append(f"{row['symbol']} {row['date']}" + (f": {values}" if values else ""))
    return tuple(shown)


def _rows_where(table: Table, wrong: pl.Expr, check: str, message: str, *fields: str) -> Finding | None:
    rows = table.rows.filter(wrong)
    if rows.is_empty():
        return None
    return Finding(check, WARNING, rows.height, message, _examples(rows, *fields))


def missing_values(table: Table) -> Finding | None:
    """Null or NaN cells in rows that are there, by field."""
    fields = [c for c in table.raw.columns if c not in ("date", "symbol")]
    counts = {f: int(table.raw[f].null_count() + (table.raw[f].is_nan().sum() or 0)) for f in fields}
    total = sum(counts.values())
    if not total:
        return None
    by_field = ", ".join(f"{f} {n:,}" for f, n in counts.items() if n)
    lacking = table.rows.filter(pl.any_horizontal(pl.col(f).is_null() for f in fields if counts[f]))
    return Finding("missing_values", WARNING, total, f"values missing in rows: {by_field}", _examples(lacking))


def infinite_values(table: Table) -> Finding | None:
    """Infinite cells, by field."""
    fields = [c for c in table.raw.columns if c not in ("date", "symbol")]
    counts = {f: int(table.raw[f].is_infinite().sum() or 0) for f in fields}
    total = sum(counts.values())
    if not total:
        return None
    by_field = ", ".join(f"{f} {n:,}" for f, n in counts.items() if n)
    where = table.raw.filter(pl.any_horizontal(pl.col(f).is_infinite() for f in fields if counts[f]))
    return Finding(
        "infinite_values", WARNING, total, f"infinite values, taken as missing: {by_field}", _examples(where)
    )


def high_below_low(table: Table) -> Finding | None:
    """Bars whose high is below their low."""
    if not table.has("HIGH", "LOW"):
        return None
    wrong = pl.col("HIGH") < pl.col("LOW")
    return _rows_where(table, wrong, "high_below_low", "bars with high below low", "HIGH", "LOW")


def outside_range(table: Table) -> Finding | None:
    """Bars whose open or close lies outside [low, high]."""
    if not table.has("HIGH", "LOW"):
        return None
    sides = {
        f"{name.lower()} {word}": wrong
        for name in ("OPEN", "CLOSE")
        if table.has(name)
        for word, wrong in (
            ("below low", pl.col(name) < pl.col("LOW")),
            ("above high", pl.col(name) > pl.col("HIGH")),
        )
    }
    if not sides:
        return None
    counts = table.rows.select(wrong.sum().alias(name) for name, wrong in sides.items()).row(0, named=True)
    parts = ", ".join(f"{name} {n:,}" for name, n in counts.items() if n)
    return _rows_where(
        table,
        pl.any_horizontal(sides.values()),
        "outside_range",
        f"bars with open or close outside [low, high] ({parts})",
        *(f for f in PRICE_FIELDS if table.has(f)),
    )


def non_positive_prices(table: Table) -> Finding | None:
    """Prices of zero or less."""
    fields = [f for f in (*PRICE_FIELDS, "VWAP") if table.has(f)]
    if not fields:
        return None
    wrong = pl.any_horizontal(pl.col(f) <= 0 for f in fields)
    return _rows_where(table, wrong, "non_positive_prices", "rows with a price of zero or less", *fields)


def _with_moves(table: Table) -> pl.DataFrame:
    """Rows with a close, with `move` from the close before and `back`, where the next close stands against
    it."""
    close, symbol = pl.col("CLOSE"), pl.col("symbol")
    # Neighbours of one symbol lie side by side: windows over symbols would sort millions of rows into groups again.
    before = pl.when(symbol == symbol.shift(1)).then(close.shift(1))
    after = pl.when(symbol == symbol.shift(-1)).then(close.shift(-1))
    return table.rows.filter(close > 0).with_columns(
        (close / before - 1).alias("move"), (after / before - 1).alias("back")
    )


def _glitch(jump: float) -> pl.Expr:
    return (pl.col("move").abs() > jump) & (pl.col("back").abs() < RETURNED)


def glitches(table: Table) -> Finding | None:
    """Closes that jump for one day and come back: mostly bad ticks."""
    if not table.has("CLOSE"):
        return None
    rows = _with_moves(table).filter(_glitch(table.jump))
    if rows.is_empty():
        return None
    text = f"closes that move more than {table.jump:.0%} and are back within {RETURNED:.0%} the next day (bad ticks?)"
    return Finding("glitches", WARNING, rows.height, text, _examples(rows, "move", "CLOSE"))


def jumps(table: Table) -> Finding | None:
    """Close-to-close moves beyond the threshold: news, or a split or spin-off that was not adjusted for."""
    if not table.has("CLOSE"):
        return None
    rows = _with_moves(table).filter(pl.col("move").abs() > table.jump)
    if rows.is_empty():
        return None
    largest = rows.sort(pl.col("move").abs(), descending=True).head(SHOWN)
    shown = tuple(f"{r['symbol']} {r['date']}: {r['move']:+.0%}" for r in largest.iter_rows(named=True))
    text = f"close-to-close moves beyond {table.jump:.0%} (unadjusted splits? the largest are shown)"
    return Finding("jumps", WARNING, rows.height, text, shown)


def volumes(table: Table) -> Finding | None:
    """Rows without any trade."""
    if not table.has("VOLUME"):
        return None
    return _rows_where(table, pl.col("VOLUME") == 0, "zero_volume", "rows with volume zero")


def negative_volumes(table: Table) -> Finding | None:
    """Volumes below zero."""
    if not table.has("VOLUME"):
        return None
    wrong = pl.col("VOLUME") < 0
    return _rows_where(table, wrong, "negative_volume", "rows with a negative volume", "VOLUME")


def flat_bars(table: Table) -> Finding | None:
    """Bars whose four prices are equal: no trade, or a price limit."""
    if not table.has(*PRICE_FIELDS):
        return None
    close = pl.col("CLOSE")
    wrong = (pl.col("OPEN") == close) & (pl.col("HIGH") == close) & (pl.col("LOW") == close)
    return _rows_where(table, wrong, "flat_bars", "bars with open = high = low = close", "CLOSE")


def gaps(table: Table) -> Finding | None:
    """Market days without a row between a symbol's first and last."""
    with_gaps = table.spans.with_columns(gap=pl.col("last") - pl.col("first") + 1 - pl.col("n"))
    symbols = with_gaps.filter(pl.col("gap") > 0).sort(["gap", "symbol"], descending=[True, False])
    if symbols.is_empty():
        return None
    total = int(symbols["gap"].sum())
    shown = tuple(f"{s} {g:,}" for s, g in symbols.select("symbol", "gap").head(SHOWN).iter_rows())
    text = f"market days missing inside the histories of {symbols.height:,} symbols"
    return Finding("gaps", WARNING, total, text, shown)


def late_listings(table: Table) -> Finding | None:
    """Symbols that start after the first day."""
    symbols = table.spans.filter(pl.col("first") > 0).sort(["n", "symbol"])
    if symbols.is_empty():
        return None
    shown = tuple(f"{s} ({n:,} rows)" for s, n in symbols.select("symbol", "n").head(SHOWN).iter_rows())
    return Finding("late_listings", NOTE, symbols.height, "symbols that start after the first day", shown)


def early_ends(table: Table) -> Finding | None:
    """Symbols that end before the last day."""
    symbols = table.spans.filter(pl.col("last") < table.n_days - 1).sort(["last", "symbol"])
    if symbols.is_empty():
        return None
    shown = tuple(f"{s} ({n:,} rows)" for s, n in symbols.select("symbol", "n").head(SHOWN).iter_rows())
    return Finding("early_ends", NOTE, symbols.height, "symbols that end before the last day", shown)


def short_histories(table: Table) -> Finding | None:
    """Symbols with rows on fewer than half of the days."""
    symbols = table.spans.filter(pl.col("n") * 2 < table.n_days).sort(["n", "symbol"])
    if symbols.is_empty():
        return None
    shown = tuple(f"{s} ({n:,} rows)" for s, n in symbols.select("symbol", "n").head(SHOWN).iter_rows())
    text = "symbols with rows on fewer than half of the days"
    return Finding("short_histories", NOTE, symbols.height, text, shown)


def survivorship(table: Table) -> Finding | None:
    """No symbol ever leaves: the universe was probably chosen at the end."""
    if table.n_days < 2 or table.spans.height < 2 or bool((table.spans["last"] < table.n_days - 1).any()):
        return None
    text = (
        "every symbol has a row on the last day: the symbols were probably chosen at the end of the period "
        "(survivorship bias)"
    )
    return Finding("survivorship", WARNING, table.spans.height, text)


CHECKS: tuple[Callable[[Table], Finding | None], ...] = (
    missing_values,
    infinite_values,
    high_below_low,
    outside_range,
    non_positive_prices,
    glitches,
    jumps,
    volumes,
    negative_volumes,
    flat_bars,
    gaps,
    late_listings,
    early_ends,
    short_histories,
    survivorship,
)

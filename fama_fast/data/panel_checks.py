"""The quality checks on data that are loaded: those of `checks`, over a panel's arrays in place of a file's rows.

What ingestion already refused or counted (duplicate keys, infinite values, columns without a use) a panel does not
show; `Panel.warnings` has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.data.checks import CHECKS, Finding, Table
from fama_fast.data.validate import DEFAULT_JUMP
from fama_fast.types import PRICE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.panel import Panel
    from fama_fast.types import BoolArray

CHECKED = (*PRICE_FIELDS, "VOLUME", "VWAP")  # what the checks look at; of other fields missing values are counted
_ROW_BYTES = 16 + 3 * 8  # of a row beside its fields: keys, and columns that a check makes


def panel_findings(panel: Panel, *, jump: float = DEFAULT_JUMP) -> tuple[Finding, ...]:
    """What the checks find in a panel; a row is there on the dates on which a symbol has any value.

    Args:
        jump: size of a close-to-close move (0.2 is 20%) beyond which it is reported.
    """
    table = _table(panel, jump)
    return tuple(f for f in (check(table) for check in CHECKS) if f is not None)


def bytes_needed(dates: int, symbols: int, fields: Iterable[str]) -> int:
    """About what the checks take, beside the panel, if every symbol has a row on every date."""
    return dates * symbols * (_ROW_BYTES + 8 * sum(f in CHECKED for f in fields))


def _table(panel: Panel, jump: float) -> Table:
    there = np.zeros(panel.shape, dtype=np.bool_)
    for name in panel.supplied_fields:
        there |= np.isfinite(panel[name])
    elsewhere = {
        name: int(np.count_nonzero(there & np.isnan(panel[name])))
        for name in panel.supplied_fields
        if name not in CHECKED
    }
    by_symbol = np.ascontiguousarray(there.T)
    symbol, day = np.nonzero(by_symbol)
    names = [str(s).encode("utf-8", "backslashreplace").decode() for s in panel.symbols]
    dates = pl.Series("date", panel.dates.astype("datetime64[us]"))
    if bool((panel.dates == panel.dates.astype("datetime64[D]")).all()):
        dates = dates.cast(pl.Date)
    columns = [
        dates.gather(day),
        pl.Series("symbol", names).cast(pl.Enum(names)).gather(symbol),
        pl.Series("day", day.astype(np.int32)),
    ]
    for name in panel.supplied_fields:
        if name in CHECKED:
            values = np.ascontiguousarray(panel[name].T)[by_symbol]
            columns.append(pl.Series(name, values, dtype=pl.Float64, nan_to_null=True))
    rows = pl.DataFrame(columns)
    return Table(rows, _spans(by_symbol, names), rows.drop("day"), panel.shape[0], jump, elsewhere)


def _spans(by_symbol: BoolArray, names: list[str]) -> pl.DataFrame:
    """First and last day and number of rows of each symbol that has any."""
    count = by_symbol.sum(axis=1)
    has = count > 0
    last = by_symbol.shape[1] - 1 - by_symbol[:, ::-1].argmax(axis=1)
    return pl.DataFrame(
        {
            "symbol": [name for name, kept in zip(names, has, strict=True) if kept],
            "first": by_symbol.argmax(axis=1)[has],
            "last": last[has],
            "n": count[has].astype(np.int64),
        }
    )

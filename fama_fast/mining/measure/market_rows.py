"""The rows of the data that a run trains, validates and tests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.errors import DataError

if TYPE_CHECKING:
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.source import Source

MIN_SYMBOLS = 3
MIN_ROWS = 5  # dates a split needs


@dataclass(frozen=True)
class Rows:
    """The splits as row ranges of the panel, with their dates for reports."""

    train: slice
    valid: slice
    test: slice


def split_rows(data: Source, config: MiningConfig) -> Rows:
    """The splits of the data.

    Raises:
        DataError: too few dates or symbols to mine on; the message has the numbers.
    """
    from fama_fast.data import date_splits

    n_dates, n_symbols = data.shape
    if n_symbols < MIN_SYMBOLS:
        raise DataError(f"{data.source}: mining ranks symbols against each other: {n_symbols} is too few")
    first, second, third = config.splits.fractions
    found = date_splits(
        n_dates,
        fractions=(first, second, third),
        embargo=config.splits.embargo,
        reach=config.predicted.rows_ahead(data.sessions),
    )
    out = Rows(found.train, found.valid, found.test)
    for name in ("train", "valid", "test"):
        rows: slice = getattr(out, name)
        if rows.stop - rows.start < MIN_ROWS:
            raise DataError(
                f"{data.source}: {n_dates} dates leave {max(0, rows.stop - rows.start)} for the {name} "
                f"split, at least {MIN_ROWS} are needed"
            )
    return out

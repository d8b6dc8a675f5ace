"""The rows of the data that a run trains, validates and tests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.errors import DataError

if TYPE_CHECKING:
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.source import Source
    from fama_fast.target.labels import LeftOut

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


def no_labels(split: str, source: str, most: int, least: int, left_out: LeftOut, *, plain: bool) -> DataError:
    """That a split has no label at all, and why.

    Args:
        source: of the data. most: members of the universe on a date of the split at most. least: that a date must have
            to be scored. left_out: labels that could not be entered. plain: labels are the close's returns.
    """
    start = f"{source}: no forward return is known in the {split} split"
    if most < least:
        return DataError(
            f"{start}: the universe has at most {most} members there, fewer than splits.min_members, {least}"
        )
    if left_out.left:
        return DataError(f"{start}: of {left_out.of:,} labels {left_out.left:,} are not tradable at entry")
    return DataError(f"{start}: {'CLOSE is missing' if plain else 'the target has no value there'}")

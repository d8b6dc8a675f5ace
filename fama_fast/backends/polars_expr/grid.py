"""The complete grid: every date with every symbol, once. A lag counts rows, so a hole would shift history."""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from fama_fast.errors import DataError

DATE = "date"
SYMBOL = "symbol"

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def complete_grid(frame: Frame) -> Frame:
    """The long frame with a row for every (date, symbol), sorted by both; new rows are null elsewhere.

    Args:
        frame: columns `date`, `symbol` and any others; eager or lazy, and the answer is the same kind.

    Raises:
        DataError: the frame lacks `date` or `symbol`.
    """
    lazy = frame.lazy()
    missing = {DATE, SYMBOL} - set(lazy.collect_schema().names())
    if missing:
        raise DataError(f"a long frame needs the columns date and symbol; it lacks {', '.join(sorted(missing))}")
    dates = lazy.select(pl.col(DATE).drop_nulls().unique())
    symbols = lazy.select(pl.col(SYMBOL).drop_nulls().unique())
    grid = dates.join(symbols, how="cross").join(lazy, on=[DATE, SYMBOL], how="left").sort(DATE, SYMBOL)
    if isinstance(frame, pl.LazyFrame):
        return grid.select(lazy.collect_schema().names())
    return grid.select(frame.columns).collect()


def check_grid(keys: pl.DataFrame) -> None:
    """Nothing when each (date, symbol) occurs exactly once and none is null.

    Raises:
        DataError: says what is missing or repeated, and names `complete_grid`.
    """
    nulls = keys.select((pl.col(DATE).is_null() | pl.col(SYMBOL).is_null()).sum()).item()
    if nulls:
        raise DataError(f"{nulls} of {keys.height} rows have no date or no symbol")
    distinct = keys.select(pl.struct(DATE, SYMBOL).n_unique()).item()
    if distinct != keys.height:
        again = keys.filter(pl.struct(DATE, SYMBOL).is_duplicated()).row(0)
        raise DataError(
            f"{keys.height - distinct} rows repeat a (date, symbol); the first is {again[0]}, {again[1]}: "
            "an alpha needs each date with each symbol once"
        )
    dates, symbols = keys.select(pl.col(DATE).n_unique(), pl.col(SYMBOL).n_unique()).row(0)
    if dates * symbols != keys.height:
        raise DataError(
            f"the frame is not a complete grid: {dates} dates x {symbols} symbols need {dates * symbols} "
            f"rows, it has {keys.height}; complete it first with "
            "fama_fast.complete_grid(frame)"
        )


def check_not_single(keys: pl.DataFrame, compares: str | None, looks_back: bool) -> None:
    """Nothing unless the rows are a single symbol that an operator would compare with others, or a single date.

    Args:
        keys: `date` and `symbol` of the rows, at least one.
        compares: an operator of the alpha that compares the symbols of a date. looks_back: one needs earlier dates.

    Raises:
        DataError: says what stands in the way of the other rows.
    """
    dates, symbols = keys.select(pl.col(DATE).n_unique(), pl.col(SYMBOL).n_unique()).row(0)
    first = keys.row(0)
    if compares is not None and symbols == 1:
        what = f"{compares} compares the symbols of a date, and the alpha was given one symbol alone ({first[1]})"
        raise DataError(_alone(what, SYMBOL))
    if looks_back and dates == 1:
        raise DataError(_alone(f"the alpha looks back, and was given one date alone ({first[0]})", DATE))


def _alone(what: str, key: str) -> str:
    return (
        f'{what}: inside .over("{key}"), group_by, rolling or a frame cut into parts it sees one part at a time. '
        "Take it out of there: frame.with_columns(alpha.to_polars()) is all of it, whatever the order of the rows. "
        f"Where a single {key} is all there is, say so with to_polars(allow_single=True)"
    )

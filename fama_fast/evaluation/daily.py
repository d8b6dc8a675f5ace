"""A factor's scores per date, and their summary over any range of dates.

A miner computes `Daily` once and summarises train, validation and test from it. It knows arrays only: no
panel, no expression.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation import inference
from fama_fast.evaluation.ic import MIN_PAIRS, ic, rank_ic
from fama_fast.evaluation.rows import SortedRows, checked_rows, mask_matrix, matrix, same_shape, sorted_rows
from fama_fast.evaluation.turnover import coverage, rank_turnover, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fama_fast.types import FloatArray, Rows

ALL_ROWS = slice(None)


@dataclass(frozen=True)
class FactorScores:
    """How good a factor was over some dates. Means run over the dates that have a figure; NaN when none has.

    Attributes:
        rank_ic: mean daily RankIC. rank_icir: its mean / std (ddof 1), not annualised.
        ic, icir: the same of Pearson's IC.
        hit_rate: share of dates with a RankIC above zero.
        coverage: mean share of members with a value. turnover: mean daily turnover of ranks.
        n_days: dates with a RankIC.
        rank_ic_t: Newey-West t of the mean RankIC (lag: `inference.newey_west_lag`).
    """

    rank_ic: float
    rank_icir: float
    ic: float
    icir: float
    hit_rate: float
    coverage: float
    turnover: float
    n_days: int
    rank_ic_t: float

    def as_dict(self) -> dict[str, Any]:
        """By name, in the order above."""
        return asdict(self)


def summarise(
    daily_rank_ic: Any,
    daily_ic: Any,
    *,
    daily_coverage: Any = (),
    daily_turnover: Any = (),
    rows: Rows | None = None,
    horizon: int = 1,
) -> FactorScores:
    """Summary of daily series (T,) over `rows`; `horizon` (days a label spans) sets the Newey-West lag."""
    part = ALL_ROWS if rows is None else rows
    ranks = inference.level(np.asarray(daily_rank_ic)[part], horizon=horizon)
    plain = np.asarray(daily_ic)[part]
    return FactorScores(
        rank_ic=ranks.mean,
        rank_icir=ranks.ratio,
        ic=inference.mean(plain),
        icir=inference.information_ratio(plain),
        hit_rate=ranks.hit_rate,
        coverage=inference.mean(np.asarray(daily_coverage, dtype=np.float64)[part]),
        turnover=inference.mean(np.asarray(daily_turnover, dtype=np.float64)[part]),
        n_days=ranks.days,
        rank_ic_t=ranks.t,
    )


@dataclass(frozen=True)
class Daily:
    """One factor against one label, per date: (T,) float64 each, NaN where a date has no figure."""

    rank_ic: FloatArray
    ic: FloatArray
    coverage: FloatArray
    turnover: FloatArray

    def turned(self, sign: int) -> Daily:
        """The same of `sign` times the values, for sign 1 or -1. Turnover is that of the ranks either way round."""
        if sign > 0:
            return self
        return Daily(0.0 - self.rank_ic, 0.0 - self.ic, self.coverage, self.turnover)

    def summary(self, rows: Rows | None = None, horizon: int = 1) -> FactorScores:
        """Scores over the rows of a split (all by default)."""
        return summarise(
            self.rank_ic,
            self.ic,
            daily_coverage=self.coverage,
            daily_turnover=self.turnover,
            rows=rows,
            horizon=horizon,
        )


Labels = Any  # a (T, N) array, or a SortedRows of one


def daily(
    values: Any,
    labels: Labels,
    universe: Any = None,
    *,
    present: Any = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> Daily:
    """Daily RankIC, IC, coverage and turnover of one factor.

    Args:
        values: (T, N). labels: (T, N) forward returns, or `SortedRows.of` them when many factors share them.
        universe: (T, N) bool, only members count; None for everyone.
        present: (T, N) bool, who counts for coverage when there is no universe (symbols that trade that day).

    Raises:
        DataError: shapes differ.
    """
    by_horizon = daily_by_horizon(values, {1: labels}, universe, present=present, min_pairs=min_pairs, threads=threads)
    return by_horizon[1]


def _covered(rows: SortedRows, universe: Any, present: Any) -> FloatArray:
    if universe is not None:
        return share(rows.count, np.count_nonzero(mask_matrix(universe, rows.values.shape), axis=1))
    return coverage(rows.values, None if present is None else mask_matrix(present, rows.values.shape, "present"))


def daily_by_horizon(
    values: Any,
    labels: Mapping[int, Labels],
    universe: Any = None,
    *,
    present: Any = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> dict[int, Daily]:
    """`daily` against several labels by horizon; what does not depend on the label is computed once.

    `values` may be a `SortedRows` over the universe's members.
    """
    rows = values if isinstance(values, SortedRows) else SortedRows.of(values, universe, threads=threads)
    covered = _covered(rows, universe, present)
    turnover = rank_turnover(rows, threads=threads)
    out = {}
    for horizon, label in labels.items():
        y = sorted_rows(label, threads=threads, name="forward returns")
        out[horizon] = Daily(
            rank_ic=rank_ic(rows, y, min_pairs=min_pairs, threads=threads),
            ic=ic(rows.values, y.values, universe=universe, min_pairs=min_pairs, threads=threads),
            coverage=covered,
            turnover=turnover,
        )
    return out


def score_batch(
    values: Iterable[Any],
    labels: Mapping[int, Labels],
    *,
    universe: Any = None,
    present: Any = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> Iterator[dict[int, Daily]]:
    """Daily scores by horizon for each factor in turn; the labels are sorted once."""
    prepared = {h: sorted_rows(y, threads=threads, name="forward returns") for h, y in labels.items()}
    for v in values:
        yield daily_by_horizon(v, prepared, universe, present=present, min_pairs=min_pairs, threads=threads)


def score_values(
    values: Any,
    labels: Labels,
    *,
    universe: Any = None,
    rows: slice | None = None,
    horizon: int = 1,
    present: Any = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> FactorScores:
    """Scores of one factor's (T, N) values against (T, N) labels over `rows`; see `daily`."""
    values = values if isinstance(values, SortedRows) else matrix(values)
    labels = labels if isinstance(labels, SortedRows) else matrix(labels, "forward returns")
    shape = values.values.shape if isinstance(values, SortedRows) else values.shape
    same_shape(labels.values if isinstance(labels, SortedRows) else labels, shape, "forward returns")
    universe = None if universe is None else mask_matrix(universe, shape)
    present = None if present is None else mask_matrix(present, shape, "present")
    start, stop = checked_rows(rows, shape[0])
    part = slice(max(0, start - 1), stop)  # turnover needs the row before
    found = daily(
        _part(values, part),
        _part(labels, part),
        _part(universe, part),
        present=_part(present, part),
        min_pairs=min_pairs,
        threads=threads,
    )
    return found.summary(slice(start - part.start, None), horizon)


def _part(array: Any, rows: slice) -> Any:
    if array is None:
        return None
    return array.part(rows) if isinstance(array, SortedRows) else array[rows]

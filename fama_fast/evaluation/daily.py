"""A factor's scores per date, and their summary over any range of dates.

A miner computes `Daily` once and summarises train, validation and test from it. It knows arrays only: no
panel, no expression.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import whole
from fama_fast.evaluation import inference
from fama_fast.evaluation.ic import MIN_PAIRS, ic, rank_ic
from fama_fast.evaluation.rows import SortedRows, checked_rows, mask_matrix, matrix, same_shape, sorted_rows
from fama_fast.evaluation.spread import BPS, COST_BPS, spread_and_traded
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
        rank_ic_t: Newey-West t of the mean RankIC (lag: `inference.newey_west_lag`). ic_t: the same of IC.
        spread, spread_t: mean label of the top tenth less that of the bottom tenth, and its t.
        net, net_t: the spread less the cost of what is traded. Returns over the label's horizon, as labels are.
        traded: mean sum of |changes of weight| when both tenths are held, 0 to 4 for one horizon.
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
    ic_t: float = math.nan
    spread: float = math.nan
    spread_t: float = math.nan
    net: float = math.nan
    net_t: float = math.nan
    traded: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """By name, in the order above."""
        return asdict(self)


def summarise(
    daily_rank_ic: Any,
    daily_ic: Any,
    *,
    daily_spread: Any = (),
    daily_traded: Any = (),
    daily_coverage: Any = (),
    daily_turnover: Any = (),
    rows: Rows | None = None,
    horizon: int = 1,
    cost_bps: float = COST_BPS,
) -> FactorScores:
    """Summary of daily series (T,) over `rows`; `horizon` (days a label spans) sets the Newey-West lag.

    cost_bps: what trading costs, in hundredths of a percent of what is traded.
    """
    part = ALL_ROWS if rows is None else rows
    ranks = inference.level(np.asarray(daily_rank_ic)[part], horizon=horizon)
    plain = np.asarray(daily_ic)[part]
    gross, traded = (np.asarray(x, dtype=np.float64)[part] for x in (daily_spread, daily_traded))
    spread = inference.level(gross, horizon=horizon)
    net = inference.level(net_of(gross, traded, cost_bps), horizon=horizon)
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
        ic_t=inference.level(plain, horizon=horizon).t,
        spread=spread.mean,
        spread_t=spread.t,
        net=net.mean,
        net_t=net.t,
        traded=inference.mean(traded),
    )


def net_of(spread: FloatArray, traded: FloatArray, cost_bps: float) -> FloatArray:
    """What a spread leaves when so many hundredths of a percent of what is traded are paid."""
    return spread - cost_bps / BPS * traded


@dataclass(frozen=True)
class Daily:
    """One factor against one label, per date: (T,) float64 each, NaN where a date has no figure.

    `spread` and `traded` are those of `spread_and_traded`; the other names say what they are.
    """

    rank_ic: FloatArray
    ic: FloatArray
    spread: FloatArray
    traded: FloatArray
    coverage: FloatArray
    turnover: FloatArray

    def turned(self, sign: int) -> Daily:
        """The same of `sign` times the values, for sign 1 or -1. What is traded and the turnover of ranks stay."""
        if sign > 0:
            return self
        signed = {name: 0.0 - getattr(self, name) for name in ("rank_ic", "ic", "spread")}
        return replace(self, **signed)

    def net(self, cost_bps: float = COST_BPS) -> FloatArray:
        """(T,) spread less what trading costs; NaN where either is not known. Turn a factor round before."""
        return net_of(self.spread, self.traded, cost_bps)

    def summary(self, rows: Rows | None = None, horizon: int = 1, cost_bps: float = COST_BPS) -> FactorScores:
        """Scores over the rows of a split (all by default)."""
        return summarise(
            self.rank_ic,
            self.ic,
            daily_spread=self.spread,
            daily_traded=self.traded,
            cost_bps=cost_bps,
            daily_coverage=self.coverage,
            daily_turnover=self.turnover,
            rows=rows,
            horizon=horizon,
        )


SERIES = tuple(f.name for f in fields(Daily))

Labels = Any  # a (T, N) array, or a SortedRows of one


def daily(
    values: Any,
    labels: Labels,
    universe: Any = None,
    *,
    present: Any = None,
    span: int = 1,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> Daily:
    """Daily RankIC, IC, spread, coverage and turnover of one factor.

    Args:
        values: (T, N). labels: (T, N) forward returns, or `SortedRows.of` them when many factors share them.
        universe: (T, N) bool, only members count; None for everyone.
        present: (T, N) bool, who counts for coverage when there is no universe (symbols that trade that day).
        span: rows a label is held, for what is traded.

    Raises:
        DataError: shapes differ.
    """
    options: dict[str, Any] = {"present": present, "min_pairs": min_pairs, "threads": threads}
    return daily_by_horizon(values, {span: labels}, universe, **options)[span]


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
    spans: Mapping[Any, int] | None = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> dict[int, Daily]:
    """`daily` against several labels by horizon; what does not depend on the label is computed once.

    `values` may be a `SortedRows` over the universe's members. spans: rows that labels are held, by their keys, where
    these are not the horizons in rows.
    """
    rows = values if isinstance(values, SortedRows) else SortedRows.of(values, universe, threads=threads)
    covered = _covered(rows, universe, present)
    turnover = rank_turnover(rows, threads=threads)
    out = {}
    for horizon, label in labels.items():
        y = sorted_rows(label, threads=threads, name="forward returns")
        span = horizon if spans is None else spans[horizon]
        spread, traded = spread_and_traded(rows, y, span=span, min_pairs=min_pairs, threads=threads)
        out[horizon] = Daily(
            rank_ic=rank_ic(rows, y, min_pairs=min_pairs, threads=threads),
            ic=ic(rows.values, y.values, universe=universe, min_pairs=min_pairs, threads=threads),
            spread=spread,
            traded=traded,
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
    cost_bps: float = COST_BPS,
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
    span = whole(horizon, "horizon", 1)
    part = slice(max(0, start - span), stop)  # what is traded needs rows before; turnover one
    found = daily(
        _part(values, part),
        _part(labels, part),
        _part(universe, part),
        present=_part(present, part),
        span=span,
        min_pairs=min_pairs,
        threads=threads,
    )
    return found.summary(slice(start - part.start, None), horizon, cost_bps)


def _part(array: Any, rows: slice) -> Any:
    if array is None:
        return None
    return array.part(rows) if isinstance(array, SortedRows) else array[rows]

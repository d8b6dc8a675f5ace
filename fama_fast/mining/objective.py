"""What a search climbs: one of four daily series, and the unit in which all of them count alike.

Thresholds (`gates.min_rank_ic`, the price of a node, the race's bar, the least gain of a pool) are RankICs. For normal
labels the spread of the outer tenths is about 3.51 times the IC times the labels' standard deviation: a tenth's mean of
a standard normal variable is 1.755. So a spread divided by 3.51 times the mean over training dates of the labels'
cross-sectional standard deviation is as strong as the same RankIC is, and one constant of the market turns one into
the other. People are shown measures in units of their own.

To add a measure: a series of `Measured` and an entry of `OBJECTIVES`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import one_of
from fama_fast.evaluation import level, mean
from fama_fast.evaluation.spread import BPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fama_fast.types import BoolArray, FloatArray

DEFAULT = "rank_ic"
TENTHS = 3.51  # spread of the outer tenths of a standard normal variable


@dataclass(frozen=True)
class Objective:
    """One measure.

    Attributes:
        name: as in the configuration and among scores. label: as people read it.
        gross: the series of `Measured` that decides the direction. costed: whether what is traded is paid for.
        in_returns: whether it is a return, not a correlation. fits_ranks: whether the pool fits the labels' ranks, not
            the labels.
    """

    name: str
    label: str
    gross: str
    costed: bool = False
    in_returns: bool = False
    fits_ranks: bool = False


OBJECTIVES: dict[str, Objective] = {
    found.name: found
    for found in (
        Objective("rank_ic", "RankIC", "rank_ic", fits_ranks=True),
        Objective("ic", "IC", "ic"),
        Objective("spread", "spread", "spread", in_returns=True),
        Objective("net", "net spread", "spread", costed=True, in_returns=True),
    )
}


def check_objective(name: str) -> str:
    """The name, if it is a measure's.

    Raises:
        ValueError: it is not; the message has the nearest.
    """
    return one_of(name, OBJECTIVES)


@dataclass(frozen=True)
class Measured:
    """Daily series of K candidates over T dates, (K, T) each, as proposed; of one of them (T,).

    rank_ic, ic, spread, traded: as of `evaluation.Daily`. covered: share of members with a value.
    """

    rank_ic: FloatArray
    ic: FloatArray
    spread: FloatArray
    traded: FloatArray
    covered: FloatArray

    def __len__(self) -> int:
        return len(self.rank_ic)

    def __iter__(self) -> Iterator[Measured]:
        """The candidates one by one."""
        return (Measured(*(getattr(self, f.name)[i] for f in fields(self))) for i in range(len(self)))

    @classmethod
    def joined(cls, parts: Sequence[Measured]) -> Measured:
        """The candidates of all parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def direction(series: FloatArray) -> int:
    """The sign that a daily series over training rows gives a factor: -1 where its mean is below zero, else 1."""
    return -1 if mean(series) < 0.0 else 1


def deviations(labels: FloatArray, universe: BoolArray | None) -> FloatArray:
    """(T,) standard deviation of members' labels (T, N) on each date; NaN where there are fewer than two."""
    known = np.isfinite(labels) if universe is None else np.isfinite(labels) & universe
    count = known.sum(axis=1)
    size = np.maximum(count, 1)
    middle = np.where(known, labels, 0.0).sum(axis=1) / size
    rest = np.where(known, labels - middle[:, None], 0.0)
    return np.where(count > 1, np.sqrt((rest * rest).sum(axis=1) / size), np.nan)


@dataclass(frozen=True)
class Yardstick:
    """An objective on one market: how candidates are measured and compared.

    Attributes:
        cost_bps: what trading costs. unit: what a series of its own unit is multiplied by to count as a RankIC.
        horizon: days a label spans.
    """

    objective: Objective
    cost_bps: float
    unit: float
    horizon: int

    @classmethod
    def of(cls, name: str, *, cost_bps: float, scale: float, horizon: int) -> Yardstick:
        """scale: mean over training dates of the labels' cross-sectional standard deviation."""
        objective = OBJECTIVES[name]
        unit = 1.0 / (TENTHS * scale) if objective.in_returns and scale > 0.0 else 1.0
        return cls(objective, cost_bps, unit, horizon)

    def gross(self, measured: Any) -> FloatArray:
        """The series before costs of a factor as it was measured, counted as RankICs."""
        found: FloatArray = getattr(measured, self.objective.gross)
        return found if self.unit == 1.0 else found * self.unit

    def cost(self, measured: Any) -> FloatArray | None:
        """What trading takes from it, whichever way round it is; None where nothing does."""
        return measured.traded * (self.cost_bps / BPS * self.unit) if self.objective.costed else None

    def direction(self, measured: Any, rows: slice) -> int:
        """The sign that the training rows give a candidate."""
        return direction(getattr(measured, self.objective.gross)[rows])

    def series(self, measured: Any, sign: int) -> FloatArray:
        """The daily series of `sign` times a factor, costs paid, counted as RankICs."""
        cost = self.cost(measured)
        gross = sign * self.gross(measured)
        return gross if cost is None else gross - cost

    def scores(self, measured: Measured, sign: int, rows: slice) -> dict[str, float]:
        """Figures of `sign` times a candidate over some rows: those of `FactorScores` but the turnover of ranks."""
        ranks = level(sign * measured.rank_ic[rows], horizon=self.horizon)
        traded, spread = measured.traded[rows], sign * measured.spread[rows]
        plain, gross, net = (
            level(series, horizon=self.horizon)
            for series in (sign * measured.ic[rows], spread, spread - self.cost_bps / BPS * traded)
        )
        found = {
            "rank_ic": ranks.mean,
            "rank_icir": ranks.ratio,
            "ic": plain.mean,
            "icir": plain.ratio,
            "hit_rate": ranks.hit_rate,
            "coverage": mean(measured.covered[rows]),
            "n_days": ranks.days,
            "rank_ic_t": ranks.t,
            "ic_t": plain.t,
            "spread": gross.mean,
            "spread_t": gross.t,
            "net": net.mean,
            "net_t": net.t,
            "traded": mean(traded),
        }
        return self.with_objective(found)

    def with_objective(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores of a split with those of the objective: in its own unit, its t, and as it counts beside RankICs."""
        name = self.objective.name
        own = scores.get(name, float("nan"))
        more = {"objective": own, "objective_t": scores.get(f"{name}_t", float("nan")), "score": own * self.unit}
        return {**scores, **more}

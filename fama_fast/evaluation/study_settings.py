"""The parameters of a study of factors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fama_fast.arguments import real, shown, whole
from fama_fast.data.labels import MIN_MEMBERS, check_days
from fama_fast.errors import ConfigError
from fama_fast.evaluation import inference
from fama_fast.evaluation.decay import MOST_DAYS
from fama_fast.evaluation.performance import COSTS_BP
from fama_fast.evaluation.portfolios import MAX_QUANTILES, MOST_NAMES
from fama_fast.target import Target


@dataclass(frozen=True)
class StudySettings:
    """The parameters of a study: horizons, portfolios, costs, bootstrap.

    Attributes:
        horizons: days held, for IC and RankIC. entry_lag: days between knowing and entering.
        quantiles: buckets of the quantile portfolios. decay_days: length of the decay curve.
        top_k, n_drop: the long-only portfolio (top_k is at most a tenth of the symbols).
        costs_bp: one-way cost levels.
        group: the group field of the sector figures; None is the first of SECTOR, INDUSTRY and SUBINDUSTRY that the
            data has.
        liquidity_buckets: of the breakdown by trailing dollar volume.
        participation: of daily dollar volume, for capacity.
        confidence, resamples, seed: of the bootstrap interval.
        min_members: dates on which a universe has fewer members are not scored.
        target: what is predicted, where it is not the close's return; it then says the entry lag, and where it has
            returns or a column of its own, the horizon. Portfolios enter and leave only where it is tradable.
    """

    horizons: tuple[int, ...] = (1, 5, 10, 20)
    entry_lag: int = 1
    quantiles: int = 5
    decay_days: int = 20
    top_k: int = 50
    n_drop: int = 5
    costs_bp: tuple[float, ...] = COSTS_BP
    group: str | None = None
    liquidity_buckets: int = 5
    participation: float = 0.05
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    min_members: int = MIN_MEMBERS
    target: Target | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.horizons, tuple | list) or not self.horizons:
            raise ConfigError(f"horizons must be days of at least 1, not {shown(self.horizons)}")
        for h in self.horizons:
            check_days(h, "a horizon", 1)
        check_days(self.entry_lag, "the entry lag", 0)
        whole(self.quantiles, "quantiles", 2, MAX_QUANTILES)
        whole(self.liquidity_buckets, "liquidity_buckets", 2, MAX_QUANTILES)
        whole(self.decay_days, "decay_days", 1, MOST_DAYS)
        whole(self.top_k, "top_k", 1, MOST_NAMES)
        whole(self.n_drop, "n_drop", 1)
        if not isinstance(self.costs_bp, tuple | list) or not self.costs_bp:
            raise ConfigError(f"costs_bp must be costs in basis points, not {shown(self.costs_bp)}")
        for cost in self.costs_bp:
            real(cost, "costs_bp", 0.0)
        real(self.participation, "participation", above=0.0)
        if not 0.0 < real(self.confidence, "confidence") < 1.0:
            raise ConfigError(f"confidence must lie between 0 and 1, not {self.confidence}")
        whole(self.resamples, "resamples", 1, inference.MOST_RESAMPLES)
        whole(self.seed, "seed", 0)
        whole(self.min_members, "min_members", 0)
        if self.target is not None and not isinstance(self.target, Target):
            raise ConfigError(f"the target of a study must be a Target, not {shown(self.target)}")

    @property
    def predicted(self) -> Target:
        """The target with the study's horizons, where it has none of its own."""
        own = Target(entry_lag=self.entry_lag) if self.target is None else self.target
        return replace(own, horizons=self.horizons) if own.is_plain else own

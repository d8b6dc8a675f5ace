"""Screening by racing: candidates are scored on a growing sample of training dates, and losers leave early.

The sample. The training dates are cut into blocks of consecutive dates, which are taken in an order that the
seed decides. Blocks, not single dates: a windowed operator needs the dates before each date, and a block of b
dates with a lookback of L costs b + L of them. RankIC is a sink, so no values are kept.

The rule. After n of N training dates a candidate with mean RankIC m leaves when |m| + z s < bar: what is left
of the uncertainty cannot carry it to the bar. z is Student's quantile at 1 - error / rungs (`critical`), so a
candidate whose exact |RankIC| reaches its bar is dropped with a probability of about `error` at most (union bound
over the rungs; Maron and Moore 1994, "Hoeffding races", with Student's bound in place of Hoeffding's, which at a
range of 2 would need thousands of dates). Assumption: RankICs are stationary over the training rows, and the mean's
error is about normal with variance s^2. It is an approximation: `tests/unit/mining/test_race.py` bounds by how much
the stated error is missed on dependent series; a market that changes between blocks can miss it by more.

m and s. Daily RankICs of different factors share the market's mood, and the means of the library's factors
over all training dates are known exactly. m is therefore the regression estimate: the sample mean, moved by
the regression on the library's leading components times how far these are off on the sample (Cochran,
Sampling Techniques, 3rd ed., ch. 7). s^2 is the prewhitened Newey-West variance of the residuals' mean times the
finite population's correction 1 - n / N (ch. 2). The final score of whoever is left is exact, over all dates.

What it pays. A race costs all who run it, and saves the exact scores of those who lose. A few hundred symbols leave so
much uncertainty in a rung that too few lose; thousands do not. So a run keeps account of both (`Account`), in cells of
the panel and not in seconds, so that it decides the same on every machine, and holds races only while they pay; every
eighth round has one all the same, as candidates change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.evaluation.inference import newey_west_lag
from fama_fast.evaluation.rank_correlation import one_thread
from fama_fast.mining.candidate import RaceResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.mining.config import MiningConfig
    from fama_fast.types import FloatArray

    ScoreParts = Callable[[Sequence[Sequence[Alpha]], slice], Iterable["BlockSeries"]]

CONTROLS = 6  # leading components of the library's daily RankICs that are regressed on
_HALO_STEP = 32  # lookbacks are rounded up to this: few distinct cuts of the panel
_LEAST_DAYS = 20  # a rung with fewer known dates decides nothing
_COSTLY = 0.5  # a rung that costs this share of an exact score is not worth running
_BATCH = 64
_PLANNING = 160_000  # cells that are computed in the time in which one expression is planned and begun (1.7 ms; 10 ns)
_FIRST, _EVERY = 3, 8  # rounds that have a race whatever the account says
_KEPT = 0.9  # of the account, when a race is entered
_STEEPEST = 0.9  # largest autocorrelation that is believed


@dataclass(frozen=True)
class Account:
    """What a run's races cost and saved, in cells computed; the latest count most."""

    spent: float = 0.0
    saved: float = 0.0

    def wants(self, number: int) -> bool:
        """Whether round `number`, counted from 1, should have a race."""
        return self.saved >= self.spent or number <= _FIRST or number % _EVERY == 0

    def after(self, spent: float, saved: float) -> Account:
        """The account with one more race in it."""
        return Account(_KEPT * self.spent + spent, _KEPT * self.saved + saved)


@dataclass(frozen=True)
class BlockSeries:
    """What is measured of some candidates on a block of dates, (K, rows) each, in the direction that they have.

    Attributes:
        gross: the objective's daily series before costs, counted as RankICs. counts: how many members have a value.
        cost: what trading takes from the series, whichever way round the candidate is; None where nothing does.
    """

    gross: FloatArray
    counts: FloatArray
    cost: FloatArray | None = None


def controls_of(series: FloatArray, count: int = CONTROLS) -> FloatArray:
    """(T, <= count) leading principal components of daily RankICs (K, T): what a sample is corrected by."""
    if len(series) == 0:
        return np.empty((series.shape[1], 0))
    filled = np.where(np.isfinite(series), series, 0.0)
    centred = filled - filled.mean(axis=1, keepdims=True)
    with one_thread():
        u, s, _ = np.linalg.svd(centred, full_matrices=False)
    kept = u[:, : min(count, int((s > 1e-9 * max(s[0], 1e-300)).sum()))]
    out: FloatArray = np.einsum("kt,ki->ti", filled, kept)
    return out


def estimate(sample: FloatArray, controls: FloatArray, full_means: FloatArray, total: int) -> tuple[float, float]:
    """(mean over all `total` dates, its standard error) from the dates of a sample.

    Args:
        sample: (n,) daily RankICs in date order, all known. controls: (n, k) on the same dates.
        full_means: (k,) means of the controls over all dates.
    """
    n, k = controls.shape
    if n - k - 1 < _LEAST_DAYS // 2:
        controls, full_means, k = controls[:, :0], full_means[:0], 0
    mean = float(sample.mean())
    rest = sample - mean
    if k:
        level = controls.mean(axis=0)
        shifted = controls - level
        # Sums by einsum rather than BLAS: their order does not depend on the machine's threads.
        gram = np.einsum("ni,nj->ij", shifted, shifted)
        diagonal = gram.reshape(-1)[:: k + 1]
        diagonal *= 1.0 + 1e-9
        diagonal += diagonal == 0.0  # a control that does not vary on the sample explains nothing
        beta = np.linalg.solve(gram, np.einsum("ni,n->i", shifted, rest))
        rest = rest - np.einsum("ni,i->n", shifted, beta)
        mean += float(np.add.reduce(beta * (full_means - level)))
    return round(mean, 9), math.sqrt(_long_run_variance(rest) / max(1, n - 1 - k) * max(0.0, 1.0 - n / total))


def _long_run_variance(rest: FloatArray) -> float:
    """Long-run variance of a series of mean zero: Newey-West after AR(1) prewhitening.

    Without it the variance of a hundred dependent days comes out too small, and contenders are lost. A negative
    autocorrelation is not used: it would only shrink the margin.

    Source: Andrews and Monahan (1992), Econometrica 60.
    """
    before = float(np.add.reduce(rest[:-1] * rest[:-1]))
    slope = float(np.add.reduce(rest[1:] * rest[:-1])) / before if before > 0.0 else 0.0
    slope = min(max(slope, 0.0), _STEEPEST)
    white = rest[1:] - slope * rest[:-1]
    n = white.size
    lag = newey_west_lag(n)
    variance = float(np.add.reduce(white * white)) / n
    for i in range(1, lag + 1):
        variance += 2.0 * (1.0 - i / (lag + 1.0)) * float(np.add.reduce(white[i:] * white[:-i])) / n
    return max(variance, 0.0) / (1.0 - slope) ** 2


def critical(error: float, n: int) -> float:
    """Quantile of Student's t at 1 - error, with the degrees of freedom that a Bartlett window leaves of n days.

    Those are 1.5 n / (lag + 1) at frequency zero (Priestley 1981, Spectral Analysis and Time Series, ch. 6); the
    quantile is the first term of Fisher and Cornish's expansion about the normal one.
    """
    z = NormalDist().inv_cdf(1.0 - error)
    freedom = 1.5 * n / (newey_west_lag(n) + 1.0)
    return z * (1.0 + (z * z + 1.0) / (4.0 * freedom))


def first_row(alphas: Sequence[Alpha], block: slice) -> int:
    """The row from which these alphas are computed for a block."""
    halo = -(-max(a.lookback for a in alphas) // _HALO_STEP) * _HALO_STEP
    start: int = block.start
    return max(0, start - halo)


class Race:
    """The sample of dates and the rule, for one set of data.

    Args:
        shape: mining dates and symbols. score_parts: gives what is measured on a block of dates, part by part of the
            candidates. train: training rows.
        present: (T,) members of each date, for coverage.
        error: probability of dropping a candidate that would reach its bar.
        blocks: parts that the training dates are cut into. rungs: how many of them are run.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        score_parts: ScoreParts,
        train: slice,
        present: FloatArray,
        *,
        error: float,
        blocks: int,
        rungs: int,
        seed: int = 0,
    ) -> None:
        self.shape, self.score_parts, self.train, self.present = shape, score_parts, train, present
        self.total = train.stop - train.start
        edges = np.linspace(train.start, train.stop, blocks + 1).round().astype(int)
        order = np.random.default_rng([seed, 5]).permutation(blocks)[:rungs]
        self.blocks = [slice(int(edges[i]), int(edges[i + 1])) for i in order]
        self._widest = max(b.stop - b.start for b in self.blocks)
        self.error = error / len(self.blocks)

    def run(self, alphas: Sequence[Alpha], bars: Sequence[float], controls: FloatArray) -> list[RaceResult | None]:
        """Each candidate's standing; None for one that a race does not pay for (it looks too far back).

        Args:
            bars: |RankIC| over the training rows that each candidate must be able to reach.
            controls: (T, k) of `controls_of`, over the mining dates.
        """
        race_result: list[RaceResult | None] = [None] * len(alphas)
        full = controls[self.train].mean(axis=0)
        seen = {i: np.empty(0) for i in range(len(alphas))}
        paid = {i: np.empty(0) for i in range(len(alphas))}
        covered = {i: np.empty(0) for i in range(len(alphas))}
        dates = np.empty(0, dtype=np.int64)
        order = sorted(range(len(alphas)), key=lambda i: (alphas[i].lookback, i))
        running = [i for i in order if self._share(alphas[i].lookback) < _COSTLY]
        for rung, block in enumerate(self.blocks, start=1):
            dates = np.concatenate([dates, np.arange(block.start, block.stop)])
            in_order = np.argsort(dates, kind="stable")
            left = []
            parts = [running[start : start + _BATCH] for start in range(0, len(running), _BATCH)]
            scored = self.score_parts([[alphas[i] for i in part] for part in parts], block)
            for part, found_of in zip(parts, scored, strict=True):
                for at, (i, count) in enumerate(zip(part, found_of.counts, strict=True)):
                    seen[i] = np.concatenate([seen[i], found_of.gross[at]])
                    if found_of.cost is not None:
                        paid[i] = np.concatenate([paid[i], found_of.cost[at]])
                    covered[i] = np.concatenate([covered[i], count / np.maximum(self.present[block], 1.0)])
                    sign, series = _after_costs(seen[i], paid[i])
                    found = self._stand(
                        sign, series[in_order], covered[i], controls[dates[in_order]], full, bars[i], alphas[i].lookback
                    )
                    race_result[i] = replace(found, rungs=rung)
                    if not found.lost:
                        left.append(i)
            running = left
        return race_result

    def _share(self, lookback: int) -> float:
        """What a rung costs, as a share of an exact score."""
        return (self._widest + lookback) / self.shape[0]

    def entered(self, account: Account, alphas: Sequence[Alpha], race_results: Sequence[RaceResult | None]) -> Account:
        """The account after a race of these candidates."""
        spent = saved = 0.0
        rows, symbols = self.shape
        for alpha, race_result in zip(alphas, race_results, strict=True):
            if race_result is not None:
                spent += race_result.rungs * ((self._widest + alpha.lookback) * symbols + _PLANNING)
                saved += (rows * symbols + _PLANNING) * race_result.lost
        return account.after(spent, saved)

    def _stand(
        self,
        sign: int,
        series: FloatArray,
        covered: FloatArray,
        controls: FloatArray,
        full: FloatArray,
        bar: float,
        lookback: int,
    ) -> RaceResult:
        known = np.isfinite(series)
        days = int(known.sum())
        # Training rows before the lookback have no value; blocks in the middle do not show that.
        warm = 1.0 - min(lookback, self.total) / self.total if self.train.start == 0 else 1.0
        coverage = float(np.minimum(covered, 1.0).mean()) * warm
        if days < _LEAST_DAYS:
            return RaceResult(math.nan, math.inf, days, coverage, lost=False)
        mean, error = estimate(series[known], controls[known], full, self.total)
        margin = critical(self.error, days) * error
        # Costs are paid either way round: a factor that they leave below zero is below zero turned round, too.
        standing = mean if sign else abs(mean)
        return RaceResult(mean * (sign or 1), margin, days, coverage, lost=standing + margin < bar)


def race_of(
    config: MiningConfig, shape: tuple[int, int], score_parts: ScoreParts, train: slice, present: FloatArray
) -> Race | None:
    """The race that the configuration asks for, if it does; arguments as of `Race`."""
    asked = config.racing
    if not asked.enabled or asked.rungs >= asked.blocks:
        return None
    seed, error = config.run.seed, asked.error
    return Race(shape, score_parts, train, present, error=error, blocks=asked.blocks, rungs=asked.rungs, seed=seed)


def _after_costs(gross: FloatArray, cost: FloatArray) -> tuple[int, FloatArray]:
    """The direction of a series that has costs, and what these leave of it; 0 and the series where there are none."""
    if not cost.size:
        return 0, gross
    sign = -1 if float(np.nansum(gross)) < 0.0 else 1
    return sign, sign * gross - cost

"""What a run may claim: training and validation tested with all candidates counted, the test asked once.

A new factor holds when its RankIC is significant in training and, in the same direction, on validation, each
after Benjamini-Hochberg over every different candidate that was ever measured on these data: those of this run
and, as tests without success, those of earlier runs in the ledger. So running again with another seed buys no free
shots. Only what holds is taken to the test, as one pool; each opening of the test by another set of factors leaves
less of the level to the next (`spent_level`). Words follow the test, never the hope. Arrays and files are unknown here.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import EXIT_NOTHING_FOUND, EXIT_OK
from fama_fast.evaluation import benjamini_hochberg, deflated_sharpe, p_value, stationary_bootstrap_interval
from fama_fast.mining.verdict.control import Control

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.measure.combination import Model, PoolScores

    Scores = Mapping[str, Mapping[str, float]]

NAN = float("nan")


class Status(enum.Enum):
    """How a run ended."""

    FOUND = "found"  # holds on validation, and the test agrees
    NOT_CONFIRMED = "not confirmed"  # holds on validation, the test does not agree
    NOTHING_FOUND = "nothing found"  # nothing meets the bar on validation
    INTERRUPTED = "interrupted"  # stopped on request: no claim is made and the test stays closed
    NOT_JUDGED = "not judged"  # the search is over and its end has yet to come: no claim is made


@dataclass(frozen=True)
class FactorVerdict:
    """One new factor against the bar; t-values (above 0 is the right direction), p adjusted."""

    fingerprint: str
    train_t: float
    train_p: float
    valid_t: float
    valid_p: float
    holds: bool
    test_t: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        return {
            "holds": self.holds,
            "train_t": self.train_t,
            "train_p_adjusted": self.train_p,
            "valid_t": self.valid_t,
            "valid_p_adjusted": self.valid_p,
            **({} if self.test_t is None else {"test_t": self.test_t}),
        }


@dataclass(frozen=True)
class Tried:
    """How much was tried: the multiplicity of every p-value, and the spread of Sharpe ratios among the trials.

    Attributes:
        here: different candidates of this run that were measured on data. elsewhere: of earlier runs on the same
            data, not among those. sharpe_variance: of the validation RankICIR over this run's candidates.
    """

    here: int
    elsewhere: int = 0
    sharpe_variance: float = NAN

    @property
    def total(self) -> int:
        return self.here + self.elsewhere


@dataclass(frozen=True)
class Evidence:
    """A pool on one split: its figures and how sure they are.

    Attributes:
        scores: of the model that decides. others: of the other models. interval: 95%, of the mean RankIC, by the
            stationary bootstrap. p: one-sided, of the Newey-West t. deflated: deflated Sharpe ratio; None where
            trials are not counted (the test). weights: of ridge.
    """

    scores: dict[str, float]
    others: dict[str, dict[str, float]]
    interval: tuple[float, float]
    p: float
    deflated: float | None = None
    weights: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        out: dict[str, Any] = dict(self.scores)
        if all(math.isfinite(bound) for bound in self.interval):
            out["rank_ic_interval"] = list(self.interval)
        out["p"] = self.p
        if self.deflated is not None and math.isfinite(self.deflated):
            out["deflated_sharpe"] = self.deflated
        return out | {"weights": dict(self.weights), "other_models": self.others}


@dataclass(frozen=True)
class Verdict:
    """The end of a run, in figures and in words.

    Attributes:
        headline: one sentence. statements: further sentences, in the order of an argument.
        tried: the multiplicity that p-values are adjusted for. test_level: one-sided level that was left for the test;
            openings: how many other sets of factors had their test on these data before.
        valid: the pool of all new factors on validation; tested: the pool of those that hold, on the test; None
            where there is none. shrinkage: mean test RankIC of the factors that hold over their training
            RankIC. control: what luck found.
    """

    status: Status
    headline: str
    statements: tuple[str, ...]
    level: float
    test_level: float
    tried: Tried
    openings: int = 0
    factors: tuple[FactorVerdict, ...] = ()
    valid: Evidence | None = None
    tested: Evidence | None = None
    shrinkage: float | None = None
    control: Control = field(default_factory=Control)

    @property
    def exit_code(self) -> int:
        """0 when something was found, 1 otherwise."""
        return EXIT_OK if self.status is Status.FOUND else EXIT_NOTHING_FOUND

    @property
    def holding(self) -> tuple[str, ...]:
        """Fingerprints of the factors that hold on validation."""
        return tuple(f.fingerprint for f in self.factors if f.holds)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file and the ledger."""
        return {
            "status": self.status.value,
            "headline": self.headline,
            "statements": list(self.statements),
            "false_discovery_rate": self.level,
            "test_level": self.test_level,
            "test_opened_before": self.openings,
            "candidates_measured": self.tried.here,
            "candidates_measured_by_earlier_runs": self.tried.elsewhere,
            "holding": list(self.holding),
            "shrinkage": self.shrinkage,
            "pool": {
                "valid": {} if self.valid is None else self.valid.as_dict(),
                "test": {} if self.tested is None else self.tested.as_dict(),
            },
            "control": self.control.as_dict(),
        }


def one_sided(t: float) -> float:
    """p-value of t against "not above zero"; 1 where t is not known."""
    if not math.isfinite(t):
        return 1.0
    half = p_value(t) / 2.0
    return half if t > 0.0 else 1.0 - half


def spent_level(level: float, openings: int) -> float:
    """The level of the test's next opening: level / (k (k + 1)) for the k-th, so that all together never exceed it.

    Alpha spending (Foster and Stine 2008) with the summable weights 1/(k (k + 1)).
    """
    k = openings + 1
    return level / (k * (k + 1))


def was_measured(scores: Scores) -> bool:
    """The candidate's figures on data were looked at, if only on a few dates."""
    return "screen" in scores or "train" in scores


def judge_factors(
    new: Sequence[Factor],
    candidates: Iterable[tuple[str | None, Scores]],
    level: float,
    *,
    elsewhere: Collection[str] = (),
) -> tuple[list[FactorVerdict], Tried]:
    """Each new factor against the bar, and how much was tried.

    Args:
        new: the factors that the run found. candidates: (fingerprint, scores) of every candidate of the run, in the
            direction of its training; one that a cheap look at the data stopped counts as tested without success.
        level: false discovery rate. elsewhere: fingerprints that only earlier runs measured on the same data.
    """
    measured = [(f, scores) for f, scores in candidates if was_measured(scores)]
    others = len(elsewhere)
    train = np.ones(len(measured) + others)
    valid = np.ones(len(measured) + others)
    place: dict[str, int] = {}
    ts: list[tuple[float, float]] = []
    sharpes: list[float] = []
    for i, (fingerprint, scores) in enumerate(measured):
        t_train, t_valid = (_figure(scores, split, "rank_ic_t") for split in ("train", "valid"))
        sharpes.append(_figure(scores, "valid", "rank_icir"))
        ts.append((t_train, t_valid))
        train[i] = p_value(t_train) if math.isfinite(t_train) else 1.0
        valid[i] = one_sided(t_valid)
        if fingerprint is not None:
            place.setdefault(fingerprint, i)
    adjusted_train, adjusted_valid = benjamini_hochberg(train), benjamini_hochberg(valid)
    out = []
    for factor in new:
        at = place.get(factor.fingerprint)
        if at is None:
            continue
        p_train, p_valid = float(adjusted_train[at]), float(adjusted_valid[at])
        out.append(
            FactorVerdict(
                factor.fingerprint,
                ts[at][0],
                p_train,
                ts[at][1],
                p_valid,
                holds=p_train <= level and p_valid <= level,
            )
        )
    known = [s for s in sharpes if math.isfinite(s)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else NAN
    return out, Tried(len(measured), others, variance)


def _figure(scores: Scores, split: str, name: str) -> float:
    value = scores.get(split, {}).get(name)
    return NAN if value is None else float(value)


def evidence(pool: PoolScores | None, model: Model, *, horizon: int, tried: Tried | None = None) -> Evidence | None:
    """The figures of a pool and how sure they are; with `tried`, the Sharpe ratio deflated for all trials."""
    if pool is None:
        return None
    series = pool.daily[model].rank_ic
    deflated = None
    if tried is not None:
        deflated = deflated_sharpe(series, trials=tried.total, variance=tried.sharpe_variance)
    scores = pool.scores[model]
    return Evidence(
        scores=scores,
        others={name: found for name, found in pool.scores.items() if name != model},
        interval=stationary_bootstrap_interval(series, horizon=horizon),
        p=one_sided(scores.get("rank_ic_t", NAN)),
        deflated=deflated,
        weights=pool.weights,
    )


def conclude(
    judged: Sequence[FactorVerdict],
    tried: Tried,
    *,
    level: float,
    test_level: float,
    openings: int = 0,
    factors: Mapping[str, Factor],
    test: Scores,
    valid: Evidence | None = None,
    tested: Evidence | None = None,
    control: Control | None = None,
) -> Verdict:
    """The verdict, once the test of the factors that hold is known.

    Args:
        factors: the new factors by fingerprint. test: test scores by fingerprint; empty when nothing holds, for
            then the test stays closed. valid, tested: pools, see `Verdict`.
    """
    from fama_fast.mining.verdict import text as wording

    whole = tuple(
        FactorVerdict(
            f.fingerprint,
            f.train_t,
            f.train_p,
            f.valid_t,
            f.valid_p,
            f.holds,
            _figure(test, f.fingerprint, "rank_ic_t") if f.fingerprint in test else None,
        )
        for f in judged
    )
    holding = [f for f in whole if f.holds]
    if not holding or tested is None:
        status = Status.NOTHING_FOUND
    elif tested.p <= test_level:
        status = Status.FOUND
    else:
        status = Status.NOT_CONFIRMED
    control = control or Control()
    shrinkage = _shrinkage([factors[f.fingerprint] for f in holding], test)
    return Verdict(
        status,
        wording.headline(status.value, whole, tried, level=level, tested=tested),
        wording.statements(
            whole,
            tried,
            level=level,
            test_level=test_level,
            openings=openings,
            valid=valid,
            tested=tested,
            shrinkage=shrinkage,
            control=control,
        ),
        level,
        test_level,
        tried,
        openings,
        whole,
        valid,
        tested,
        shrinkage,
        control,
    )


def _shrinkage(holding: Sequence[Factor], test: Scores) -> float | None:
    """Mean test RankIC over mean training RankIC."""
    before = [f.score for f in holding]
    after = [_figure(test, f.fingerprint, "rank_ic") for f in holding]
    if not holding or not all(math.isfinite(x) for x in (*before, *after)) or sum(before) <= 0.0:
        return None
    return sum(after) / sum(before)

"""What a run may claim: training and validation tested with all candidates counted, the test asked once.

A new factor holds when its RankIC is significant in training and, in the same direction, on validation, each
after Benjamini-Hochberg over every candidate that was measured on data. Only what holds is taken to the test,
as one equal-weight pool; words follow the test, never the hope. Arrays and files are unknown here.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import EXIT_NOTHING_FOUND, EXIT_OK
from fama_fast.evaluation import benjamini_hochberg, p_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fama_fast.library.factor import Factor

    Scores = Mapping[str, Mapping[str, float]]

NAN = float("nan")


class Status(enum.Enum):
    """How a run ended."""

    FOUND = "found"  # holds on validation, and the test agrees
    NOT_CONFIRMED = "not confirmed"  # holds on validation, the test does not agree
    NOTHING_FOUND = "nothing found"  # nothing meets the bar on validation


@dataclass(frozen=True)
class FactorVerdict:
    """One new factor against the bar; t-values are oriented (above 0 is the right direction), p adjusted."""

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
class Verdict:
    """The end of a run, in figures and in words.

    Attributes:
        measured: candidates that were measured on data: the count that p-values are adjusted for.
        pool_valid, pool_test: scores of the equal-weight pool; all new factors on validation, those that hold
            on the test. Empty where there is none.
    """

    status: Status
    headline: str
    level: float
    measured: int
    factors: tuple[FactorVerdict, ...] = ()
    pool_valid: dict[str, float] = field(default_factory=dict)
    pool_test: dict[str, float] = field(default_factory=dict)

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
            "false_discovery_rate": self.level,
            "candidates_measured": self.measured,
            "holding": list(self.holding),
            "pool": {"valid": dict(self.pool_valid), "test": dict(self.pool_test)},
        }


def one_sided(t: float) -> float:
    """p-value of t against "not above zero"; 1 where t is not known."""
    if not math.isfinite(t):
        return 1.0
    half = p_value(t) / 2.0
    return half if t > 0.0 else 1.0 - half


def judge_factors(
    new: Sequence[Factor], candidates: Iterable[tuple[str | None, Scores]], level: float
) -> tuple[list[FactorVerdict], int]:
    """Each new factor against the bar, and how many candidates were measured.

    Args:
        new: the factors that the run found. candidates: (fingerprint, scores) of every candidate of the run;
            one that a cheap look at the data stopped counts as tested without success.
        level: false discovery rate.
    """
    measured = [(f, scores) for f, scores in candidates if "screen" in scores or "train" in scores]
    train = np.ones(len(measured))
    valid = np.ones(len(measured))
    place: dict[str, int] = {}
    ts: list[tuple[float, float]] = []
    for i, (fingerprint, scores) in enumerate(measured):
        sign = -1.0 if _figure(scores, "train", "rank_ic") < 0.0 else 1.0
        t_train = sign * _figure(scores, "train", "rank_ic_t")
        t_valid = sign * _figure(scores, "valid", "rank_ic_t")
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
                *_pairs(ts[at], p_train, p_valid),
                holds=p_train <= level and p_valid <= level,
            )
        )
    return out, len(measured)


def _pairs(t: tuple[float, float], p_train: float, p_valid: float) -> tuple[float, float, float, float]:
    return t[0], p_train, t[1], p_valid


def _figure(scores: Scores, split: str, name: str) -> float:
    value = scores.get(split, {}).get(name)
    return NAN if value is None else float(value)


def conclude(
    factors: Sequence[FactorVerdict],
    measured: int,
    *,
    level: float,
    test_level: float,
    signs: Mapping[str, int],
    pool_valid: Mapping[str, float],
    test: Scores,
) -> Verdict:
    """The verdict, once the test of the factors that hold is known.

    Args:
        signs: orientation by fingerprint. test: raw test scores by fingerprint and of the "pool"; empty when
            nothing holds, for then the test stays closed.
    """
    judged = tuple(
        FactorVerdict(
            f.fingerprint,
            f.train_t,
            f.train_p,
            f.valid_t,
            f.valid_p,
            f.holds,
            signs[f.fingerprint] * _figure(test, f.fingerprint, "rank_ic_t") if f.fingerprint in test else None,
        )
        for f in factors
    )
    holding = [f for f in judged if f.holds]
    pool_test = dict(test.get("pool", {}))
    if not holding:
        status, headline = Status.NOTHING_FOUND, _nothing(len(judged), measured, level)
    else:
        status, headline = _tested(holding, len(judged), pool_test, test_level)
    return Verdict(status, headline, level, measured, judged, dict(pool_valid), pool_test)


def _nothing(new: int, measured: int, level: float) -> str:
    counted = f"false discovery rate {level:g} over {measured} measured candidates"
    if new == 0:
        return f"nothing found: no candidate of {measured} passed the gates"
    those = "the one new factor does not hold" if new == 1 else f"none of the {new} new factors holds"
    return f"nothing found: {those} on validation ({counted}); the test split stays closed"


def _tested(
    holding: Sequence[FactorVerdict], new: int, pool: Mapping[str, float], test_level: float
) -> tuple[Status, str]:
    rank_ic, t = pool.get("rank_ic", NAN), pool.get("rank_ic_t", NAN)
    agree = sum(1 for f in holding if f.test_t is not None and f.test_t > 0.0)
    direction = f"{agree} of {len(holding)} in the same direction"
    figures = f"pool on the test split: RankIC {rank_ic:+.4f}, t {t:+.2f}; {direction}"
    held = f"{len(holding)} of {new} new factors hold{'s' if len(holding) == 1 else ''} on validation"
    if math.isfinite(t) and one_sided(t) <= test_level:
        return Status.FOUND, f"found: {held} and the test agrees ({figures})"
    word = "contradicts" if t < 0.0 else "does not confirm"
    return Status.NOT_CONFIRMED, f"not confirmed: {held}, but the test {word} ({figures})"

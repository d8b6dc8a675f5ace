"""The verdict as plain values: each new factor's tests, the number of trials, pools, status."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any

from fama_fast.errors import EXIT_NOTHING_FOUND, EXIT_OK
from fama_fast.evaluation.inference import NAN
from fama_fast.mining.verdict.control import Control
from fama_fast.mining.verdict.luck import Luck  # noqa: TC001  (a field's type)


class Status(enum.Enum):
    """Outcomes of a run."""

    FOUND = "found"  # holds on validation, the test agrees and pays, and random formulas do worse
    NOT_BETTER = "found, but no better than random formulas"  # of the same number and rule, on validation
    DOES_NOT_PAY = "ranks, but does not pay"  # the test agrees, but its spread may as well be zero
    NOT_CONFIRMED = "not confirmed"  # holds on validation, the test does not agree
    NOTHING_FOUND = "nothing found"  # nothing meets the bar on validation
    INTERRUPTED = "interrupted"  # stopped on request: no claim is made and the test stays closed
    NOT_JUDGED = "not judged"  # the search is over and its end has yet to come: no claim is made


@dataclass(frozen=True)
class FactorVerdict:
    """Test statistics of one new factor: t-values (above 0 is the right direction), adjusted p-values."""

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
    """Number of trials: the multiplicity of every p-value.

    Attributes:
        here: different candidates of this run that were measured on data. elsewhere: of earlier runs on the same
            data, not among those.
    """

    here: int
    elsewhere: int = 0

    @property
    def total(self) -> int:
        return self.here + self.elsewhere


@dataclass(frozen=True)
class Evidence:
    """Figures of a pool on one split, with interval and p-value.

    Attributes:
        scores: of the model that decides. others: of the other models. interval: 95%, of the mean of the objective,
            by the bootstrap of its t. p: one-sided, of the objective (`evaluation.mean_test`). deflated: deflated
            Sharpe ratio of the daily spread; None where trials are not counted (the test). weights: of ridge.
        objective: what it is judged by. spread_interval: 95%, of the mean spread. horizon: days a label spans.
        horizons: of a target with several, the scores at each.
    """

    scores: dict[str, float]
    others: dict[str, dict[str, float]]
    interval: tuple[float, float]
    p: float
    deflated: float | None = None
    weights: dict[str, float] = field(default_factory=dict)
    objective: str = "rank_ic"
    spread_interval: tuple[float, float] = (NAN, NAN)
    horizon: int = 1
    horizons: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def pays(self) -> bool:
        """Whether the mean spread is above zero with its 95% interval."""
        return self.spread_interval[0] > 0.0

    @property
    def level(self) -> float:
        """The mean of the objective; NaN where it is not known."""
        return self.scores.get(self.objective, NAN)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        out: dict[str, Any] = dict(self.scores)
        for name, bounds in {self.objective: self.interval, "spread": self.spread_interval}.items():
            if all(math.isfinite(bound) for bound in bounds):
                out[f"{name}_interval"] = list(bounds)
        out["p"] = self.p
        if self.deflated is not None and math.isfinite(self.deflated):
            out["deflated_sharpe"] = self.deflated
        if self.horizons:
            out["horizons"] = self.horizons
        return out | {"weights": dict(self.weights), "other_models": self.others}


@dataclass(frozen=True)
class WidePoolFindings:
    """What the wide pool came to.

    Attributes:
        formulas: how many it has; seeds: of them, those that the run began with. penalty, power: of its weights, chosen
            in training (`pools.weights`). expected: mean of its objective over the block of training that they were
            chosen on, counted as a RankIC; error: standard error of that, which is that of the forecast; NaN where
            there was none. valid: on validation, weights fitted in training; test: refitted on both.
        level: one-sided, at which it stands on validation.
    """

    formulas: int
    seeds: int
    penalty: float
    power: float
    expected: float
    error: float
    valid: Evidence
    level: float
    test: Evidence | None = None

    @property
    def stands(self) -> bool:
        """Whether the run put something in it, and its objective is above zero on validation at the level."""
        return self.formulas > self.seeds and self.valid.p <= self.level

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file; the weights are in the ledger."""
        known = {"mean": self.expected, "error": self.error}
        return {
            "formulas": self.formulas,
            "seeds": self.seeds,
            "penalty": self.penalty,
            "power": self.power,
            "expected": {name: value for name, value in known.items() if math.isfinite(value)},
            "level": self.level,
            "stands": self.stands,
            "valid": self.valid.as_dict(),
            "test": {} if self.test is None else self.test.as_dict(),
        }


@dataclass(frozen=True)
class Verdict:
    """The conclusion of a run, in figures and in words.

    Attributes:
        headline: one sentence or two. statements: further sentences, in the order of an argument.
        tried: the multiplicity that p-values are adjusted for. test_level: one-sided level that was left for the test;
            openings: how many other sets of factors had their test on these data before.
        valid: the pool of all new factors on validation; tested: the pool of those that hold, on the test; None
            where there is none. shrinkage: mean test RankIC of the factors that hold over their training
            RankIC. control: figures of the null controls. luck: tests of the best of all candidates; None where none
            was measured. could_show: the least RankIC and spread that would have been found.
        objective: what the search climbed and the tests were of. horizon: days that a label spans. wide: the wide pool;
            None where there is none.
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
    luck: Luck | None = None
    could_show: dict[str, float] = field(default_factory=dict)
    objective: str = "rank_ic"
    horizon: int = 1
    wide: WidePoolFindings | None = None

    @property
    def exit_code(self) -> int:
        """0 when something was found that pays and is better than random formulas, 1 otherwise."""
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
            "objective": self.objective,
            "horizon": self.horizon,
            **({} if self.wide is None else {"wide": self.wide.as_dict()}),
            **({} if self.luck is None else {"luck": self.luck.as_dict()}),
            **({"could_have_shown": dict(self.could_show)} if self.could_show else {}),
        }

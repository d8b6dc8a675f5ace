"""What luck alone does with so many candidates: tests of the best of them, and what the panel could have shown.

Pure functions of the candidates' daily series on validation and of standard errors; where they come from is not known
here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError
from fama_fast.evaluation.mean_tests import cosine_count
from fama_fast.evaluation.overfitting import overfitting_probability
from fama_fast.evaluation.power import Hurdle, least_effect
from fama_fast.evaluation.selection_tests import independent_trials, known_columns, selection_tests

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

_MOST_BLOCKS = 16
_FEWEST_BLOCKS = 6


@dataclass(frozen=True)
class Luck:
    """Tests of the best of all candidates that were measured on validation.

    Attributes:
        measured: candidates with figures on every date of validation. sampled: of those, how many the tests rest on.
        reality_check, spa, step_down: p-values of the best candidate, see `evaluation.selection_tests`; where a part
            was sampled they allow for the others. overfitting: probability of backtest overfitting of choosing the
            best, None where there are too few dates. clusters: of the candidates' daily series: independent trials.
            independent: as many independent series have as high a best.
    """

    measured: int
    sampled: int
    reality_check: float
    spa: float
    step_down: float
    overfitting: float | None
    clusters: int
    independent: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        return {
            "candidates": self.measured,
            "candidates_sampled": self.sampled,
            "reality_check_p": self.reality_check,
            "spa_p": self.spa,
            "step_down_p": self.step_down,
            "overfitting_probability": self.overfitting,
            "independent_trials": self.clusters,
            "independent_trials_by_best": self.independent,
        }


def luck_of(daily: FloatArray, measured: int, *, horizon: int, seed: int) -> Luck | None:
    """The tests of the candidates' daily series on validation.

    Args:
        daily: (T, M) in the direction of training. measured: how many candidates they stand for, at least M.

    Returns:
        None where no candidate can be tested.
    """
    tests = selection_tests(daily, horizon=horizon, seed=seed)
    if tests is None:
        return None
    trials = independent_trials(daily, seed=seed)
    share = max(1.0, measured / daily.shape[1])

    def of_all(p: float) -> float:
        return -math.expm1(share * math.log1p(-p)) if p < 1.0 else 1.0

    best = float(tests.step_down[tests.best])
    return Luck(
        measured,
        tests.n_candidates,
        of_all(tests.reality_check),
        of_all(tests.spa),
        of_all(best),
        _overfitting(daily, horizon),
        trials.clusters,
        trials.independent,
    )


def _overfitting(daily: FloatArray, horizon: int) -> float | None:
    """Probability of backtest overfitting, in blocks no shorter than the horizon; None with too few dates for it."""
    columns = daily[:, known_columns(daily)[1]]
    days = int(np.isfinite(columns).all(axis=1).sum())
    blocks = min(_MOST_BLOCKS, days // max(2, horizon) // 2 * 2)
    if blocks < _FEWEST_BLOCKS or columns.shape[1] < 2:
        return None
    try:
        return overfitting_probability(columns, blocks=blocks).probability
    except DataError:
        return None


def could_show(
    errors: dict[str, dict[str, float]],
    days: dict[str, int],
    *,
    trials: int,
    level: float,
    test_level: float,
    horizon: int,
    power: float = 0.8,
) -> dict[str, float]:
    """The least mean of each measure that a run would have found with a given power, were it judged by that measure.

    A candidate must be significant in training and on validation with all trials allowed for, as if it were the only
    discovery, and then on the test.

    Args:
        errors: standard errors of a candidate's mean, by measure, on "train" and "valid"; of the test from those of
            validation, by its number of dates. days: dates of the three splits. trials: candidates measured.
    """
    if trials < 1 or min(days.values(), default=0) < 2:
        return {}
    out = {}
    for name, by_split in errors.items():
        test_error = by_split["valid"] * math.sqrt(days["valid"] / days["test"])
        hurdles = [
            Hurdle(by_split["train"], level / trials / 2.0),
            Hurdle(by_split["valid"], level / trials),
            Hurdle(test_error, test_level, cosine_count(days["test"], horizon)),
        ]
        found = least_effect(hurdles, power)
        if math.isfinite(found):
            out[name] = found
    return out

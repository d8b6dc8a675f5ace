"""What peers are asked for: one expression a case, and when two results count as equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.types import FloatArray

CASES = {
    "RANK": "RANK(CLOSE)",
    "Z_SCORE": "Z_SCORE(CLOSE)",
    "DELTA 5": "DELTA(CLOSE, 5)",
    "TS_SUM 20": "TS_SUM(CLOSE, 20)",
    "TS_MEAN 20": "TS_MEAN(CLOSE, 20)",
    "DECAY_LINEAR 10": "DECAY_LINEAR(CLOSE, 10)",
    "DECAY_LINEAR 20": "DECAY_LINEAR(CLOSE, 20)",
    **{f"TS_STDDEV {d}": f"TS_STDDEV(CLOSE, {d})" for d in (10, 60, 250)},
    **{f"CORREL {d}": f"CORREL(CLOSE, VOLUME, {d})" for d in (10, 60, 250)},
    **{f"TS_COVARIANCE {d}": f"TS_COVARIANCE(CLOSE, VOLUME, {d})" for d in (10, 60, 250)},
    **{f"TS_RANK {d}": f"TS_RANK(CLOSE, {d})" for d in (10, 60)},
    **{f"{name} {d}": f"{name}(CLOSE, {d})" for name in ("TS_MAX", "TS_MIN", "TS_ARGMAX") for d in (10, 60, 250)},
    **{f"TS_MEDIAN {d}": f"TS_MEDIAN(CLOSE, {d})" for d in (20, 60)},
    **{f"TS_QUANTILE {d}": f"TS_QUANTILE(CLOSE, {d}, 0.8)" for d in (20, 60)},
    "elementwise 4": "(CLOSE - OPEN) / (HIGH - LOW + 0.001)",
    "chain 5": "DECAY_LINEAR(TS_MEAN(DELTA(CLOSE, 5) / DELAY(CLOSE, 5), 10), 10) - TS_SUM(VOLUME, 20)",
}


@dataclass(frozen=True)
class Contender:
    """How a peer computes a case.

    Attributes:
        run: what is timed. values: its result as (T, N), NaN where missing.
    """

    run: Callable[[], Any]
    values: Callable[[Any], FloatArray]


def check_equal(ours: FloatArray, theirs: FloatArray) -> None:
    """Hold a peer's result to ours, values and gaps alike: only equal work makes a fair race.

    Raises:
        AssertionError: a value differs, or only one of the two has it.
    """
    scale = float(np.nanmedian(np.abs(ours)))
    np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-9 * scale)

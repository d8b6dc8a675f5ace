"""Daily series without an effect, of the kinds that daily figures of candidates are of; (dates, series) each.

All have mean 0 and, but for rounding, a long-run standard deviation of 1 a date of its effective number, so that an
effect can be added in units of its standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.types import FloatArray

_SHARED = 0.3  # share of the variance that all candidates have in common
_MEMORY = 0.3
_TAIL = 3.0  # degrees of freedom


def _together(draw: Callable[[int], FloatArray], series: int) -> FloatArray:
    """Series that share a part, each part drawn by `draw(columns)`."""
    if series == 1:
        return draw(1)
    out: FloatArray = np.sqrt(_SHARED) * draw(1) + np.sqrt(1.0 - _SHARED) * draw(series)
    return out


def iid(rng: np.random.Generator, dates: int, series: int) -> FloatArray:
    """Independent dates."""
    return _together(lambda k: rng.normal(size=(dates, k)), series)


def autoregressive(rng: np.random.Generator, dates: int, series: int) -> FloatArray:
    """AR(1) with coefficient .3."""

    def draw(k: int) -> FloatArray:
        shocks = rng.normal(size=(dates + 50, k))
        out = np.empty_like(shocks)
        last = shocks[0]
        for t, shock in enumerate(shocks):
            last = _MEMORY * last + shock
            out[t] = last
        return (1.0 - _MEMORY) * out[50:]

    return _together(draw, series)


def heavy(rng: np.random.Generator, dates: int, series: int) -> FloatArray:
    """Student's t with three degrees of freedom."""
    return _together(lambda k: rng.standard_t(_TAIL, size=(dates, k)) / np.sqrt(_TAIL / (_TAIL - 2.0)), series)


def overlapping(horizon: int) -> Callable[[np.random.Generator, int, int], FloatArray]:
    """Sums over `horizon` dates: what a signal that hardly changes has against labels that overlap."""

    def draw(rng: np.random.Generator, dates: int, series: int) -> FloatArray:
        def part(k: int) -> FloatArray:
            total = np.cumsum(rng.normal(size=(dates + horizon, k)), axis=0)
            return (total[horizon:] - total[:-horizon]) / horizon

        return _together(part, series)

    return draw


NULLS: dict[str, tuple[Callable[[np.random.Generator, int, int], FloatArray], int]] = {
    "iid": (iid, 1),
    "AR(1) .3": (autoregressive, 1),
    "heavy tails, t(3)": (heavy, 1),
    "labels of 5 days": (overlapping(5), 5),
    "labels of 20 days": (overlapping(20), 20),
}
"""By name: the draw, and the horizon that the statistics are told."""

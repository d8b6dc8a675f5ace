"""What a panel could have shown: the least effect that a run of tests finds with a given power.

It knows standard errors and levels; no series, no panel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.arguments import real
from fama_fast.evaluation.inference import NAN

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Hurdle:
    """A one-sided test that an effect must pass: the standard error of the mean there, its degrees of freedom (None for
    the normal limit), and its level."""

    error: float
    level: float
    freedom: int | None = None

    def power(self, effect: float) -> float:
        """Probability that a mean of `effect` passes."""
        from scipy.special import ndtr, ndtri, stdtrit

        bar = -ndtri(self.level) if self.freedom is None else -stdtrit(self.freedom, self.level)
        return float(ndtr(effect / self.error - bar))


def least_effect(hurdles: Sequence[Hurdle], power: float = 0.8) -> float:
    """The least effect that passes all hurdles, on dates apart from each other, with the given probability.

    The mean is taken to be normal round the effect, so that the power of a test is F(effect / error - bar). It is an
    approximation for few degrees of freedom, where the bar itself is what matters most.

    Args:
        hurdles: at least one. power: in (0, 1).

    Returns:
        In units of the errors; NaN where an error is not known.

    Raises:
        ConfigError: a power that is none, or no hurdle.
    """
    from scipy.optimize import brentq

    from fama_fast.errors import ConfigError

    power = real(power, "power", above=0.0)
    if power >= 1.0 or not hurdles:
        raise ConfigError(f"the least effect needs a power below 1 and a test, not {power:g} and {len(hurdles)} tests")
    if not all(math.isfinite(h.error) and h.error > 0.0 and 0.0 < h.level < 1.0 for h in hurdles):
        return NAN

    def short(effect: float) -> float:
        return math.prod(h.power(effect) for h in hurdles) - power

    high = max(h.error for h in hurdles)
    while short(high) < 0.0:
        high *= 2.0
        if not math.isfinite(high):
            return NAN
    return float(brentq(short, 0.0, high)) if short(0.0) < 0.0 else 0.0

"""Chooses the short list: few formulas that together forecast most of what a wide pool does.

Formulas are taken one by one, each time the one that adds most to the ridge pool of those taken before. With R the
correlations and g the target of each formula, the pool of the formulas S explains g_S' (R_S + a I)^-1 g_S, and a
formula j beside them adds

    (g_j - r' (R_S + a I)^-1 g_S)^2 / (R_jj + a - r' (R_S + a I)^-1 r),    r = R_jS,

which is forward selection for ridge regression (orthogonal least squares: Chen, Billings and Luo 1989, International
Journal of Control 50), kept up to date with one vector operation a formula taken before. A shorter list is the head of
a longer one. Measured, with the alternatives: docs/decisions/041-short-list.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fama_fast.types import BoolArray, FloatArray

PENALTY = 0.03  # a


def choose(
    correlations: FloatArray,
    target: FloatArray,
    allowed: BoolArray,
    *,
    wanted: int,
    bound: float,
    penalty: float = PENALTY,
) -> list[int]:
    """Places of the formulas taken, in the order taken; of equals the first. Fewer than wanted where no more add.

    What is not a number in the target is never taken. A formula may be taken for what it corrects in the others: its
    weight beside them is below 0 then, though it points upwards by itself.

    Args:
        correlations: (K, K) of the formulas, 1 on the diagonal. target: (K,) what they are to explain: the mean daily
            figure of each, or its correlation with a forecast. allowed: (K,) that may be taken.
        wanted: formulas at most. bound: |correlation| of any two of them at most. penalty: a, above 0.
    """
    places = np.flatnonzero(allowed & np.isfinite(target))
    if not len(places) or wanted < 1:
        return []
    among = np.ascontiguousarray(correlations[np.ix_(places, places)], dtype=np.float64)
    return [int(places[j]) for j in _forward(among, target[places], wanted, bound, penalty)]


def _forward(among: FloatArray, target: FloatArray, wanted: int, bound: float, penalty: float) -> list[int]:
    """Formulas that add most, one by one."""
    left = target.astype(np.float64)  # of the target, when those taken have explained their part
    room = np.diag(among) + penalty  # of each formula's variance, likewise
    free = np.ones(len(target), dtype=np.bool_)
    taken: list[int] = []
    steps: list[FloatArray] = []
    for _ in range(wanted):
        gains = _gains(left, room, free)
        best = int(np.argmax(gains))
        if not gains[best] > 0.0:
            break
        step = among[best].copy()
        step[best] += penalty
        for before in steps:
            step -= before * before[best]
        step /= np.sqrt(room[best])
        left -= step * (left[best] / step[best])
        room -= step * step
        taken.append(best)
        steps.append(step)
        free &= np.abs(among[best]) <= bound
        free[best] = False
    return taken


def _gains(left: FloatArray, room: FloatArray, free: BoolArray) -> FloatArray:
    """(K,) what each formula adds; 0 of one that may not be taken or is explained already."""
    fits = free & (room > 0.0)
    return np.where(fits, left * left / np.where(fits, room, 1.0), 0.0)

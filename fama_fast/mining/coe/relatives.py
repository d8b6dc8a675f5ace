"""The nearest relative of a factor among others, whichever way round: a factor and its mirror are one idea."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fama_fast.errors import DataError
from fama_fast.mining.coe.chain import strength

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.library.factor import Factor

    Correlations = Callable[[Factor, Factor], float] | Mapping[str, float]


def absolute_correlation(factor: Factor, member: Factor, correlations: Correlations) -> float:
    """|correlation| of two factors, 0 where it is not defined.

    Raises:
        DataError: it is not known.
    """
    if isinstance(correlations, Mapping):
        if member.fingerprint not in correlations:
            raise DataError(f"the correlation of {factor.expression} with {member.expression} is not known")
        value = correlations[member.fingerprint]
    else:
        value = correlations(factor, member)
    return 0.0 if math.isnan(value) else abs(value)


def most_correlated(factor: Factor, members: Sequence[Factor], correlations: Correlations) -> Factor:
    """The member of largest |correlation| with `factor`; among equal ones the strongest, then the latest."""
    ranked = [(absolute_correlation(factor, m, correlations), strength(m), place) for place, m in enumerate(members)]
    return members[max(ranked)[2]]

"""Several horizons count as one: what is measured is the mean of their daily series.

A spread grows with the days that a label is held, and so the longest would decide. Of several horizons spreads, and
what is traded for them, are therefore counted over as many days as the longest: their mean is that of the gains a day.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Found = TypeVar("Found")


class OneHorizon(Protocol):
    """What knows one horizon: `weight` is the days of the longest over its own."""

    weight: float


def over_longest(found: Found, weight: float) -> Found:
    """What was measured at a horizon, its spread and what is traded counted over the days of the longest.

    Args:
        found: with series `spread` and `traded`. weight: days of the longest horizon over its own.
    """
    if weight == 1.0:
        return found
    known: Any = found
    made: Found = replace(known, spread=weight * known.spread, traded=weight * known.traded)
    return made


def over_markets(markets: Sequence[OneHorizon], parts: Sequence[Found]) -> Found:
    """The mean of what was measured at the horizon of each market, spreads counted over the longest."""
    return averaged([over_longest(part, market.weight) for market, part in zip(markets, parts, strict=True)])


def averaged(parts: Sequence[Found]) -> Found:
    """The mean, field by field, of what was measured at each horizon: dataclasses of arrays of equal shapes.

    A date on which one of them has no figure has none. One part is itself.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    made: dict[str, Any] = {}
    for field in fields(first):  # type: ignore[arg-type]
        arrays = [getattr(part, field.name) for part in parts]
        made[field.name] = None if arrays[0] is None else sum(arrays[1:], arrays[0]) / len(arrays)
    return type(first)(**made)

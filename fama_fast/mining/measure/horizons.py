"""Several horizons count as one: what is measured is the mean of their daily series."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Found = TypeVar("Found")


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

"""The formulas of Kakushadze (2016) that KunQuant 0.1.12 ships: all but those that need industries or market value."""

from __future__ import annotations

_LEFT_OUT = frozenset({48, 56, 58, 59, 63, 67, 69, 70, 76, 79, 80, 82, 87, 89, 90, 91, 93, 97, 100})

SHIPPED_BY_KUNQUANT = tuple(i for i in range(1, 102) if i not in _LEFT_OUT)

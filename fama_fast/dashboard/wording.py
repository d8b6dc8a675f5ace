"""Figures as people read them."""

from __future__ import annotations

import math

NONE = "–"


def number(value: float | None) -> str:
    """A figure as people read it: whole numbers whole, others to four places."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    if value != 0.0 and abs(value) < 0.0001:
        return f"{value:.1e}"
    return f"{value:.4f}"


def signed(value: float | None) -> str:
    """A RankIC and the like."""
    return NONE if value is None or not math.isfinite(value) else f"{value:+.4f}".replace("-", "−")

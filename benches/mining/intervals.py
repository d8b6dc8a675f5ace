"""Means with intervals and tables in Markdown, for the suites' tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def mean_interval(values: Iterable[float | None]) -> tuple[float, float, float]:
    """Mean with its 95% t interval; bounds are NaN with fewer than two values."""
    from scipy import stats

    x = np.array([v for v in values if v is not None and math.isfinite(v)])
    if x.size < 2:
        return (float(x.mean()) if x.size else math.nan), math.nan, math.nan
    half = float(stats.t.ppf(0.975, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size))
    return float(x.mean()), float(x.mean()) - half, float(x.mean()) + half


def mean_text(values: Iterable[float | None], digits: int = 4) -> str:
    """The mean with its interval, "-" where there is none."""
    centre, low, high = mean_interval(values)
    if math.isnan(centre):
        return "-"
    return f"{centre:.{digits}f}" + ("" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])

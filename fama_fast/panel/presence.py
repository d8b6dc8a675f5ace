"""Presence of symbols on each date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fama_fast.panel.panel import Panel
    from fama_fast.types import BoolArray


def trading(panel: Panel) -> BoolArray:
    """(T, N) bool: symbols present in the data that date: with a close, or any field if there is none."""
    if "CLOSE" in panel.supplied_fields:
        return np.isfinite(panel["CLOSE"])
    present = np.zeros(panel.shape, dtype=np.bool_)
    for name in panel.supplied_fields:
        present |= np.isfinite(panel[name])
    return present

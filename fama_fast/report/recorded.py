"""What a run recorded of its label and its splits, as the figures of a report need it; also of earlier versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError
from fama_fast.evaluation import StudySettings
from fama_fast.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.panel import Panel
    from fama_fast.types import IntArray


def ranked_by(target: Target) -> int:
    """Rows that the label is held by which factors were chosen; of several, the first."""
    key = target.keys[0]
    return key if isinstance(key, int) else key.count


def predicted_by(settings: Mapping[str, Any]) -> Target:
    """What a run predicted; runs of earlier versions know of splits alone."""
    cut = settings["splits"]
    return Target.of_settings(settings.get("target") or {}, cut["horizon"], cut["entry_lag"])


def horizons_shown(target: Target) -> tuple[int, ...]:
    return tuple(sorted({*(h for h in target.keys if isinstance(h, int)), *StudySettings().horizons}))


def split_rows(panel: Panel, split: Mapping[str, Any]) -> IntArray:
    """Row numbers of a split; of older runs, which did not record them, those of its days."""
    if "rows" in split:
        start, stop = split["rows"]
        if not 0 <= start < stop <= panel.shape[0]:
            raise DataError(f"the data has {panel.shape[0]} dates, and the run's splits name rows {start} to {stop}")
        return np.arange(start, stop)
    days = panel.dates.astype("datetime64[D]").astype(str)
    first, last = _row(days, split["first"], 0), _row(days, split["last"], -1)
    return np.arange(first, last + 1)


def _row(days: Any, day: str, which: int) -> int:
    """Number of the first (0) or last (-1) row of a day."""
    rows = np.flatnonzero(days == day)
    if not rows.size:
        raise DataError(f"the data has no date {day}, which the run's splits name")
    return int(rows[which])

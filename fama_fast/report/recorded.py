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


_ASKS_MODELS = ("llm", "mixed", "agent")


def training_cutoff(settings: Mapping[str, Any], proposer: str) -> str | None:
    """The date to which the model was trained that a run asked (YYYY-MM-DD); None where none was given or asked."""
    return (settings.get("llm") or {}).get("cutoff") if proposer in _ASKS_MODELS else None


def dates_before(cutoff: str, panel: Panel | None, splits: Mapping[str, Mapping[str, Any]]) -> dict[str, int | None]:
    """How many dates of each split lie before a model's training ended, by the split's name: it may have read of what
    happened on them. None where only some do and the dates are not there to be counted."""
    out: dict[str, int | None] = {}
    for name, split in splits.items():
        if panel is not None:
            days = panel.dates[split_rows(panel, split)].astype("datetime64[D]")
            out[name] = int(np.count_nonzero(days < np.datetime64(cutoff)))
        elif split["last"] < cutoff or split["first"] >= cutoff:
            out[name] = int(split["days"]) if split["last"] < cutoff else 0
        else:
            out[name] = None
    return out


def read_of(cutoff: str, before: Mapping[str, int | None], splits: Mapping[str, Mapping[str, Any]]) -> str:
    """A sentence on the validation and test dates that a model may have read about."""
    said = []
    for name, word in (("valid", "validation"), ("test", "test")):
        count, days = before.get(name), splits[name]["days"]
        said.append(f"{'some' if count is None else count} of {days} {word} dates")
    return (
        f"The model was trained on texts to {cutoff}: {' and '.join(said)} lie before it, and it may have read about "
        "them; only later ones prove what it found."
    )

"""Converts scores of a factor to those of its negative, for files that keep a sign beside the text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Splits whose figures are those of the text; anything else (a run's objectives) always was of the oriented factor.
SPLITS = ("screen", "train", "valid", "test")
_TURNED = ("rank_ic", "rank_icir", "rank_ic_t", "ic", "icir", "ic_t", "spread", "spread_t")


def turned_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures of one split (`FactorScores` as a mapping, or a part of it), converted to those of the negative.

    The hit rate is that of days without a RankIC of zero, which files do not count; coverage, turnover and what is
    traded stay. Costs are paid either way round: the net of the negative follows from the spread, its t from no figure.
    """
    out = {
        name: 0.0 - value if name in _TURNED and value is not None else value  # a ledger has null for what is not known
        for name, value in figures.items()
    }
    net, spread = figures.get("net"), figures.get("spread")
    if net is not None and spread is not None:
        out["net"] = net - 2.0 * spread
    out.pop("net_t", None)
    if (hits := figures.get("hit_rate")) is not None and math.isfinite(hits):
        days = figures.get("n_days") or 0
        # A share of whole days, so that it has no digits but those of a division.
        out["hit_rate"] = (days - round(hits * days)) / days if days >= 1 else 1.0 - hits
    return out


def turned_scores(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Scores by split of the negative."""
    return {split: turned_figures(f) if split in SPLITS else dict(f) for split, f in scores.items()}

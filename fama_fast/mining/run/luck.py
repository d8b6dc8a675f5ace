"""Collects a run's candidates for the tests of the best of them: their daily series on validation.

A sample of them is tested. What the rounds kept of it (`kept_figures`) serves; a run that was resumed has only texts of
its earlier rounds, which are measured again, so that it has the same figures as one that was never stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.mining.run.kept_figures import MEASURES, MOST, Kept, errors_of
from fama_fast.mining.verdict.luck import Luck, could_show, luck_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.kept_figures import KeptFigures
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.types import FloatArray

_BATCH = 64


def sample(rows: Sequence[Mapping[str, Any]], new: Sequence[Factor]) -> tuple[dict[str, str], int]:
    """Canonical texts, by fingerprint, of the candidates that are tested, and how many were measured on validation.

    Every new factor is among them; the others come by fingerprint, which is as good as at random and the same in every
    run that proposed them.
    """
    measured = {r["fingerprint"]: r["canonical"] for r in rows if "train" in r["scores"] and r["fingerprint"]}
    first = [f.fingerprint for f in new if f.fingerprint in measured]
    others = sorted(measured.keys() - set(first))
    return {name: measured[name] for name in [*first, *others][:MOST]}, len(measured)


@dataclass(frozen=True)
class MeasuredAgain:
    """What the candidates that are tested showed.

    Attributes:
        daily: (T, M) the objective's daily series over the validation rows, in the direction of training. measured: how
            many candidates were measured in all. errors: median standard error of a mean, by measure and split.
    """

    daily: FloatArray
    measured: int
    errors: dict[str, dict[str, float]]


def measure_again(
    market: Market,
    rows: Sequence[Mapping[str, Any]],
    new: Sequence[Factor],
    stop: StopRequest | None = None,
    kept: KeptFigures | None = None,
) -> MeasuredAgain:
    """The figures of a sample of a run's candidates, given as rows of the ledger.

    Args:
        kept: what was kept of them; the others are measured again.

    Raises:
        Stopped: it was asked to.
    """
    texts, measured = sample(rows, new)
    known = {name: own for name in texts if kept is not None and (own := kept.get(name)) is not None}
    left = [name for name in texts if name not in known]
    for at in range(0, len(left), _BATCH):
        if stop is not None:
            stop.check()
        names = left[at : at + _BATCH]
        for name, one in zip(names, market.measure(market.compiled(texts[n] for n in names)), strict=True):
            scores = {split: market.scores(one, 1, split) for split in ("train", "valid")}
            known[name] = Kept(market.yardstick.series(one, 1)[market.rows.valid], errors_of(scores))
    valid = market.rows.valid
    daily = np.empty((valid.stop - valid.start, len(texts)))
    for i, name in enumerate(texts):
        daily[:, i] = known[name].daily
    errors = {
        name: {
            split: [error for own in known.values() if math.isfinite(error := own.errors[name][split])]
            for split in ("train", "valid")
        }
        for name in MEASURES
    }
    found = {name: by_split for name, by_split in errors.items() if all(by_split.values())}
    medians = {n: {split: float(np.median(v)) for split, v in by_split.items()} for n, by_split in found.items()}
    return MeasuredAgain(daily, measured, medians)


def luck_among(market: Market, again: MeasuredAgain) -> Luck | None:
    """The tests of the best candidate on validation; None where nothing was measured."""
    return luck_of(again.daily, again.measured, horizon=market.horizon, seed=market.config.run.seed)


def shown_by_panel(market: Market, again: MeasuredAgain, *, trials: int, test_level: float) -> dict[str, float]:
    """The least RankIC and spread that the run would have found; empty where nothing was measured."""
    days = {}
    for name in ("train", "valid", "test"):
        dates: slice = getattr(market.rows, name)
        days[name] = dates.stop - dates.start
    level = market.config.verdict.fdr
    return could_show(again.errors, days, trials=trials, level=level, test_level=test_level, horizon=market.horizon)

"""Measures a run's candidates once more for the tests of the best of them: their daily series on validation.

No round keeps a candidate's daily series, and a run that was resumed has only texts of its earlier rounds; so a sample
of texts is measured again at the end, and a resumed run has the same figures as one that was never stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.mining.verdict.luck import Luck, could_show, luck_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.types import FloatArray

_MOST = 600  # candidates measured again
_BATCH = 64


def sample(rows: Sequence[Mapping[str, Any]], new: Sequence[Factor]) -> tuple[list[str], int]:
    """Canonical texts of the candidates to measure again, and how many were measured on validation in all.

    Every new factor is among them; the others come by fingerprint, which is as good as at random and the same in every
    run that proposed them.
    """
    measured = {r["fingerprint"]: r["canonical"] for r in rows if "train" in r["scores"] and r["fingerprint"]}
    first = [f.fingerprint for f in new if f.fingerprint in measured]
    others = sorted(measured.keys() - set(first))
    return [measured[name] for name in [*first, *others][:_MOST]], len(measured)


@dataclass(frozen=True)
class MeasuredAgain:
    """What the candidates that were measured again showed.

    Attributes:
        daily: (T, M) the objective's daily series over the validation rows, in the direction of training. measured: how
            many candidates were measured in all. errors: median standard error of a mean, by measure and split.
    """

    daily: FloatArray
    measured: int
    errors: dict[str, dict[str, float]]


def measure_again(
    market: Market, rows: Sequence[Mapping[str, Any]], new: Sequence[Factor], stop: StopRequest | None = None
) -> MeasuredAgain:
    """Measure a sample of a run's candidates, given as rows of the ledger.

    Raises:
        Stopped: it was asked to.
    """
    texts, measured = sample(rows, new)
    valid = market.rows.valid
    daily = np.empty((valid.stop - valid.start, len(texts)))
    errors: dict[str, dict[str, list[float]]] = {name: {"train": [], "valid": []} for name in ("rank_ic", "spread")}
    for at in range(0, len(texts), _BATCH):
        if stop is not None:
            stop.check()
        for i, one in enumerate(market.measure(market.compiled(texts[at : at + _BATCH])), start=at):
            daily[:, i] = market.yardstick.series(one, 1)[valid]
            for split in ("train", "valid"):
                scores = market.scores(one, 1, split)
                for name, by_split in errors.items():
                    error = abs(scores[name] / scores[f"{name}_t"]) if scores[f"{name}_t"] else math.nan
                    if math.isfinite(error):
                        by_split[split].append(error)
    known = {name: by_split for name, by_split in errors.items() if all(by_split.values())}
    medians = {n: {split: float(np.median(v)) for split, v in by_split.items()} for n, by_split in known.items()}
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

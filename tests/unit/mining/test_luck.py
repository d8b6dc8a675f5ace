"""What luck does with many candidates: which are measured again, p-values for those that are not, least effects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fama_fast.library.factor import Factor
from fama_fast.mining.run import luck as module
from fama_fast.mining.run.luck import sample
from fama_fast.mining.verdict.luck import could_show, luck_of


def row(name: str, split: str = "train") -> dict[str, Any]:
    return {"fingerprint": name, "canonical": name.upper(), "scores": {split: {"rank_ic": 0.0}}}


def test_new_factors_are_measured_again_and_others_by_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(n) for n in "dbac"] + [row("e", "screen"), row("a")]
    new = [Factor("C", "C", "c", {"train": {"rank_ic": 0.1}})]
    assert sample(rows, new) == (["C", "A", "B", "D"], 4)
    assert sample(rows[::-1], new) == (["C", "A", "B", "D"], 4)
    monkeypatch.setattr(module, "_MOST", 2)
    assert sample(rows, new) == (["C", "A"], 4)
    assert sample([], []) == ([], 0)


def test_p_values_allow_for_candidates_that_were_not_measured_again() -> None:
    daily = np.random.default_rng(1).normal(size=(200, 12))
    daily[:, 3] += 0.2
    whole, part = luck_of(daily, 12, horizon=1, seed=0), luck_of(daily, 60, horizon=1, seed=0)
    assert whole is not None
    assert part is not None
    assert part.reality_check == pytest.approx(1.0 - (1.0 - whole.reality_check) ** 5)
    assert (whole.sampled, part.sampled, part.measured, whole.clusters) == (12, 12, 60, 12)
    assert whole.overfitting is not None
    assert 0.0 <= whole.overfitting <= 1.0
    short = luck_of(daily[:10], 12, horizon=5, seed=0)
    assert short is not None
    assert short.overfitting is None
    assert luck_of(np.empty((50, 0)), 0, horizon=1, seed=0) is None


def test_the_least_effect_grows_with_the_trials_and_passes_every_test() -> None:
    errors = {"rank_ic": {"train": 0.003, "valid": 0.005}}
    days = {"train": 450, "valid": 150, "test": 150}
    options: dict[str, Any] = {"level": 0.05, "test_level": 0.025, "horizon": 1}
    found = could_show(errors, days, trials=1000, **options)["rank_ic"]
    assert found > could_show(errors, days, trials=10, **options)["rank_ic"]
    bars = (stats.norm.isf(0.05 / 2000), stats.norm.isf(0.05 / 1000), stats.t.isf(0.025, 28))
    shares = [stats.norm.sf(bar - found / e) for bar, e in zip(bars, (0.003, 0.005, 0.005), strict=True)]
    assert math.prod(shares) == pytest.approx(0.8, abs=1e-6)
    assert could_show(errors, days, trials=0, **options) == {}
    assert could_show({"rank_ic": {"train": math.nan, "valid": 0.1}}, days, trials=5, **options) == {}

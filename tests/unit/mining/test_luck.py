"""What luck does with many candidates: which are measured again, p-values for those that are not, least effects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fama_fast.data import SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.library.factor import Factor
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run import kept_figures
from fama_fast.mining.run import luck as module
from fama_fast.mining.run.kept_figures import KeptFigures
from fama_fast.mining.run.luck import measure_again, sample
from fama_fast.mining.run.state import first_state
from fama_fast.mining.run.steps import pass_gates
from fama_fast.mining.run.to_records import record_of
from fama_fast.mining.verdict.luck import could_show, luck_of
from fama_fast.proposals.protocol import Proposal


def row(name: str, split: str = "train") -> dict[str, Any]:
    return {"fingerprint": name, "canonical": name.upper(), "scores": {split: {"rank_ic": 0.0}}}


def test_new_factors_are_measured_again_and_others_by_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(n) for n in "dbac"] + [row("e", "screen"), row("a")]
    new = [Factor("C", "C", "c", {"train": {"rank_ic": 0.1}})]
    assert sample(rows, new) == ({n: n.upper() for n in "cabd"}, 4)
    assert sample(rows[::-1], new) == ({n: n.upper() for n in "cabd"}, 4)
    monkeypatch.setattr(module, "MOST", 2)
    assert sample(rows, new) == ({n: n.upper() for n in "ca"}, 4)
    assert sample([], []) == ({}, 0)


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


TEXTS = (
    "DELTA(CLOSE, 5) / CLOSE",
    "HIGH / LOW",
    "TS_STDDEV(RET, 10)",
    "0 - TS_MEAN(RET, 3)",
    "CLOSE +",
    "RANK(VOLUME)",
)


@pytest.mark.parametrize("objective", ["rank_ic", "spread", "net"])
def test_what_rounds_kept_is_what_measuring_again_finds(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"objective": objective, "run": {"seed": 1, "threads": 1}, "splits": {"horizon": 2}}
    market = Market(simulate(SimulationSpec(n_symbols=40, n_dates=300, seed=4)), config_from_dict(settings))
    state, _ = first_state(market, [])
    rows: list[dict[str, Any]] = []
    for number, texts in enumerate((TEXTS[:3], TEXTS[3:]), start=1):
        candidates = [Candidate(i, Proposal(text)) for i, text in enumerate(texts)]
        pass_gates(candidates, state, market.config, market, number, "test")
        records = [record_of(c, "test", turned=state.turned) for c in candidates]
        rows += [{name: getattr(r, name) for name in ("fingerprint", "canonical", "scores")} for r in records]
    want = measure_again(market, rows, [])
    measured: list[int] = []
    measure = Market.measure
    monkeypatch.setattr(Market, "measure", lambda self, alphas: measured.append(len(alphas)) or measure(self, alphas))
    found = measure_again(market, rows, [], kept=state.figures)
    assert measured == []
    assert want.daily.shape[1] == want.measured >= 4
    np.testing.assert_array_equal(found.daily, want.daily)
    assert found.errors == want.errors
    later = KeptFigures()  # a run that was resumed has seen a part of its rounds
    name = next(r["fingerprint"] for r in rows if r["fingerprint"] and state.figures.get(r["fingerprint"]))
    later._known[name] = state.figures._known[name]
    np.testing.assert_array_equal(measure_again(market, rows, [], kept=later).daily, want.daily)
    assert measured == [want.measured - 1]


def test_figures_are_kept_of_those_that_the_tests_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_figures, "MOST", 2)
    kept = KeptFigures()
    scores = {
        split: {"rank_ic": 0.02, "rank_ic_t": -4.0, "spread": 1.0, "spread_t": 0.0} for split in ("train", "valid")
    }
    for text in TEXTS[:4] + TEXTS[5:]:
        one = Candidate(0, Proposal(text), alpha=compile_alpha(text), series=np.arange(10.0), scores=scores)
        kept.take([one], slice(6, 9))
    names = sorted(compile_alpha(text).fingerprint for text in TEXTS[:4] + TEXTS[5:])
    assert [kept.get(name) is not None for name in names[:2]] == [True, True]
    found = kept.get(names[0])
    assert found is not None
    assert found.daily.tolist() == [6.0, 7.0, 8.0]
    assert found.errors["rank_ic"] == {"train": 0.005, "valid": 0.005}
    assert math.isnan(found.errors["spread"]["train"])  # of what never varies nothing is known
    assert len(kept._known) <= 4

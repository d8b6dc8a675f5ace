"""The short list of a run: what may be in it, that it follows from what was measured, and where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import LISTABLE
from fama_fast.library import make_factor
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.controls import Compared, run_controls
from fama_fast.mining.run.listing import listing_of, short_list
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.state import LoopState, first_state
from fama_fast.mining.run.steps import pass_gates
from fama_fast.mining.run.stopping import StopRequest
from fama_fast.mining.run.to_records import record_of
from fama_fast.mining.run.wide_filling import listable_of
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Proposal, ProposalBatch, ProposalRequest
from tests.unit.mining.test_loop import Scripted
from tests.unit.mining.test_short_list import by_brute_force

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"
OTHER = "RANK(TS_STDDEV(RET, 10) / TS_STDDEV(RET, 40)) * -1"
TEXTS = (
    "RANK(TS_MEAN(VOLUME, 6) / TS_MEAN(VOLUME, 22))",
    "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))",
    "RANK(TS_MEAN(VOLUME, 4) / TS_MEAN(VOLUME, 19))",
    "TS_STDDEV(RET, 10) / TS_STDDEV(RET, 40)",
    "TS_STDDEV(RET, 8) / TS_STDDEV(RET, 30)",
    "RANK(DELTA(VOLUME, 4) / VOLUME)",
    "DELTA(CLOSE, 3) / CLOSE",
    "HIGH / LOW",
    "TS_MEAN(RET, 40)",
    "RANK(CLOZE)",
    "RANK(VOLUME / TS_MEAN(VOLUME, 20)) * RANK(CLOSE / OPEN)",
)


def config(**rest: Any) -> Any:
    return config_from_dict({"run": {"wanted": 4, "seed": 1, "threads": 1}, **rest})


@pytest.fixture(scope="module")
def panel() -> Panel:
    signals = (PlantedSignal(SIGNAL, 0.12), PlantedSignal(OTHER, 0.08))
    return simulate(SimulationSpec(n_symbols=40, n_dates=300, seed=7, signals=signals))


@pytest.fixture(scope="module")
def market(panel: Panel) -> Market:
    return Market(panel, config())


def searched(market: Market, settings: Any, library: Any = (), texts: Any = TEXTS) -> tuple[LoopState, list[Any]]:
    """The state after two rounds of these texts, and their rows as the ledger has them."""
    state, _ = first_state(market, library)
    rows: list[Any] = []
    for number, some in enumerate((texts[:4], texts[4:]), start=1):
        candidates = [Candidate(i, Proposal(t, origin="script", hypothesis="h")) for i, t in enumerate(some)]
        pass_gates(candidates, state, settings, market, number, "scripted")
        records = [record_of(c, "scripted", turned=state.turned) for c in candidates]
        rows += [{**vars(record), "round": number} for record in records]
    return state, rows


def test_the_list_is_that_of_brute_force_among_everything_that_was_measured(market: Market) -> None:
    settings = config()
    state, rows = searched(market, settings)
    found = short_list(state, market, settings, "scripted")
    pool = state.wide
    assert pool is not None
    able = {
        row["fingerprint"]
        for row in rows
        if "train" in row["scores"]
        and row["scores"]["train"]["rank_ic"] >= settings.gates.min_rank_ic
        and row["scores"]["train"]["rank_ic_t"] >= settings.pool.min_t
        and row["gate"] not in ("coverage", "screening", "fingerprint")
    }
    allowed = np.array([name in able for name in pool.names])
    expected = by_brute_force(pool.correlations(), pool.means(), allowed, 4, settings.gates.max_correlation, 0.03)
    assert [f.fingerprint for f in found] == [pool.names[i] for i in expected]
    assert len(found) == 4
    assert not allowed.all()


def test_two_signals_lead_and_no_two_are_alike(market: Market) -> None:
    settings = config()
    state, _ = searched(market, settings)
    found = short_list(state, market, settings, "scripted")
    assert "TS_MEAN(VOLUME" in found[0].canonical
    assert "TS_STDDEV(RET" in found[1].canonical
    vectors = np.array(list(market.vectors(market.compiled([f.canonical for f in found]))))
    between = np.abs(vectors @ vectors.T - np.eye(len(found)))
    assert between.max() < settings.gates.max_correlation + 0.05  # other dates, ranks in full


def test_a_factor_that_was_not_admitted_has_all_that_an_admitted_one_has(market: Market) -> None:
    settings = config(gates={"min_t": 9.0})  # few are admitted
    state, rows = searched(market, settings)
    found = short_list(state, market, settings, "scripted")
    admitted = {f.fingerprint for f in state.new_factors}
    refused = [f for f in found if f.fingerprint not in admitted]
    assert refused
    for factor in refused:
        (row,) = [r for r in rows if r["fingerprint"] == factor.fingerprint and "train" in r["scores"]]
        assert factor.provenance["round"] == row["round"]
        assert factor.provenance["origin"] == "script"
        assert factor.provenance["data_hash"] == market.whole.data_hash
        assert factor.hypothesis == "h"
        (alpha,) = market.compiled([factor.as_proposed[0]])
        assert factor.scores == market.full_scores(alpha, factor.as_proposed[1])
        assert factor.scores["train"]["rank_ic"] == pytest.approx(row["scores"]["train"]["rank_ic"])


def test_what_is_worthless_or_uncertain_is_not_in_it(market: Market) -> None:
    for gates, pool in (({"min_rank_ic": 0.05}, {}), ({}, {"min_t": 5.0})):
        settings = config(gates=gates, pool=pool)
        state, _ = searched(market, settings)
        found = short_list(state, market, settings, "scripted")
        assert found
        for factor in found:
            assert factor.scores["train"]["rank_ic"] >= settings.gates.min_rank_ic
            assert factor.scores["train"]["rank_ic_t"] >= settings.pool.min_t


def test_its_t_has_a_bar_of_its_own_and_all_other_gates_hold(market: Market) -> None:
    strict = config(gates={"min_t": 50.0})
    state, _ = searched(market, strict)
    assert not state.new_factors
    found = short_list(state, market, strict, "scripted")
    assert [f.fingerprint for f in found] == [
        f.fingerprint for f in short_list(searched(market, config())[0], market, config(), "scripted")
    ]
    periods = config(gates={"min_t": 50.0, "periods": 12})
    state, _ = searched(market, periods)
    steady = short_list(state, market, periods, "scripted")
    assert {f.fingerprint for f in steady} < {f.fingerprint for f in found}
    for factor in steady:
        series = market.training_series([factor.canonical])[0]
        assert all(np.nanmean(part) > 0.0 for part in np.array_split(series, 12))


def test_what_the_run_began_with_is_not_new_nor_is_what_is_like_it(market: Market) -> None:
    settings = config()
    state, _ = searched(market, settings, [make_factor(f"{SIGNAL} * -1")], [t for t in TEXTS if t != SIGNAL])
    found = short_list(state, market, settings, "scripted")
    assert found
    assert not [f for f in found if "TS_MEAN(VOLUME, 22)" in f.canonical or "TS_MEAN(VOLUME, 19)" in f.canonical]
    # A better one is new, though it is like a factor that was there.
    state, _ = searched(market, settings, [make_factor("RANK(TS_MEAN(VOLUME, 9) / TS_MEAN(VOLUME, 40)) * -1")])
    found = short_list(state, market, settings, "scripted")
    assert "TS_MEAN(VOLUME, 20)" in found[0].canonical


def test_rows_of_the_ledger_say_what_may_be_listed(market: Market) -> None:
    settings = config()
    state, rows = searched(market, settings)
    assert listable_of(rows) == state.listable
    assert set(state.listable) == {r["fingerprint"] for r in rows if r["extra"].get(LISTABLE)}
    # Those of earlier versions do not: what passed every gate of training may be.
    older = [{**row, "extra": {k: v for k, v in row["extra"].items() if k != LISTABLE}} for row in rows]
    passed = {r["fingerprint"] for r in rows if r["gate"] in (None, "correlation", "admission")}
    assert set(listable_of(older)) == passed < set(state.listable)
    assert set(listable_of([{**row, "extra": None} for row in rows])) == passed


def test_nothing_measured_is_an_empty_list(market: Market) -> None:
    settings = config()
    state, _ = searched(market, settings, texts=("RANK(CLOZE)", "RANK(CLOSE"))
    assert short_list(state, market, settings, "scripted") == ()


def test_without_a_short_list_the_factors_are_those_admitted(market: Market) -> None:
    for rest in ({"pool": {"short_list": False}}, {"wide": {"enabled": False}}, {"objectives": ["rank_ic", "decay"]}):
        settings = config(**rest)
        state, rows = searched(Market(market.whole, settings), settings)
        assert state.new_factors
        assert short_list(state, market, settings, "scripted") == tuple(state.new_factors)
        assert all(LISTABLE not in row["extra"] for row in rows)


ROUNDS = (TEXTS[:4], TEXTS[4:8], TEXTS[8:])


def run_settings(folder: Path, **rest: Any) -> dict[str, Any]:
    run = {"wanted": 3, "rounds": 3, "seed": 1, **rest.pop("run", {})}
    return {"paths": {"output_dir": str(folder)}, "run": run, **rest}


def test_a_run_goes_to_its_other_limits_and_ends_with_the_list(tmp_path: Path, panel: Panel) -> None:
    result = mine(run_settings(tmp_path, run={"wanted": 2}), panel=panel, proposer=Scripted(ROUNDS))
    assert result.stop == "3 rounds done"
    assert len(result.factors) == 2
    assert result.verdict.holding
    names = {f.fingerprint for f in result.factors}
    assert {f.fingerprint for f in result.verdict.factors} == names
    # The whole list is the pool, on validation and on the test.
    assert set(result.test) == {*names, "pool"}
    assert result.verdict.valid is not None
    assert result.verdict.tested is not None
    assert set(result.verdict.valid.weights) == set(result.verdict.tested.weights) == names
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        rows = ledger.candidates(result.run_id)
        stored = ledger.results(result.run_id)
    assert all(set(stored[name]) >= {"train", "valid", "test"} for name in names)
    assert any(row["extra"].get(LISTABLE) for row in rows)


class _Asks(Scripted):
    """Asks the run to stop after the second round, while it is proposing for it."""

    asked: StopRequest

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        if request.round == 2:
            self.asked.ask("enough")
        return super().propose(request)


def test_a_run_that_is_stopped_has_the_list_of_as_many_rounds(tmp_path: Path, panel: Panel) -> None:
    whole = mine(run_settings(tmp_path / "a", run={"rounds": 2}), panel=panel, proposer=Scripted(ROUNDS))
    settings, proposer = run_settings(tmp_path / "b"), _Asks(ROUNDS)
    proposer.asked = StopRequest()
    stopped = mine(settings, panel=panel, proposer=proposer, stop=proposer.asked)
    assert stopped.verdict.status.value == "interrupted"
    assert stopped.rounds == 2
    assert stopped.factors == whole.factors
    resumed = mine(settings, panel=panel, proposer=Scripted(ROUNDS), resume="last")
    never = mine(run_settings(tmp_path / "c"), panel=panel, proposer=Scripted(ROUNDS))
    assert resumed.factors == never.factors


def test_random_formulas_are_listed_alike(market: Market, monkeypatch: Any) -> None:
    monkeypatch.setattr("fama_fast.mining.run.controls.random_formulas", lambda *_: list(TEXTS))
    settings = config()
    state, rows = searched(market, settings)
    own = short_list(state, market, settings, "scripted")
    pool = FactorPool(market, settings.pool)
    compared = Compared(own, pool)
    rows = [{**row, "canonical": row["canonical"] or ""} for row in rows]
    control, chosen, beside, _ = run_controls(market, settings, [], rows, pool.valid(own), compared)
    assert {f.fingerprint for f in chosen} == {f.fingerprint for f in own}
    assert control.chosen == len(beside) == len(own) == 4
    assert control.admitted == len(listing_of(state.wide, state.listable, settings).members)  # type: ignore[arg-type]
    assert (control.topped_up, control.draws) == (0, 12)
    assert control.pool_valid == pytest.approx(control.own_valid)
    low, high = control.gain
    assert low <= 0.0 <= high
    # Of a longer list its head is beside the shorter one of the random formulas.
    monkeypatch.setattr("fama_fast.mining.run.controls.random_formulas", lambda *_: [SIGNAL, "HIGH / LOW"])
    control, chosen, beside, _ = run_controls(market, settings, [], rows, pool.valid(own), compared)
    assert beside == own[: len(chosen)]

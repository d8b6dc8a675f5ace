"""The controls: random formulas of given sizes, labels shuffled by blocks, selection anew through the same gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.data.labels import shuffled_labels
from fama_fast.engine import compile as compile_alpha
from fama_fast.ir import count_nodes
from fama_fast.library import make_factor, seed_factors
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.library.view import LibraryView
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run import steps
from fama_fast.mining.run.controls import Compared, batches, run_controls, select
from fama_fast.mining.run.near_copies import first_new
from fama_fast.mining.verdict.control import random_formulas, random_parts, sizes_of
from fama_fast.proposals.protocol import Vocabulary

VOCABULARY = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP"), ("SECTOR",), max_window=60)
SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"


def config(**rest: Any) -> Any:
    run = {"wanted": rest.pop("wanted", 3), "candidates": 8, "seed": 1}
    return config_from_dict({"run": run, **rest})


@pytest.fixture(scope="module")
def market() -> Market:
    signals = (PlantedSignal(SIGNAL, 0.15),)
    panel = simulate(SimulationSpec(n_symbols=30, n_dates=260, seed=5, signals=signals))
    return Market(panel, config())


def nodes(texts: list[str]) -> Counter[int]:
    return Counter(count_nodes(compile_alpha(t).node) for t in texts)


def test_random_formulas_have_the_sizes_asked_for_and_follow_from_the_seed() -> None:
    sizes = {4: 12, 7: 20, 11: 8}
    texts = random_formulas(VOCABULARY, sizes, 3)
    assert nodes(texts) == sizes
    assert len(set(texts)) == 40
    assert texts == random_formulas(VOCABULARY, sizes, 3)
    assert texts != random_formulas(VOCABULARY, sizes, 4)
    assert {count_nodes(compile_alpha(t).node) for t in texts[:15]} == set(sizes)  # in random order
    assert random_formulas(VOCABULARY, {}, 3) == []


def test_more_of_them_come_in_parts_as_they_are_asked_for() -> None:
    sizes = {1: 1, 4: 5, 7: 20, 11: 8}
    parts = list(random_parts(VOCABULARY, sizes, 3, most=3))
    assert parts[0] == random_formulas(VOCABULARY, sizes, 3)
    assert [len(part) for part in parts] == [34, 16, 18, 16, 18]
    every = [text for part in parts for text in part]
    assert len(set(every)) == 3 * 34
    assert {n: k for n, k in nodes(every).items() if n in (7, 11)} == {7: 60, 11: 24}
    assert list(random_parts(VOCABULARY, {}, 3, most=3)) == []
    assert parts[0] != next(random_parts(VOCABULARY, sizes, 4, most=3))


def test_no_part_is_drawn_that_nobody_needs(market: Market) -> None:
    asked: list[int] = []

    def parts() -> Iterator[list[str]]:
        for i, part in enumerate([["CLOSE", "2 * CLOSE", "VOLUME"], ["-VOLUME", "RET"], ["VWAP / OPEN"]]):
            asked.append(i)
            yield [compile_alpha(text).canonical for text in part]

    library = [make_factor("RANK(RET)", sign=1)]
    assert first_new(market, config(), [], parts(), 2) == ["CLOSE", "VOLUME"]
    assert asked == [0]
    assert first_new(market, config(), [], parts(), 3) == ["CLOSE", "VOLUME", "RET"]
    assert asked == [0, 0, 1]
    assert first_new(market, config(), library, parts(), 9) == ["CLOSE", "VOLUME", "VWAP / OPEN"]


def test_sizes_that_do_not_come_up_are_made_up_for_by_the_nearest() -> None:
    texts = random_formulas(VOCABULARY, {1: 2, 5: 3}, 3)
    found = nodes(texts)
    assert sum(found.values()) == 5
    assert found[5] >= 3
    assert min(found) >= 2  # no expression worth proposing has one node


def test_sizes_of_candidates_leave_out_what_never_compiled() -> None:
    assert sizes_of(["RANK(CLOSE)", None, "RANK(DELTA(CLOSE, 5))", "RANK(OPEN)"], VOCABULARY) == {2: 2, 3: 1}


def test_shuffled_labels_keep_blocks_of_dates_inside_their_split() -> None:
    labels = np.arange(40.0)[:, None] * np.ones((1, 3))
    train, valid = slice(0, 22), slice(25, 40)
    found = shuffled_labels(labels, (train, valid), np.random.default_rng(0), 5)
    assert sorted(found[train, 0]) == sorted(labels[train, 0])
    assert sorted(found[valid, 0]) == sorted(labels[valid, 0])
    assert np.isnan(found[22:25]).all()
    assert (found[train] != labels[train]).any()
    assert (found[:, 0] == found[:, 2])[np.isfinite(found[:, 0])].all()  # a date moves whole
    steps = np.diff(found[train, 0])
    assert np.count_nonzero(steps == 1) >= 22 - 5 - 2  # four borders of blocks, and the wrap


def test_selection_passes_the_gates_and_stops_when_there_are_enough(market: Market) -> None:
    library = list(seed_factors())[:2]
    found = select(market, config(), library, [["RANK(CLOZE)", SIGNAL], ["RANK(DELTA(VOLUME, 3)"]])
    assert [f.expression for f in found.factors] == [SIGNAL]
    assert (found.candidates, found.funnel["arguments"], found.funnel["answer"]) == (3, 1, 1)
    assert found.pool is not None
    assert found.pool.scores["equal"]["rank_ic"] > 0.05
    rounds = [[SIGNAL], ["RANK(TS_MEAN(VOLUME, 3))"]]
    enough = select(market, config(wanted=1, pool={"short_list": False}), library, rounds)
    assert enough.candidates == 1
    shortest = select(market, config(wanted=1), library, rounds)
    assert (shortest.candidates, len(shortest.factors)) == (2, 1)
    none = select(market, config(), library, [["RANK(CLOZE)"]])
    assert (none.factors, none.pool) == ((), None)


def test_a_short_list_needs_no_library(market: Market, monkeypatch: Any) -> None:
    exact = config(racing={"enabled": False})  # a race knows the library's series
    market = Market(market.whole, exact)
    library = seed_factors()[:3]
    texts = random_formulas(market.vocabulary, dict.fromkeys(range(3, 10), 8), 2)
    rounds = batches([SIGNAL, *texts], 10)
    took: list[str] = []
    admit = LibraryView.admit

    def noted(self: LibraryView, member: Any, replaces: Any = ()) -> None:
        took.extend([member.factor.canonical] * member.mined)
        admit(self, member, replaces)

    monkeypatch.setattr(LibraryView, "admit", noted)
    found = select(market, exact, library, rounds)
    assert not took
    assert found.funnel["admitted"] > 0
    assert found.funnel["correlation"] == found.funnel["admission"] == 0
    gates = steps.pass_gates
    monkeypatch.setattr(steps, "pass_gates", lambda *args, **_: gates(*args))
    admitting = select(market, exact, library, rounds)
    assert took
    assert found.factors == admitting.factors
    assert found.pool is not None
    assert admitting.pool is not None
    assert found.pool.scores == admitting.pool.scores
    assert found.wide is not None
    assert admitting.wide is not None
    assert found.wide.members == admitting.wide.members
    assert found.listing is not None
    assert admitting.listing is not None
    assert found.listing.members == admitting.listing.members
    assert repr(found.measured) == repr(admitting.measured)  # NaN is nothing's equal


def test_controls_find_less_than_the_signal_and_say_how_sure_that_is(market: Market) -> None:
    rows = [{"round": 1, "text": SIGNAL, "canonical": compile_alpha(SIGNAL).canonical, "fingerprint": "s"}] * 2
    settings = config(control={"random": True, "shuffle": 3})
    run = select(market, settings, [], [[SIGNAL]])
    compared = Compared(run.factors, FactorPool(market, settings.pool))
    control, rivals, own, _ = run_controls(market, settings, [], rows, run.pool, compared)
    assert control.candidates == 2
    assert len(rivals) == control.chosen == len(own) <= control.admitted
    assert len(control.null) == 3
    assert run.pool is not None
    best = run.pool.scores["ridge"]["rank_ic"]
    assert max(control.null) < best
    assert control.null_p == 0.25
    assert control.as_dict()["shuffled_labels"]["p"] == 0.25
    assert "random_formulas" in control.as_dict()
    again, _, _, _ = run_controls(market, settings, [], rows, run.pool, compared)
    assert again == control


OTHERS = ("RANK(TS_MEAN(VOLUME, 20))", "RANK(CLOSE / TS_MEAN(CLOSE, 30))", "RANK(TS_STDDEV(RET, 15))")


def test_the_difference_to_random_formulas_is_taken_date_by_date(market: Market, monkeypatch: Any) -> None:
    monkeypatch.setattr("fama_fast.mining.run.controls.random_formulas", lambda *_: [SIGNAL])
    settings = config()
    run = select(market, settings, [], [[SIGNAL]])
    rows = [{"round": 1, "text": SIGNAL, "canonical": compile_alpha(SIGNAL).canonical, "fingerprint": "s"}]
    compared = Compared(run.factors, FactorPool(market, settings.pool))
    control, chosen, own, _ = run_controls(market, settings, [], rows, run.pool, compared)
    assert control.gain == control.spread_gain == (0.0, 0.0)
    assert control.beaten is False
    assert run.pool is not None
    assert control.pool_valid == control.own_valid == run.pool.scores["ridge"]
    assert control.best_train == run.factors[0].score
    assert [f.fingerprint for f in chosen] == [f.fingerprint for f in own]


def wide_open(**rest: Any) -> Any:
    limits = {"min_rank_ic": 0.0, "min_t": 0.0, "complexity_penalty": 0.0, "max_correlation": 0.99}
    return config(wanted=20, gates=limits, pool={"min_t": 0.0, **rest.pop("pool", {})}, **rest)


def test_random_formulas_are_chosen_by_the_run_s_rule_and_number(market: Market, monkeypatch: Any) -> None:
    monkeypatch.setattr("fama_fast.mining.run.controls.random_formulas", lambda *_: [*OTHERS, SIGNAL])
    settings = wide_open(pool={"short_list": False})
    run = select(market, settings, [], [[SIGNAL, OTHERS[0]]])
    assert len(run.factors) == 2
    rows = [{"round": 1, "text": SIGNAL, "canonical": SIGNAL, "fingerprint": "s"}]
    compared = Compared(run.factors, FactorPool(market, settings.pool))
    control, chosen, own, _ = run_controls(market, settings, [], rows, run.pool, compared)
    assert (control.admitted, control.chosen, len(chosen), len(own)) == (4, 2, 2, 2)
    # What holds comes first; then it is topped up by training score.
    assert "TS_MEAN(VOLUME, 5)" in chosen[0].canonical
    assert control.topped_up == 1
    rest = [f for f in select(market, settings, [], [[*OTHERS, SIGNAL]]).factors if f is not chosen[0]]
    assert chosen[1].score == max(f.score for f in rest if "TS_MEAN(VOLUME, 5)" not in f.canonical)
    assert control.draws == 12
    low, high = control.gain
    assert low < control.own_valid["rank_ic"] - control.pool_valid["rank_ic"] < high


def test_the_run_s_pool_is_cut_to_the_number_of_random_formulas(market: Market, monkeypatch: Any) -> None:
    monkeypatch.setattr("fama_fast.mining.run.controls.random_formulas", lambda *_: [OTHERS[0]])
    settings = wide_open()
    run = select(market, settings, [], [[SIGNAL, OTHERS[1], OTHERS[2]]])
    rows = [{"round": 1, "text": SIGNAL, "canonical": SIGNAL, "fingerprint": "s"}]
    compared = Compared(run.factors, FactorPool(market, settings.pool))
    control, _, own, _ = run_controls(market, settings, [], rows, run.pool, compared)
    assert (control.chosen, len(own), control.draws) == (1, 1, 0)
    assert own[0].score == max(f.score for f in run.factors)
    assert control.own_valid == FactorPool(market, settings.pool).valid(own).scores["ridge"]
    # Without a factor of the run's own there is nothing beside them, and they are all there.
    alone, _, nobody, _ = run_controls(market, settings, [], rows, None)
    assert (alone.chosen, alone.gain, nobody, alone.beaten) == (1, (), (), False)


def test_a_pool_that_forgets_nothing_gives_the_same(market: Market) -> None:
    settings = wide_open()
    factors = select(market, settings, [], [[SIGNAL, *OTHERS]]).factors
    keeps = FactorPool(market, settings.pool, forgets=False)
    keeps.valid(factors)
    for part in (factors[:2], factors[1:], factors[::2], factors):
        kept, fresh = keeps.valid(part), FactorPool(market, settings.pool).valid(part)
        assert kept.scores == fresh.scores
        assert kept.weights == fresh.weights


def test_controls_can_be_switched_off(market: Market) -> None:
    settings = config(control={"random": False})
    rows = [{"round": 1, "text": SIGNAL, "canonical": SIGNAL, "fingerprint": "s"}]
    control, rivals, own, _ = run_controls(market, settings, [], rows, None)
    assert (control.as_dict(), rivals, own) == ({}, (), ())
    assert control.beaten is None


def test_a_market_with_shuffled_labels_knows_no_others(market: Market) -> None:
    labels = shuffled_labels(market.labels.values, (market.rows.train, market.rows.valid), np.random.default_rng(1), 21)
    other = Market(market.whole, config(), labels=labels)
    factor = select(market, config(), [], [[SIGNAL]]).factors[0]
    true, false = FactorPool(market, config().pool).valid([factor]), FactorPool(other, config().pool).valid([factor])
    assert true.scores["equal"]["rank_ic"] > 0.05
    assert abs(false.scores["equal"]["rank_ic"]) < 0.05


def test_batches() -> None:
    assert batches(["a", "b", "c"], 2) == [["a", "b"], ["c"]]


def test_nothing_is_written(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    select(market, config(), [], [[SIGNAL]])
    assert list(tmp_path.iterdir()) == []

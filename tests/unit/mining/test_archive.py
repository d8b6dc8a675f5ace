"""The searcher's archive: who is kept, what a parent is worth, and when the search counts as stuck."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.library.archive import NICHE, PER_NICHE, SearchArchive, elite_of
from fama_fast.proposals.protocol import Elite, Proposal

DAYS = 400


def noise(seed: int, mean: float = 0.0, spread: float = 1.0) -> np.ndarray:
    """Daily figures with exactly this mean and this spread."""
    x = np.random.default_rng(seed).normal(size=DAYS)
    return mean + spread * (x - x.mean()) / x.std()


def test_a_parent_is_worth_its_rank_ic_less_two_standard_errors_and_its_length() -> None:
    alpha = ff.compile("RANK(DELTA(CLOSE, 5))")
    found = elite_of(alpha, noise(0, mean=-0.03, spread=0.1), penalty=0.0001)
    assert found.score == pytest.approx(0.03)
    assert found.fitness == pytest.approx(0.03 - 2 * 0.1 / math.sqrt(DAYS) - 3 * 0.0001 * alpha.n_nodes)


def test_of_two_equal_means_the_steadier_is_the_better_parent() -> None:
    alpha = ff.compile("RANK(CLOSE)")
    steady, wild = (elite_of(alpha, noise(1, 0.02, spread), 0.0) for spread in (0.05, 0.3))
    assert steady.score == pytest.approx(wild.score)
    assert steady.fitness > 0.0 > wild.fitness


def test_a_parent_that_half_of_the_symbols_have_no_value_of_is_worth_less() -> None:
    alpha, series = ff.compile("CLOSE"), noise(2, 0.04, 0.05)
    whole, half = elite_of(alpha, series, 0.0), elite_of(alpha, series, 0.0, scored_coverage=0.5)
    assert half.score == whole.score
    assert half.fitness == pytest.approx(whole.fitness * math.sqrt(0.5))


def test_days_without_a_rank_ic_count_as_days_without_skill() -> None:
    alpha, series = ff.compile("RANK(CLOSE)"), noise(2, 0.02, 0.05)
    seldom = np.where(np.arange(DAYS) % 10 == 0, series, np.nan)
    assert elite_of(alpha, seldom, 0.0).fitness < 0.2 * elite_of(alpha, series, 0.0).fitness


def test_a_niche_keeps_its_best_and_no_more() -> None:
    memory, common = SearchArchive(), noise(3)
    for number in range(PER_NICHE + 3):
        series = common + 0.1 * noise(10 + number)
        taken = memory.consider(Elite(f"f{number}", f"e{number}", 0.0, 1, float(number)), series)
        assert taken
    assert [e.fingerprint for e in memory.elites] == [f"f{n}" for n in range(PER_NICHE + 2, 2, -1)]
    assert not memory.consider(Elite("late", "late", 0.0, 1, 0.5), common)
    other = noise(4)
    assert abs(np.corrcoef(common, other)[0, 1]) < NICHE
    assert memory.consider(Elite("other", "other", 0.0, 1, 0.5), other)
    assert not memory.consider(Elite("other", "other", 0.0, 1, 9.0), other)  # met before


def candidate(text: str, gate: str | None, *, origin: str = "wrap", admitted: bool = False) -> Candidate:
    found = Candidate(0, Proposal(text, origin=origin), ff.compile(text), gate=gate, admitted=admitted)
    found.series = noise(sum(map(ord, text)), 0.05, 0.1)
    return found


@pytest.mark.parametrize("gate", ["coverage", "fingerprint"])
def test_what_has_few_values_or_ranks_as_another_did_is_no_parent(gate: str) -> None:
    memory = SearchArchive()
    memory.learn([candidate("RANK(OPEN)", gate), candidate("RANK(CLOSE)", "correlation")], slice(None), 0.0)
    assert [e.canonical for e in memory.elites] == ["RANK(CLOSE)"]


def test_moves_are_rated_by_what_was_admitted_of_their_children() -> None:
    memory = SearchArchive()
    good = [candidate(f"DELTA(CLOSE, {d})", None, origin="graft", admitted=True) for d in range(1, 31)]
    bad = [candidate(f"DELTA(OPEN, {d})", "correlation", origin="sweep") for d in range(1, 31)]
    once = [candidate("DELTA(HIGH, 1)", "correlation", origin="wrap")]
    memory.learn([*good, *bad, *once], slice(None), 0.0)
    rates = dict(memory.view().rates)
    # A move that was hardly tried is taken to be as good as the others are on the whole.
    assert rates["graft"] > rates["wrap"] > rates["sweep"]
    assert rates["wrap"] == pytest.approx(31.0 / 71.0, rel=0.1)


def test_it_comes_back_from_plain_data_also_of_earlier_versions() -> None:
    memory = SearchArchive(ranking_hashes={"b", "=a"})
    memory.learn([candidate("RANK(OPEN)", "correlation")], slice(None), 0.0)
    own = next(iter(memory.series.values()))
    data = json.loads(json.dumps(memory.to_dict()))
    for ranking_hashes in (data["prints"], ["=a", "b"]):
        again = SearchArchive.from_dict({**data, "prints": ranking_hashes}, lambda texts: np.stack([own] * len(texts)))
        assert (again.ranking_hashes, again.elites, again.since_gain) == (
            memory.ranking_hashes,
            memory.elites,
            memory.since_gain,
        )
        assert again.view().rates == memory.view().rates


@pytest.mark.parametrize(
    ("since", "stuck"), [(0, False), (399, False), (400, True), (549, True), (550, False), (799, False), (800, True)]
)
def test_the_search_restarts_for_150_candidates_after_every_400_without_a_better_best(since: int, stuck: bool) -> None:
    assert SearchArchive(since_gain=since).view().stuck is stuck


def test_a_move_is_credited_with_what_the_pool_earns_by_its_children() -> None:
    def child(number: int, move: str) -> Candidate:
        candidate = Candidate(number, Proposal(f"DELAY(CLOSE, {number + 1})", origin=move))
        candidate.alpha = ff.compile(candidate.proposal.expression)
        candidate.sign, candidate.admitted = 1, move == "wrap"
        return candidate

    poor, rich, luck = child(0, "wrap"), child(1, "fresh"), child(2, "graft")
    others = {f"other {i}": 0.01 for i in range(97)}
    earnings = {rich.fingerprint: 0.02, luck.fingerprint: 0.5, **others}
    memory = SearchArchive()
    memory.learn([poor, rich, luck], slice(0, DAYS), 0.0, earnings)
    usual = sum(earnings.values()) / len(earnings)
    paid = {name: record.paid for name, record in memory.records.items()}
    # What was admitted earns nothing here, what earns is counted in usual earnings, and one find is no rate.
    assert paid == {"wrap": 0.0, "fresh": pytest.approx(0.02 / usual), "graft": 5.0}
    own = SearchArchive()
    own.learn([poor, rich, luck], slice(0, DAYS), 0.0)
    assert {name: record.paid for name, record in own.records.items()} == {"wrap": 1.0, "fresh": 0.0, "graft": 0.0}


def test_where_nothing_earns_no_move_is_credited() -> None:
    candidate = Candidate(0, Proposal("DELAY(CLOSE, 3)", origin="fresh"))
    candidate.alpha, candidate.sign = ff.compile("DELAY(CLOSE, 3)"), 1
    memory = SearchArchive()
    memory.learn([candidate], slice(0, DAYS), 0.0, {candidate.fingerprint: 0.0})
    assert memory.records["fresh"].paid == 0.0
    assert memory.records["fresh"].tried == 1.0


def test_several_models_are_paid_by_the_pool_also_where_moves_are_paid_by_admissions() -> None:
    def child(number: int, move: str, *, admitted: bool = False) -> Candidate:
        candidate = Candidate(number, Proposal(f"DELAY(CLOSE, {number + 1})", origin=move))
        candidate.alpha = ff.compile(candidate.proposal.expression)
        candidate.sign, candidate.admitted = 1, admitted
        return candidate

    admits = [child(n, "llm admits", admitted=True) for n in range(10)]
    earns = [child(10 + n, "llm earns") for n in range(10)]
    moves = [child(20, "wrap", admitted=True), child(21, "graft")]
    earnings = {c.fingerprint: 0.09 for c in earns} | {c.fingerprint: 0.01 for c in admits} | {"other": 0.0}
    memory = SearchArchive()
    memory.learn([*admits, *earns, *moves], slice(0, DAYS), 0.0, earnings, models_only=True)
    paid = {name: record.paid for name, record in memory.records.items()}
    usual = sum(earnings.values()) / len(earnings)
    assert paid["llm earns"] == pytest.approx(10 * 0.09 / usual)
    assert paid["llm admits"] == pytest.approx(10 * 0.01 / usual)
    assert (paid["wrap"], paid["graft"]) == (1.0, 0.0)
    rates = dict(memory.view().rates)
    assert rates["llm earns"] > 2.0 * rates["llm admits"] > 0.0
    # What models are paid is no measure for moves: these are rated as if there were no models.
    alone = SearchArchive()
    alone.learn(moves, slice(0, DAYS), 0.0)
    assert {name: rates[name] for name in ("wrap", "graft")} == dict(alone.view().rates)

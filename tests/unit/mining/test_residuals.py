"""Residuals of rejected candidates: what is predicted of them, which are shown, and what becomes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.library.factor import Factor
from fama_fast.mining.candidate import Candidate, Member
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.library.residuals import ResidualArchive, contributions
from fama_fast.mining.library.view import LibraryView
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.ridge_penalty import ridge_weights
from fama_fast.mining.objective import direction
from fama_fast.mining.proposers.kinds.evolve import EvolveProposer
from fama_fast.proposals.protocol import Proposal, ProposalRequest, SearchView

if TYPE_CHECKING:
    from collections.abc import Sequence

# What predicts is today's volume beside that of a month; the member knows the month's, the others mix both.
SIGNAL = PlantedSignal("VOLUME / TS_MEAN(VOLUME, 20)", 0.1)
MEMBER = "RANK(TS_MEAN(VOLUME, 20))"
LIKE_IT = ("VOLUME + TS_SUM(VOLUME, 10)", "TS_SUM(VOLUME, 3) * CLOSE", "-TS_MEAN(VOLUME, 5)")
LOOSE = {"gates": {"min_rank_ic": 0.0, "min_t": 0.0, "complexity_penalty": 0.0}}


@pytest.fixture(scope="module")
def market() -> Market:
    panel = simulate(SimulationSpec(n_symbols=120, n_dates=500, seed=3, signals=(SIGNAL,)))
    return Market(panel, config_from_dict(LOOSE))


def member(market: Market, text: str, *, mined: bool = True) -> Member:
    alpha = compile_alpha(text)
    (series,) = market.measure([alpha]).rank_ic
    factor = Factor(text, alpha.canonical, alpha.fingerprint, scores={"train": {"rank_ic": 0.0}})
    return Member(factor, alpha.node, next(market.vectors([alpha])), mined, series)


def rejected(market: Market, texts: Sequence[str], library: LibraryView, gate: str = "correlation") -> list[Candidate]:
    found = []
    for i, text in enumerate(texts):
        c = Candidate(i, Proposal(text), compile_alpha(text), gate=gate)
        c.nodes, c.vector = c.compiled.n_nodes, next(market.vectors([c.compiled]))
        (c.series,) = market.measure([c.compiled]).rank_ic
        found.append(c)
    library.vectors.add({c.compiled.fingerprint: c.vector for c in found if c.vector is not None})
    return found


def request(memory: ResidualArchive, market: Market, library: LibraryView) -> ProposalRequest:
    shown = tuple(m.factor for m in library.members)
    return ProposalRequest(60, shown, vocabulary=market.vocabulary, search=SearchView(residuals=memory.shown))


def test_a_contribution_is_what_ridge_weights_leave() -> None:
    rng = np.random.default_rng(0)
    pool, series = rng.normal(0.02, 0.1, (4, 300)), rng.normal(0.01, 0.1, (3, 300))
    within = np.corrcoef(rng.normal(size=(4, 50)))
    likeness = rng.uniform(-0.5, 0.5, (3, 4))
    weights = ridge_weights(within, pool.mean(axis=1), 0.7)
    found = contributions(series, likeness, pool, within, 0.7).mean(axis=1)
    assert found == pytest.approx(series.mean(axis=1) - likeness @ weights)


def test_nothing_is_taken_from_a_candidate_of_an_empty_pool() -> None:
    series = np.ones((2, 5))
    assert contributions(series, np.empty((2, 0)), np.empty((0, 5)), np.empty((0, 0)), 1.0) is series


def test_what_is_predicted_of_a_residual_is_close_to_what_the_engine_finds(market: Market) -> None:
    library, memory = LibraryView([member(market, MEMBER)]), ResidualArchive()
    memory.update(rejected(market, LIKE_IT, library), library, market.rows.train, market.config)
    assert memory.shown
    batch = EvolveProposer().propose(request(memory, market, library))
    proposed = [p for p in batch.proposals if p.origin == "residual"]
    assert len(proposed) == len(memory.shown)
    for pair, proposal in zip(memory.shown, proposed, strict=True):
        assert proposal.parents == (pair.fingerprint, pair.beside)
        alpha = compile_alpha(proposal.expression)
        (exact,) = market.measure([alpha]).rank_ic
        r = library.vectors.table([pair.fingerprint], [pair.beside])[0, 0]
        beside = next(m for m in library.members if m.factor.fingerprint == pair.beside)
        assert beside.series is not None
        predicted = memory.kept[pair.fingerprint].series - r * np.nan_to_num(beside.series[market.rows.train])
        found = np.nan_to_num(exact[market.rows.train])
        assert np.corrcoef(predicted, found)[0, 1] > 0.5
        assert np.sign(predicted.mean()) == np.sign(found.mean())
        # It is no longer like the member that its parent was like.
        assert abs(r) > 0.6
        assert abs(float(next(market.vectors([alpha])) @ beside.vector)) < 0.1


@pytest.mark.parametrize("penalty", [0.0, 0.0001])
def test_a_pair_is_worth_what_it_adds_less_two_standard_errors_and_its_length(market: Market, penalty: float) -> None:
    library, memory = LibraryView([member(market, MEMBER, mined=False)]), ResidualArchive()
    settings = config_from_dict({"gates": {**LOOSE["gates"], "complexity_penalty": penalty}})
    memory.update(rejected(market, LIKE_IT, library), library, market.rows.train, settings)
    assert memory.shown
    beside = library.members[0]
    assert beside.series is not None
    theirs = np.nan_to_num(beside.series[market.rows.train])
    for pair in memory.shown:
        kept = memory.kept[pair.fingerprint]
        r = library.vectors.table([pair.fingerprint], [pair.beside])[0, 0]
        added = (kept.series - r * theirs) / np.sqrt(1.0 - r * r)  # no mined factor explains any of it
        error = added.std() / np.sqrt(added.size)
        nodes = kept.nodes + beside.nodes + 3  # a REGRESSION_NEUT of two RANKs
        assert pair.fitness == pytest.approx(abs(added.mean()) - 2.0 * error - penalty * nodes)


def test_a_pair_is_shown_until_it_was_proposed(market: Market) -> None:
    library, memory = LibraryView([member(market, MEMBER)]), ResidualArchive()
    turned_away = rejected(market, LIKE_IT, library)
    memory.update(turned_away, library, market.rows.train, market.config)
    first = memory.shown[0]
    memory.update([], library, market.rows.train, market.config)
    assert memory.shown[0] == first
    child = Candidate(0, Proposal("RANK(CLOSE)", parents=(first.fingerprint, first.beside)))
    memory.update([child], library, market.rows.train, market.config)
    assert first not in memory.shown
    assert first.fingerprint not in memory.kept
    assert memory.used == {(first.fingerprint, first.beside)}


def test_only_what_was_too_like_a_member_is_remembered(market: Market) -> None:
    library, memory = LibraryView([member(market, MEMBER)]), ResidualArchive()
    memory.update(rejected(market, LIKE_IT, library, "training"), library, market.rows.train, market.config)
    assert not memory.kept
    assert not memory.shown
    memory.update(rejected(market, (MEMBER,), library), library, market.rows.train, market.config)
    assert not memory.kept, "of a copy nothing is left"


def test_what_could_not_pass_the_gates_is_not_shown(market: Market) -> None:
    library, memory = LibraryView([member(market, MEMBER)]), ResidualArchive()
    strict = config_from_dict({"gates": {"min_rank_ic": 0.5}})
    memory.update(rejected(market, LIKE_IT, library), library, market.rows.train, strict)
    assert not memory.shown


def test_of_residuals_that_are_alike_one_is_shown(market: Market) -> None:
    library, memory = LibraryView([member(market, MEMBER)]), ResidualArchive()
    texts = ("VOLUME + TS_SUM(VOLUME, 10)", "VOLUME + TS_SUM(VOLUME, 9)", "VOLUME + TS_SUM(VOLUME, 11)")
    memory.update(rejected(market, texts, library), library, market.rows.train, market.config)
    assert len(memory.kept) == 3
    assert len(memory.shown) == 1


def test_it_comes_back_from_plain_data(market: Market) -> None:
    library, memory = LibraryView([member(market, MEMBER)]), ResidualArchive()
    candidates = rejected(market, LIKE_IT, library)
    for c in candidates:
        assert c.series is not None
        c.series = direction(c.series[market.rows.train]) * c.series  # as a run's candidates are
    memory.update(candidates, library, market.rows.train, market.config)
    memory.used.add(("a", "b"))
    again = ResidualArchive.from_dict(json.loads(json.dumps(memory.to_dict())), market.training_series)
    assert (again.used, again.shown, list(again.kept)) == (memory.used, memory.shown, list(memory.kept))
    for name, kept in memory.kept.items():
        assert np.array_equal(again.kept[name].series, kept.series)
    assert ResidualArchive.from_dict({}, market.training_series) == ResidualArchive()

"""The evolutionary proposer and the random formulas: typed, bounded, within the vocabulary, reproducible."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, count_nodes, postorder
from fama_fast.lang import parse, to_text
from fama_fast.library.factor import Factor
from fama_fast.mining.proposers import ProposerSettings, make_proposer
from fama_fast.mining.proposers import variation as v
from fama_fast.mining.proposers.check import spelled
from fama_fast.mining.proposers.kinds import evolve
from fama_fast.mining.proposers.kinds.evolve import MAX_DEPTH, MAX_NODES, EvolveProposer
from fama_fast.mining.proposers.random_tree import (
    MAX_WORK,
    TreeMaker,
    fits,
    is_boolean,
    is_scorable,
    random_expression,
)
from fama_fast.passes import canonicalise, depends_on_level, identity, lookback
from fama_fast.proposals.operators import proposable_specs
from fama_fast.proposals.protocol import (
    Earner,
    Elite,
    Limits,
    ProposalRequest,
    Proposer,
    ResidualPair,
    SearchView,
    Vocabulary,
)

WIDE = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "PE"), ("SECTOR",), 120)
NARROW = Vocabulary(("CLOSE",), (), 5)
EXEMPLARS = (
    "RANK(DELTA(CLOSE, 5))",
    "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))",
    "GROUP_RANK(CORREL(CLOSE, VOLUME, 10), SECTOR)",
)
CHAIN = ("RANK(CLOSE / OPEN)", "RANK(TS_MEAN(CLOSE / OPEN, 5))")


def factors(*texts: str) -> tuple[Factor, ...]:
    return tuple(Factor(t, t, f"print{i}{len(t)}", {"train": {"rank_ic": 0.01 * i}}) for i, t in enumerate(texts))


def request(count: int = 30, **changes: object) -> ProposalRequest:
    base: dict[str, object] = {
        "exemplars": factors(*EXEMPLARS),
        "chain": factors(*CHAIN),
        "vocabulary": WIDE,
        "seed": 3,
    }
    return ProposalRequest(count, **(base | changes))  # type: ignore[arg-type]


def test_is_a_proposer() -> None:
    proposer = make_proposer(ProposerSettings())
    assert isinstance(proposer, Proposer)
    assert proposer.name == "evolve"
    assert proposer.capabilities.deterministic


def test_equal_requests_equal_answers_and_others_differ() -> None:
    first = EvolveProposer(1).propose(request())
    assert first == EvolveProposer(1).propose(request())
    others = [
        EvolveProposer(2).propose(request()),
        EvolveProposer(1).propose(request(seed=4)),
        EvolveProposer(1).propose(request(round=1)),
    ]
    assert all(o.proposals != first.proposals for o in others)


def test_a_wide_pool_has_a_share_of_fresh_expressions_whatever_the_moves_paid() -> None:
    search = SearchView(rates=(("fresh", 0.0), ("crossover", 1.0)))
    for share, least, most in ((0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)):
        made = EvolveProposer(1).propose(request(200, round=50, search=replace(search, fresh=share))).proposals
        assert len(made) == 200
        assert least <= sum(p.origin == "fresh" for p in made) <= most
    unasked = EvolveProposer(1).propose(request(200, round=50, search=search)).proposals
    assert 0 < sum(p.origin == "fresh" for p in unasked) < 60


def test_fresh_expressions_do_not_depend_on_what_was_found() -> None:
    """Runs on other data, which breed from others, draw the same ones."""

    def fresh(share: float, **changes: object) -> list[str]:
        asked = request(60, search=SearchView(fresh=share), **changes)
        return [p.expression for p in EvolveProposer(1).propose(asked).proposals if p.origin == "fresh"]

    many = fresh(1.0)
    for found in (fresh(0.5), fresh(0.5, exemplars=factors("RANK(VWAP / CLOSE)"))):
        assert len(found) > 15
        # Of the first ones, in their order; one that was bred just before is not drawn again.
        assert found == [text for text in many if text in found]
        assert len(set(many[: len(found)]) - set(found)) < 4


@pytest.mark.parametrize("round_", range(3))
def test_proposals_are_new_valid_and_canonical(round_: int) -> None:
    batch = EvolveProposer(0).propose(request(round=round_))
    texts = [p.expression for p in batch.proposals]
    assert len(texts) == 30
    assert len(set(texts)) == 30
    assert not set(texts) & {to_text(canonicalise(parse(t))) for t in (*EXEMPLARS, *CHAIN)}
    for p in batch.proposals:
        node = parse(p.expression, fields=WIDE.fields, groups=WIDE.groups)
        assert to_text(canonicalise(node)) == p.expression
        assert fits(node, WIDE, MAX_DEPTH, MAX_NODES)
        assert p.origin
    allowed = {f.fingerprint for f in (*factors(*EXEMPLARS), *factors(*CHAIN))}
    assert all(set(p.parents) <= allowed for p in batch.proposals)
    assert all(bool(p.parents) != (p.origin == "fresh") for p in batch.proposals)


def test_every_move_is_used() -> None:
    origins = {p.origin for r in range(4) for p in EvolveProposer(0).propose(request(40, round=r)).proposals}
    assert {"fresh", "crossover", "graft", "parameter step", "mutation: wrap", "mutation: unwrap"} <= origins


def test_known_texts_are_not_proposed_again() -> None:
    before = EvolveProposer(0).propose(request())
    known = frozenset(p.expression for p in before.proposals)
    after = EvolveProposer(0).propose(request(known=known))
    assert not known & {p.expression for p in after.proposals}
    assert len(after.proposals) == 30


def test_works_from_nothing() -> None:
    batch = EvolveProposer(0).propose(ProposalRequest(20))
    assert len(batch.proposals) == 20
    assert {p.origin for p in batch.proposals} == {"fresh"}


def test_one_exemplar_and_no_chain() -> None:
    batch = EvolveProposer(0).propose(request(15, exemplars=factors("RANK(CLOSE / OPEN)"), chain=()))
    assert len(batch.proposals) == 15
    assert not {"crossover", "graft"} & {p.origin for p in batch.proposals}


def test_parents_that_the_data_lacks_are_named() -> None:
    batch = EvolveProposer(0).propose(request(5, exemplars=factors("RANK(PE)"), chain=(), vocabulary=NARROW))
    assert len(batch.proposals) == 5
    assert batch.dropped[0].expression == "RANK(PE)"
    assert "no parent here" in batch.dropped[0].reason


def test_parents_are_drawn_in_proportion_to_what_the_pool_earns_by_them() -> None:
    earning = {"few": 0.1, "many": 0.3, "none": 0.0, "unread": 0.6}
    texts = {
        "few": "RANK(DELTA(VOLUME, 10) / TS_MEAN(VOLUME, 40))",
        "many": "RANK(CORREL(RET, DELTA(VOLUME, 5), 20))",
        "none": "RANK(HIGH / LOW)",
        "unread": "RANK(NO_SUCH_FIELD)",
    }
    earners = tuple(Earner(name, texts[name], earning[name]) for name in texts)
    drawn: Counter[str] = Counter()
    for number in range(20, 40):
        batch = EvolveProposer(1).propose(
            request(40, exemplars=(), chain=(), round=number, search=SearchView(earners=earners))
        )
        assert len(batch.proposals) == 40  # a parent that cannot be read costs a try, no more
        drawn.update(p for proposal in batch.proposals for p in proposal.parents)
    assert set(drawn) == {"few", "many"}
    assert 2.0 < drawn["many"] / drawn["few"] < 4.0


def test_without_a_pool_that_earns_the_elites_are_parents() -> None:
    elites = tuple(Elite(f"e{i}", text, 0.02, 5, 0.01) for i, text in enumerate(EXEMPLARS[:2]))
    nothing = (Earner("idle", "RANK(HIGH / LOW)", 0.0),)
    asked = request(40, exemplars=(), chain=(), round=20, search=SearchView(elites=elites, earners=nothing))
    batch = EvolveProposer(1).propose(asked)
    parents = {p for proposal in batch.proposals for p in proposal.parents}
    assert parents == {"e0", "e1"}


def test_an_exhausted_vocabulary_is_said_and_ends() -> None:
    known: set[str] = set()
    for r in range(3):
        batch = EvolveProposer(0).propose(
            ProposalRequest(50, vocabulary=Vocabulary(("CLOSE",), (), 1), known=frozenset(known), round=r)
        )
        assert not known & {p.expression for p in batch.proposals}
        known |= {p.expression for p in batch.proposals}
    assert EvolveProposer(0).propose(ProposalRequest(3, vocabulary=Vocabulary(()))).dropped
    assert EvolveProposer(0).propose(ProposalRequest(0)).proposals == ()


def test_what_is_to_be_free_of_price_levels_is_made_so_by_every_move() -> None:
    """Parents that are not are left out with the reason; with all moves nothing is proposed that a gate refuses."""
    texts = ["RANK(CLOSE / DELAY(CLOSE, 5))", "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 60))", "TS_RANK(LOW, 9)"]
    texts += ["(HIGH - LOW) / CLOSE", "RANK(DELTA(CLOSE, 5))"]
    elites = tuple(Elite(f"f{i}", text, 0.05, 5, 0.05 - 0.001 * i) for i, text in enumerate(texts))
    pairs = (ResidualPair("f0", texts[0], "f1", texts[1], 0.01),)
    origins: Counter[str] = Counter()
    known: set[str] = set()
    for number in range(11, 21):
        view = SearchView(elites=elites, residuals=pairs)
        request = ProposalRequest(
            80, vocabulary=WIDE, known=frozenset(known), round=number, search=view, limits=Limits(level_free=True)
        )
        batch = EvolveProposer(0).propose(request)
        assert len(batch.proposals) == 80
        (left,) = batch.dropped
        assert left.expression == "RANK(DELTA(CLOSE, 5))"
        assert "price level, in RANK(DELTA(CLOSE, 5))" in left.reason
        for p in batch.proposals:
            assert depends_on_level(parse(p.expression, groups=WIDE.groups)) is None, (p.origin, p.expression)
        origins.update(p.origin for p in batch.proposals)
        known |= {p.expression for p in batch.proposals}
    assert set(origins) >= {*evolve._PRIOR} - {"graft"}
    assert EvolveProposer(0).propose(request) == EvolveProposer(0).propose(request)


def test_where_no_formula_can_be_drawn_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama_fast.mining.proposers.random_tree._ATTEMPTS", 0)
    batch = EvolveProposer(0).propose(ProposalRequest(5, vocabulary=NARROW, limits=Limits(level_free=True)))
    assert batch.proposals == ()
    assert [d.reason for d in batch.dropped] == ["only 0 of 5 new expressions were found"]


@given(st.integers(0, 10**9), st.sampled_from([WIDE, NARROW]), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_random_expressions_fit_and_print(seed: int, vocabulary: Vocabulary, depth: int) -> None:
    node = random_expression(random.Random(seed), vocabulary, max_depth=depth, max_nodes=15)
    assert node is random_expression(random.Random(seed), vocabulary, max_depth=depth, max_nodes=15)
    assert node.depth <= depth
    assert count_nodes(node) <= 15
    assert lookback(node) <= vocabulary.max_window
    assert not is_boolean(node)
    assert {n.name for n in postorder(node) if n.op == FIELD} <= set(vocabulary.fields)
    assert {n.name for n in postorder(node) if n.op == GROUP} <= set(vocabulary.groups)
    again = parse(to_text(node), fields=vocabulary.fields, groups=vocabulary.groups)
    assert canonicalise(again) is canonicalise(node)


def test_random_expressions_reach_every_kind_of_operator() -> None:
    seen = {n.op for i in range(600) for n in postorder(random_expression(random.Random(i), WIDE))}
    assert len(seen & {s.name for s in proposable_specs(WIDE)}) > 45
    assert "MASK" not in seen
    assert CONST in seen


def test_no_fields_no_random_expression() -> None:
    with pytest.raises(ValueError, match="without fields"):
        random_expression(random.Random(0), Vocabulary(()))


@pytest.mark.parametrize(
    "name", ["swap_operator", "change_leaf", "wrap", "unwrap", "replace_subtree", "step_parameter"]
)
def test_variations_keep_the_kinds(name: str) -> None:
    maker = TreeMaker(random.Random(5), WIDE)
    made = 0
    for text in (*EXEMPLARS, *CHAIN, "VOLUME > 0.5 * ADV20 ? RANK(RET) : TS_QUANTILE(LOW, 20, 0.25)"):
        node = parse(text, fields=WIDE.fields, groups=WIDE.groups)
        for _ in range(15):
            new = getattr(v, name)(maker, node)
            if new is None:
                continue
            made += 1
            assert parse(to_text(new), fields=WIDE.fields, groups=WIDE.groups) is not None
    assert made > 20


def test_parameter_steps_stay_on_the_grid_and_in_range() -> None:
    maker = TreeMaker(random.Random(0), WIDE)
    seen = set()
    for _ in range(60):
        new = v.step_parameter(maker, parse("TS_KURT(CLOSE, 10)"))
        assert new is not None
        seen.add(new.params[0])
    assert seen == {5, 15, 20}
    bounded = {v.step_parameter(maker, parse("TS_QUANTILE(CLOSE, 10, 0.9)")) for _ in range(60)}
    assert max(float(n.params[1]) for n in bounded if n is not None) == 1.0  # type: ignore[arg-type]


def test_numbers_that_steps_make_are_written_as_a_person_would() -> None:
    maker, node = TreeMaker(random.Random(0), WIDE), parse("SCALE(CLOSE, 0.75)")
    texts = {to_text(new) for _ in range(40) if (new := v.step_parameter(maker, node)) is not None}
    assert texts == {f"SCALE(CLOSE, {x})" for x in ("0.375", "0.6", "0.9375", "1.5")}


@pytest.mark.parametrize(
    ("before", "after", "host", "expected"),
    [
        (
            "RANK(CLOSE / OPEN)",
            "RANK(CLOSE / LOW)",
            "DELTA(OPEN, 5)",
            "DELTA(LOW, 5)",
        ),  # it has what was replaced
        (
            "RANK(CLOSE)",
            "RANK(TS_MEAN(CLOSE, 5))",
            "RANK(DELTA(CLOSE, 3))",
            "RANK(DELTA(TS_MEAN(CLOSE, 5), 3))",
        ),
        ("TS_MEAN(CLOSE, 5)", "TS_MEAN(CLOSE, 20)", "RANK(TS_MEAN(OPEN, 5))", "RANK(TS_MEAN(OPEN, 20))"),
    ],
)
def test_grafts_do_to_the_host_what_the_step_did(before: str, after: str, host: str, expected: str) -> None:
    maker = TreeMaker(random.Random(0), WIDE)
    assert v.graft(maker, parse(host), parse(before), parse(after)) is parse(expected)


def test_no_step_no_graft() -> None:
    maker = TreeMaker(random.Random(0), WIDE)
    assert v.graft(maker, parse("RANK(CLOSE)"), parse("RANK(OPEN)"), parse("RANK(OPEN)")) is None


def test_crossover_exchanges_like_for_like() -> None:
    maker = TreeMaker(random.Random(0), WIDE)
    a, b = (
        parse("VOLUME > ADV20 ? RANK(RET) : 0.5"),
        parse("RANK(CLOSE) < 0.5 ? OPEN : GROUP_MEAN(LOW, SECTOR)"),
    )
    children = {v.crossover(maker, a, b) for _ in range(60)} - {None}
    assert len(children) > 3
    for child in children:
        assert child is not None
        assert child is parse(to_text(child))


@pytest.mark.parametrize("text", ["CLOSE", "5"])
def test_a_move_that_finds_no_place_gives_nothing_up(text: str) -> None:
    """A first change may leave a bare field or number for the second."""
    node = parse(text, fields=WIDE.fields, groups=WIDE.groups)
    for seed in range(20):
        maker = TreeMaker(random.Random(seed), WIDE)
        assert v.swap_operator(maker, node) is None
        for move in (v.change_leaf, v.wrap, v.unwrap, v.replace_subtree, v.step_parameter):
            move(maker, node)
        v.crossover(maker, node, parse("RANK(VOLUME)", fields=WIDE.fields))


@pytest.mark.parametrize("seed", range(6))
def test_the_node_of_a_proposal_is_what_its_text_reads_as(seed: int) -> None:
    for p in EvolveProposer(seed).propose(request(60)).proposals:
        assert p.node is canonicalise(parse(p.expression, fields=WIDE.fields, groups=WIDE.groups))


def test_a_column_that_the_language_cannot_write_gives_no_nodes_away() -> None:
    odd = Vocabulary(("CLOSE", "P/E RATIO"), (), 60)
    assert spelled(WIDE)
    assert not spelled(odd)
    found = EvolveProposer(0).propose(ProposalRequest(20, vocabulary=odd)).proposals
    assert found
    assert all(p.node is None for p in found)


@pytest.mark.parametrize(
    ("text", "fitness"),
    [
        ("RANK(CLOSE)", True),
        ("CS_MEAN(CLOSE)", False),  # one value a date
        ("TS_MEAN(CS_STD(CLOSE), 5)", False),
        ("RANK(CLOSE) * CS_STD(CLOSE)", False),  # the same order as without
        ("RANK(CLOSE - CS_MEAN(CLOSE))", False),
        ("TS_RANK(CLOSE - CS_MEAN(CLOSE), 5)", True),  # over time it is another matter
        ("IF_ELSE(CLOSE > CS_MEAN(CLOSE), VOLUME, OPEN)", True),
        ("RANK(CLOSE * 2)", True),
        ("REGRESSION_NEUT(CLOSE, VOLUME)", True),  # two regressors are left out: no numbers that are compared
        ("REGRESSION_NEUT(CLOSE, CS_MEAN(VOLUME))", False),
    ],
)
def test_what_is_the_same_for_all_symbols_is_not_worth_scoring(text: str, fitness: bool) -> None:
    assert is_scorable(canonicalise(parse(text))) is fitness


def test_what_comes_down_to_too_much_work_is_not_worth_scoring() -> None:
    def work(text: str) -> int:
        return sum(n.op not in LEAVES for n in postorder(identity(parse(text))))

    dear = "TS_TARGET_TVR_DECAY(RANK(CLOSE), 0, 1, 0.1)"
    assert work(dear) > MAX_WORK >= work("TS_MEAN(CLOSE, 5)")
    assert not is_scorable(parse(dear))


def test_neighbours_are_one_step_away_each_once_and_simplest_first() -> None:
    maker = TreeMaker(random.Random(0), Vocabulary(("CLOSE", "VOLUME"), (), 120))
    node = parse("RANK(TS_MEAN(ABS(CLOSE), 20))")
    found = [to_text(n) for n in v.neighbours(maker, node)]
    assert found[:8] == [
        "TS_MEAN(ABS(CLOSE), 20)",
        "ABS(CLOSE)",
        "RANK(ABS(CLOSE))",
        "RANK(TS_MEAN(ABS(CLOSE), 15))",
        "RANK(TS_MEAN(ABS(CLOSE), 30))",
        "RANK(TS_MEAN(ABS(CLOSE), 10))",
        "RANK(TS_MEAN(ABS(CLOSE), 40))",
        "RANK(TS_MEAN(ABS(VOLUME), 20))",
    ]
    # Then the field under the commonest windows: the middle length first, all of them once.
    assert found[8] == "RANK(TS_MEAN(ABS(DELAY(CLOSE, 20)), 20))"
    assert "RANK(TS_MEAN(ABS(TS_STDDEV(CLOSE, 60)), 20))" in found[8:]
    assert len(set(found)) == len(found) == 8 + 3 * len(maker.palette.windowed)
    assert next(v.neighbours(maker, parse("CLOSE"))) is parse("VOLUME")

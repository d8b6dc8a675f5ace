"""Chain-of-Experience: chains, their updates, and the memory of failures."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.errors import DataError, StoreError
from fama_fast.library.factor import Factor
from fama_fast.mining.coe import Chain, ChainBook, Failure, FailureLog, Outcome, improvement_path
from fama_fast.mining.coe.chain import strength


def factor(name: str, score: float = math.nan) -> Factor:
    scores = {} if math.isnan(score) else {"train": {"rank_ic": score}}
    return Factor(name, name, f"fp-{name}", scores=scores)


def names(chain: Chain) -> list[str]:
    return [f.expression for f in chain.members]


A, B, C, D = (factor(n, s) for n, s in (("A", 0.01), ("B", 0.02), ("C", 0.03), ("D", 0.04)))
NEW = factor("NEW", 0.05)


def test_one_chain_a_cluster_by_ascending_score() -> None:
    book = ChainBook.build([D, A, factor("M", 0.025), C, B], [0, 1, 0, 0, 1])
    assert [names(c) for c in book] == [["M", "C", "D"], ["A", "B"]]
    assert [c.cluster for c in book] == [0, 1]


def test_unscored_factors_come_first() -> None:
    assert names(Chain.of(0, [A, factor("X"), B])) == ["X", "A", "B"]


def test_labels_and_factors_must_agree_in_number() -> None:
    with pytest.raises(DataError, match="3 cluster labels for 2 factors"):
        ChainBook.build([A, B], [0, 1, 0])


@pytest.mark.parametrize(
    ("members", "message"),
    [((), "no members"), ((B, A), "ascend"), ((A, A), "twice"), ((A, factor("X")), "ascend")],
)
def test_a_chain_that_breaks_its_rules_cannot_be_made(members: tuple[Factor, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Chain(0, members)


def better(_: Factor) -> bool:
    """The lead on every member is beyond noise."""
    return True


def test_an_improvement_on_the_last_extends() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(NEW, {"fp-A": 0.1, "fp-B": -0.2, "fp-C": 0.3}, better)
    assert event.outcome is Outcome.EXTEND
    assert event.pivot == C
    assert [names(c) for c in event.book] == [["A", "B", "C", "NEW"]]
    assert [names(c) for c in book] == [["A", "B", "C"]], "the book before is untouched"


def test_an_improvement_on_an_earlier_member_splits_and_the_old_chain_stays() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(NEW, {"fp-A": 0.1, "fp-B": -0.9, "fp-C": 0.3}, better)
    assert event.outcome is Outcome.SPLIT
    assert [names(c) for c in event.book] == [["A", "B", "C"], ["A", "B", "NEW"]]
    assert event.chain.parent == 0
    assert event.as_dict() == {"outcome": "split", "chain": 1, "parent": 0, "pivot": "fp-B"}


def test_the_nearest_relative_is_looked_for_in_every_chain() -> None:
    book = ChainBook.build([A, B, C, D], [0, 0, 1, 1])
    event = book.admit(NEW, {"fp-A": 0.1, "fp-B": 0.6, "fp-C": 0.2, "fp-D": 0.5}, better)
    assert [names(c) for c in event.book] == [["A", "B", "NEW"], ["C", "D"]]


def test_what_is_like_nothing_begins_a_chain() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(NEW, {"fp-A": 0.29, "fp-B": -0.1, "fp-C": math.nan}, better)
    assert event.outcome is Outcome.START
    assert event.pivot is None
    assert [names(c) for c in event.book] == [["A", "B", "C"], ["NEW"]]
    assert book.admit(NEW, {"fp-A": 0.29, "fp-B": 0, "fp-C": 0}, better, floor=0.2).outcome is not Outcome.START


@pytest.mark.parametrize(
    ("new", "place"), [(factor("W", 0.03), 3), (factor("W", 0.015), 1), (factor("W"), 0), (factor("W", 0.005), 0)]
)
def test_what_is_like_a_member_and_no_better_takes_its_place_by_score(new: Factor, place: int) -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0]).visit(Chain(0, (A,)))
    event = book.admit(new, {"fp-A": 0.2, "fp-B": 0.1, "fp-C": 0.9}, better)
    assert event.outcome is Outcome.INSERT
    assert event.pivot == C
    expected = ["A", "B", "C"]
    expected.insert(place, "W")
    assert [names(c) for c in event.book] == [expected]
    assert event.chain.visits == 1, "it has not grown beyond what it was"


def test_a_lead_within_noise_is_no_improvement() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    asked: list[Factor] = []

    def within_noise(member: Factor) -> bool:
        asked.append(member)
        return False

    event = book.admit(NEW, {"fp-A": 0.1, "fp-B": 0.4, "fp-C": 0.3}, within_noise)
    assert event.outcome is Outcome.INSERT
    assert event.pivot == B
    assert asked == [B, C], "the nearest first; A is no relative"


def test_the_parent_is_the_nearest_relative_that_it_improves_on() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(factor("NEW", 0.025), {"fp-A": 0.4, "fp-B": 0.5, "fp-C": 0.9}, better)
    assert event.outcome is Outcome.SPLIT
    assert event.pivot == B
    assert [names(c) for c in event.book] == [["A", "B", "C"], ["A", "B", "NEW"]]
    event = book.admit(NEW, {"fp-A": 0.4, "fp-B": 0.5, "fp-C": 0.9}, lambda m: m == A)
    assert event.pivot == A
    event = book.admit(NEW, {"fp-A": 0.2, "fp-B": 0.5, "fp-C": 0.9}, lambda m: m == A)
    assert event.outcome is Outcome.INSERT, "A is no relative"


def test_chains_may_be_held_from_growing() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(NEW, {"fp-A": 0.1, "fp-B": 0.1, "fp-C": 0.9}, better, may_grow=False)
    assert event.outcome is Outcome.INSERT
    assert book.admit(NEW, {"fp-A": 0.1, "fp-B": 0.1, "fp-C": 0.1}, better, may_grow=False).outcome is Outcome.START


def test_the_author_may_say_what_it_builds_on() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    table = {"fp-A": 0.4, "fp-B": 0.2, "fp-C": 0.9}
    event = book.admit(NEW, table, better, named="fp-A")
    assert event.outcome is Outcome.SPLIT
    assert event.pivot == A
    assert book.admit(NEW, table, better, named="fp-B").pivot == C, "it is nothing like B, whatever was said"
    assert book.admit(NEW, table, better, named="fp-gone").pivot == C


def test_a_close_second_at_the_end_is_extended_rather_than_split() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    table = {"fp-A": 0.1, "fp-B": 0.5, "fp-C": 0.45}
    assert book.admit(NEW, table, better).outcome is Outcome.SPLIT
    assert book.admit(NEW, table, better, split_threshold=0.06).outcome is Outcome.EXTEND
    assert book.admit(NEW, table, better, split_threshold=0.04).outcome is Outcome.SPLIT
    assert book.admit(NEW, table, lambda m: m == B, split_threshold=0.06).outcome is Outcome.SPLIT


def test_equal_correlations_extend_rather_than_split() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(NEW, {"fp-A": 0.5, "fp-B": -0.5, "fp-C": math.nan}, better)
    assert event.pivot == B
    event = book.admit(NEW, {"fp-A": 0.5, "fp-B": 0.5, "fp-C": -0.5}, better)
    assert event.outcome is Outcome.EXTEND


def test_a_member_of_a_chain_changes_nothing() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    event = book.admit(B, {}, better)
    assert event.outcome is Outcome.UNCHANGED
    assert event.book is book


def test_an_unknown_correlation_is_an_error_not_a_guess() -> None:
    book = ChainBook.build([A, B], [0, 0])
    with pytest.raises(DataError, match="correlation of NEW with B"):
        book.admit(NEW, {"fp-A": 0.5}, better)


def test_an_empty_book_is_started_by_the_first_factor() -> None:
    book = ChainBook()
    assert book.match(A, {}) is None
    assert book.choose([A], {}) is None
    assert book.pick() is None
    event = book.admit(A, {}, better)
    assert event.outcome is Outcome.START
    assert [names(c) for c in event.book] == [["A"]]


def test_a_book_that_is_built_anew_goes_on_counting() -> None:
    book = ChainBook.build([A, B, C], [0, 1, 1], first_id=4)
    assert [c.id for c in book] == [4, 5]
    assert book.next_id == 6


LEADS = {("NEW", "C"): 0.5, ("NEW", "B"): 2.0, ("NEW", "A"): 3.0, ("C", "B"): 0.9, ("C", "A"): 1.5, ("B", "A"): 1.0}
ALIKE = {("NEW", "C"): 0.9, ("NEW", "B"): 0.5, ("NEW", "A"): 0.2, ("C", "B"): 0.8, ("C", "A"): -0.4, ("B", "A"): 0.31}


def path(turn: int = 0, **changes: float) -> list[tuple[str, float]]:
    chain = Chain(0, (A, B, C, NEW))
    steps = improvement_path(
        chain,
        lambda f, g: ALIKE[f.expression, g.expression],
        lambda f, g: LEADS[f.expression, g.expression],
        **({"floor": 0.3, "least_t": 1.0, "turn": turn} | changes),  # type: ignore[arg-type]
    )
    return [(s.factor.expression, s.t) for s in steps]


def test_every_step_of_a_path_is_an_improvement_on_something_alike() -> None:
    first, *rest = path()
    assert first[0] == "A"
    assert math.isnan(first[1])
    assert rest == [("B", 1.0), ("NEW", 2.0)], "C is more like it, and led by less than noise"
    assert path(1)[1:] == [("C", 1.5)], "the other end of the same chain, over a negative correlation"
    assert path(2) == path(0) or path(2)[1:] == rest
    assert [name for name, _ in path(least_t=9.0)] == ["NEW"]
    assert [name for name, _ in path(floor=0.95)] == ["NEW"]
    assert [name for name, _ in path(least_t=1.01)][-2:] == ["B", "NEW"]


def test_a_path_says_what_each_step_gains() -> None:
    steps = improvement_path(Chain(0, (A, B)), lambda *_: -0.4, lambda *_: 2.0, floor=0.3, least_t=1.0)
    assert [s.factor for s in steps] == [A, B]
    assert steps[1].gain == pytest.approx(0.01)
    assert (steps[1].t, steps[1].correlation) == (2.0, -0.4)
    nothing = improvement_path(Chain(0, (A, B)), lambda *_: math.nan, lambda *_: 2.0, floor=0.3, least_t=1.0)
    assert [s.factor for s in nothing] == [B]


def test_match_is_the_holder_else_the_chain_of_the_most_correlated_factor() -> None:
    book = ChainBook.build([A, B, C, D], [0, 0, 1, 1])
    assert book.match(A, {}) == book.chains[0]
    table = {"fp-A": 0.1, "fp-B": 0.2, "fp-C": -0.6, "fp-D": 0.3}
    assert book.match(NEW, table) == book.chains[1]
    assert book.match(NEW, lambda _, other: table[other.fingerprint]) == book.chains[1]


def test_of_several_holders_the_better_wins_until_it_was_visited_too_often() -> None:
    book = ChainBook.build([A, B, C], [0, 0, 0])
    book = book.admit(NEW, {"fp-A": 0.9, "fp-B": 0.1, "fp-C": 0.1}, better).book
    shown = []
    for _ in range(60):
        chain = book.match(A, {})
        assert chain is not None
        shown.append(chain.id)
        book = book.visit(chain)
    assert shown[0] == 1, "the stronger chain first"
    assert 0 in shown, "the weaker one in its turn"
    assert shown.count(1) > shown.count(0)


def test_growth_clears_the_visits_and_a_split_leaves_the_old_ones() -> None:
    book = ChainBook.build([A, B], [0, 0])
    book = book.visit(book.chains[0]).visit(book.chains[0])
    assert book.get(0).visits == 2
    assert book.admit(NEW, {"fp-A": 0, "fp-B": 1}, better).book.get(0).visits == 0
    split = book.admit(NEW, {"fp-A": 1, "fp-B": 0}, better).book
    assert [c.visits for c in split] == [2, 0]


def test_choose_lets_the_chains_of_all_exemplars_compete() -> None:
    book = ChainBook.build([A, B, C, D], [0, 1, 2, 3])
    seen = []
    for _ in range(40):
        match = book.choose([A, D])
        assert match is not None
        assert match.exemplar in match.chain
        seen.append(match.exemplar.expression)
        book = book.visit(match.chain)
    assert seen[0] == "D"
    assert {"A", "D"} == set(seen)
    book = ChainBook.build([A, B, C, D], [0, 1, 2, 3])
    first = book.pick()
    assert first is not None
    assert first.best == D


def test_without_a_penalty_the_best_is_always_chosen() -> None:
    book = ChainBook.build([A, D], [0, 1], visit_penalty=0)
    for _ in range(20):
        chain = book.pick()
        assert chain is not None
        assert chain.best == D
        book = book.visit(chain)
    with pytest.raises(DataError, match="visit penalty"):
        ChainBook(visit_penalty=-1)


SCORES = st.one_of(st.just(math.nan), st.floats(-0.1, 0.1))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_history_keeps_the_rules(data: st.DataObject) -> None:
    """Chain scores ascend always; a split keeps the old chain; f' lands where the rule says."""
    drawn = data.draw(st.lists(SCORES, min_size=1, max_size=8))
    start = [factor(f"S{i}", s) for i, s in enumerate(drawn)]
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(start), max_size=len(start)))
    book = ChainBook.build(start, labels)
    assert len(book) == len(set(labels))
    steps = data.draw(st.lists(SCORES, max_size=12))
    for step, score in enumerate(steps):
        new = factor(f"N{step}", score)
        table = {f.fingerprint: data.draw(st.floats(-1, 1), label=f"corr {f.expression}") for f in book.members()}
        leads = data.draw(st.booleans())
        before = book
        event = book.admit(new, table, lambda _, leads=leads: leads)  # type: ignore[misc]
        book = event.book
        near = event.pivot
        assert len(book.holding(new)) == 1
        if max(map(abs, table.values())) < 0.3:
            assert event.outcome is Outcome.START
            assert near is None
            assert len(book) == len(before) + 1
            continue
        assert near is not None
        assert abs(table[near.fingerprint]) >= 0.3
        if event.outcome is Outcome.INSERT:
            assert abs(table[near.fingerprint]) == max(map(abs, table.values()))
            assert len(book) == len(before)
            assert near in event.chain
            weaker = [
                m
                for m in event.chain.members
                if m != new and abs(table[m.fingerprint]) >= 0.3 and strength(m) < strength(new)
            ]
            assert not (leads and weaker)
        elif any(c.best == near and c.id == event.chain.id for c in before):
            assert event.outcome is Outcome.EXTEND
            assert leads
            assert strength(new) > strength(near)
            assert names(event.chain)[-2:] == [near.expression, new.expression]
            assert len(book) == len(before)
        else:
            assert event.outcome is Outcome.SPLIT
            assert leads
            assert strength(new) > strength(near)
            assert names(event.chain)[-2:] == [near.expression, new.expression]
            assert all(c in book.chains for c in before)
            assert len(book) == len(before) + 1
        others = [c for c in before if c.id != event.chain.id]
        assert all(c in book.chains for c in others)
        for c in book:
            scored = [-math.inf if math.isnan(f.score) else f.score for f in c.members]
            assert all(a <= b for a, b in pairwise(scored))
        assert [c.id for c in book] == sorted({c.id for c in book})


def real_book() -> ChainBook:
    from fama_fast.library.identity import make_factor

    texts = ["RANK(CLOSE)", "RANK(DELTA(CLOSE, 5))", "TS_MEAN(VOLUME, 10)", "RANK(OPEN) * -1"]
    pool = [
        make_factor(t, scores={"train": {"rank_ic": s}}, provenance={"data_hash": "d0"})
        for t, s in zip(texts, (0.1 / 3, 0.02, 1e-7, 0.05), strict=True)
    ]
    book = ChainBook.build(pool[:3], np.array([0, 0, 1]))
    table = {f.fingerprint: 0.0 for f in pool} | {pool[1].fingerprint: 0.9}
    return book.visit(book.chains[0]).admit(pool[3], table, better).book


def test_a_book_survives_plain_data_and_yaml() -> None:
    from fama_fast.library.strict_yaml import dump, load

    book = real_book()
    assert len(book) == 3
    assert ChainBook.from_dict(book.to_dict()) == book
    assert ChainBook.from_dict(load(dump(book.to_dict()), "x.yaml")) == book


def test_damaged_books_are_named() -> None:
    def broken(change: dict[str, object], chain: dict[str, object] | None = None) -> dict[str, object]:
        data = real_book().to_dict()
        data.update(change)
        if chain:
            data["chains"][1].update(chain)
        return data

    cases: list[tuple[object, str]] = [
        ([], "expected a mapping"),
        (broken({"schema": 2}), "schema 2"),
        (broken({"chain": []}), "unknown key 'chain' .did you mean chains"),
        (broken({}, {"members": ["nope"]}), "chain 2: the member 'nope'"),
        (broken({}, {"members": []}), "chain 2: chain 1 has no members"),
        (broken({}, {"visits": "many"}), "chain 2: visits must be a whole number"),
        (broken({}, {"id": 7}), "chain ids"),
        (broken({"next_id": 0}), "chain ids"),
        (broken({"visit_penalty": None}), "visit_penalty"),
    ]
    for data, message in cases:
        with pytest.raises(StoreError, match=message):
            ChainBook.from_dict(data, source="store")


def node(text: str) -> object:
    from fama_fast.lang import parse

    return parse(text)


def test_patterns_are_parts_of_many_failures_and_few_successes() -> None:
    bad = [
        "TS_MEAN(VOLUME, 3) + CLOSE",
        "RANK(TS_MEAN(VOLUME, 3))",
        "TS_MEAN(VOLUME, 3) * OPEN",
        "RANK(CLOSE)",
    ]
    memory = FailureLog().record(
        [Failure(t, "weak", node(t)) for t in bad],  # type: ignore[arg-type]
        admitted=[node("RANK(OPEN)"), node("RANK(CLOSE) - 1")],  # type: ignore[list-item]
    )
    patterns = memory.patterns(min_failed=3)
    assert [(p.text, p.failed, p.admitted) for p in patterns] == [("TS_MEAN(VOLUME, 3)", 3, 0)]
    assert patterns[0].failure_rate == 0.75
    assert memory.counts["RANK(CLOSE)"] == (1, 1)
    avoid = memory.avoid(recent=2)
    assert [r.expression for r in avoid] == ["TS_MEAN(VOLUME, 3)", *bad[-2:]]


def test_a_part_inside_a_larger_one_with_equal_counts_is_not_repeated() -> None:
    texts = [f"RANK(TS_MEAN(VOLUME, 3)) + TS_MEAN(CLOSE, {d})" for d in (5, 6, 7, 8)]
    memory = FailureLog().record([Failure(t, "weak", node(t)) for t in texts])  # type: ignore[arg-type]
    assert [p.text for p in memory.patterns()] == ["RANK(TS_MEAN(VOLUME, 3))"]


def test_failures_that_say_nothing_of_the_formula_blame_no_part() -> None:
    memory = FailureLog().record([Failure("RANK(", "does not parse")] * 5)
    assert dict(memory.counts) == {}
    assert [r.reason for r in memory.recent] == ["does not parse"]


def test_the_memory_is_bounded_and_keeps_what_is_latest_and_most_frequent() -> None:
    memory = FailureLog(max_recent=3, max_patterns=4)
    for d in range(2, 30):
        text = f"RANK(VOLUME) + TS_MEAN(CLOSE, {d})"
        memory = memory.record([Failure(text, "weak", node(text))])  # type: ignore[arg-type]
    assert len(memory.recent) == 3
    assert memory.recent[-1].expression.endswith("29)")
    assert len(memory.counts) == 4
    assert memory.counts["RANK(VOLUME)"] == (28, 0)
    assert memory.record() == memory


def test_the_memory_survives_plain_data() -> None:
    memory = FailureLog(max_recent=7).record([Failure("RANK(CLOSE)", "weak", node("RANK(CLOSE)"))])  # type: ignore[arg-type]
    assert FailureLog.from_dict(memory.to_dict()) == memory
    with pytest.raises(StoreError, match="damaged"):
        FailureLog.from_dict({"recent": [1]})


def test_a_part_that_fails_no_more_than_others_is_not_blamed() -> None:
    from fama_fast.engine import compile as compile_alpha

    def node(text: str):  # type: ignore[no-untyped-def]
        return compile_alpha(text).node

    common, useless = "TS_MEAN(CLOSE, 5)", "TS_STDDEV(OPEN, 7)"
    failures = [Failure(f"f{i}", "weak", node(f"RANK({common} - {i})")) for i in range(2, 22)]
    failures += [Failure(f"u{i}", "weak", node(f"RANK({useless} - {i})")) for i in range(2, 22)]
    # One in twenty-one of the first kind is admitted, as often as candidates are in general; none of the second.
    memory = FailureLog().record(failures, [node(f"RANK({common} * 9)"), node("RANK(VOLUME)")])
    assert memory.judged == (40, 2)
    found = {p.text for p in memory.patterns(50)}
    assert useless in found
    assert common not in found
    assert FailureLog.from_dict(memory.to_dict()) == memory
    older = {k: v for k, v in memory.to_dict().items() if k != "judged"}
    assert FailureLog.from_dict(older).judged == (0, 0)
    listed = memory.to_dict() | {"counts": {part: list(pair) for part, pair in memory.counts.items()}}
    assert FailureLog.from_dict(listed) == memory


def test_frequent_useless_parts_are_named_in_the_prompt() -> None:
    from fama_fast.engine import compile as compile_alpha
    from fama_fast.llm.prompt import load_templates, render_prompt
    from fama_fast.proposals.protocol import ProposalRequest

    part = "TS_STDDEV(OPEN, 7)"
    memory = FailureLog().record(
        Failure(f"f{i}", "training: weak", compile_alpha(f"RANK({part} - {i})").node) for i in range(2, 9)
    )
    _, user = render_prompt(ProposalRequest(3, avoid=memory.avoid()), load_templates(None))
    assert f"`{part}`: part of 7 failed candidates and 0 admitted" in user.content

"""Descent asked of the store: ancestors, best path, what a prompt led to, chains; on SQLite, and fast enough."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fama_fast.errors import StoreError
from fama_fast.ledger import schema
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.lineage import Lineage
from fama_fast.ledger.records import CandidateRecord, ChainStep, ExchangeRecord, RunRecord, StartingFactor

RUN = RunRecord("run", "memory", "data", 7, "evolve", {}, "0", started_at="2020-01-01", state={})


def proposed(
    position: int, name: str, score: float | None, parents: tuple[str, ...] = (), prompt: str | None = None, **rest: Any
) -> CandidateRecord:
    scores = {} if score is None else {"train": {"rank_ic": score}}
    return CandidateRecord(
        position,
        f"text of {name}",
        "evolve",
        canonical=f"CANON({name})",
        fingerprint=name,
        parents=parents,
        prompt_hash=prompt,
        scores=scores,
        **rest,
    )


def family(ledger: Ledger) -> Lineage:
    """Two seeds; a <- (s1), b <- (a, s2), c <- (b, a), d <- (b); e stands alone; c is proposed again by its own child.

    Scores: s1 .01, s2 .02, a .03, b .05, c .06, d unmeasured.
    """
    start = [StartingFactor("s1", "SEED(1)", 0.01), StartingFactor("s2", "SEED(2)", 0.02)]
    built = [ChainStep("s1", "build", None, 0, 0.01), ChainStep("s2", "build", "s1", 0, 0.02)]
    ledger.start_run(RUN, start=start, steps=built)
    rounds = [
        [proposed(0, "a", 0.03, ("s1",), "p1", admitted=True), proposed(1, "e", 0.01, (), "p1", gate="training")],
        [proposed(0, "b", 0.05, ("a", "s2"), "p2", admitted=True)],
        [proposed(0, "c", 0.06, ("b", "a"), "p3", admitted=True), proposed(1, "d", None, ("b",), "p3", gate="size")],
        # A repetition of `a`, said to descend from its own grandchild: by name a cycle, by rows none.
        [proposed(0, "a", None, ("c",), "p4", gate="duplicate"), proposed(1, "f", 0.02, ("a", "gone"), "p4")],
    ]
    steps = [
        [ChainStep("a", "extend", "s2", 0, 0.03)],
        [ChainStep("b", "split", "s1", 1, 0.05)],
        [ChainStep("c", "split", "b", 2, 0.06)],
        [],
    ]
    for number, (candidates, grown) in enumerate(zip(rounds, steps, strict=True), 1):
        exchange = ExchangeRecord((f"p{number}",))
        ledger.commit_round(RUN, number, candidates, exchange=exchange, steps=grown, state={})
    return Lineage(ledger, "run")


@pytest.fixture
def lineage(tmp_path: Path) -> Any:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        yield family(ledger)


def check_family(lineage: Lineage) -> None:
    """Every question on `family`; the PostgreSQL tests ask the same."""
    kin = lineage.ancestors("c")
    assert [(k.distance, k.fingerprint) for k in kin] == [(0, "c"), (1, "b"), (1, "a"), (2, "s1"), (2, "s2")]
    assert [k.expression for k in kin] == ["CANON(c)", "CANON(b)", "CANON(a)", "SEED(1)", "SEED(2)"]
    assert kin[1].parents == ("a", "s2")
    assert (kin[1].score, kin[1].round, kin[1].prompt_hash, kin[1].data_hash) == (0.05, 2, "p2", "data")
    assert [k.fingerprint for k in lineage.ancestors("s1")] == ["s1"]

    # From b the stronger parent is a (.03) rather than the seed s2 (.02).
    assert [k.fingerprint for k in lineage.path("c")] == ["s1", "a", "b", "c"]
    assert [k.distance for k in lineage.path("c")] == [3, 2, 1, 0]
    assert [k.fingerprint for k in lineage.path("d")] == ["s1", "a", "b", "d"]
    assert [k.fingerprint for k in lineage.path("e")] == ["e"]
    # A parent that no table knows keeps its name.
    assert {k.fingerprint for k in lineage.ancestors("f")} == {"f", "a", "gone", "s1"}

    led = lineage.descendants(prompt_hash="p1")
    assert [(k.distance, k.fingerprint) for k in led] == [
        *((0, "a"), (0, "e"), (1, "b"), (1, "c"), (1, "f"), (2, "d"), (2, "a"))
    ]
    assert [k.fingerprint for k in lineage.descendants(round_number=3)] == ["c", "d", "a"]

    chains = lineage.chains()
    assert [(p.chain, p.branched_from, [m.fingerprint for m in p.links]) for p in chains] == [
        (0, None, ["s1", "s2", "a"]),
        (1, 0, ["s1", "b"]),
        (2, 1, ["s1", "b", "c"]),
    ]
    assert [(m.action, m.round, m.prompt_hash) for m in chains[2].links] == [
        *(("build", 0, None), ("split", 2, "p2"), ("split", 3, "p3"))
    ]

    assert lineage.find("best") == "c"
    assert lineage.find("CANON(b)") == lineage.find("text of b") == "b"
    assert lineage.find("SEED(2)") == "s2"
    with pytest.raises(StoreError, match=r"no factor 'CANON\(x\)'; did you mean CANON\(.\)\?"):
        lineage.find("CANON(x)")
    with pytest.raises(StoreError, match="'s' is the beginning of 2 factors"):
        lineage.find("s")
    with pytest.raises(StoreError, match="no factor 'zzz'"):
        lineage.ancestors("zzz")
    with pytest.raises(StoreError, match="no candidate of prompt 'p9'"):
        lineage.descendants(prompt_hash="p9")


def test_every_question_of_a_hand_made_family(lineage: Lineage) -> None:
    check_family(lineage)


def test_a_damaged_store_with_a_cycle_ends_all_the_same(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        lineage = family(ledger)
        with ledger.transaction(write=True) as c:
            p, t = schema.parents, schema.candidates
            last = c.execute(sa.select(sa.func.max(t.c.id))).scalar()
            c.execute(p.update().where(p.c.parent_fingerprint == "s1").values(parent_id=last))
            c.execute(
                schema.chain_steps.update()
                .where(schema.chain_steps.c.fingerprint == "s1")
                .values(parent_fingerprint="a")
            )
        assert {k.fingerprint for k in lineage.ancestors("c")} >= {"a", "b", "c"}
        assert lineage.path("c")[-1].fingerprint == "c"
        assert [p.chain for p in lineage.chains()] == [0, 1, 2]
        assert lineage.descendants(prompt_hash="p1")


@pytest.mark.timeout(120)  # seconds; one query a row would take many minutes
def test_tens_of_thousands_of_rows_are_answered_by_few_queries(tmp_path: Path) -> None:
    rng, rounds, each = random.Random(0), 40, 500
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        ledger.start_run(RUN, start=[StartingFactor("s", "SEED", 0.01)])
        names = ["s"]
        for number in range(1, rounds + 1):
            batch = []
            for i in range(each):
                parents = tuple(dict.fromkeys(rng.choices(names[-2 * each :], k=2)))
                batch.append(proposed(i, f"f{number}-{i}", rng.random(), parents, f"p{number}"))
            steps = [ChainStep(f"f{number}-0", "extend", f"f{number - 1}-0" if number > 1 else None, 0)]
            ledger.commit_round(RUN, number, batch, exchange=ExchangeRecord(), steps=steps, state={})
            names += [b.fingerprint or "" for b in batch]
        lineage = Lineage(ledger, "run")
        ancestors = lineage.ancestors(f"f{rounds}-7")
        path = lineage.path(f"f{rounds}-7")
        led = lineage.descendants(prompt_hash="p1")
        chain = lineage.chains()[0]
    assert len(ancestors) > 5_000
    assert len({k.fingerprint for k in ancestors}) == len(ancestors)
    assert path[0].fingerprint == "s"
    assert all(a.fingerprint in b.parents for a, b in pairwise(path))
    assert len(led) > 15_000
    assert len(chain.links) == rounds

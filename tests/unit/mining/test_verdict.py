"""The verdict: what counts as tried, what holds, what a test may still claim, and that the words follow the figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.prior_runs import PriorRuns, earlier_runs
from fama_fast.ledger.records import CandidateRecord, ExchangeRecord, RunRecord
from fama_fast.library.factor import Factor
from fama_fast.mining.verdict.control import Control
from fama_fast.mining.verdict.findings import Evidence, Status, Verdict
from fama_fast.mining.verdict.verdict import conclude, judge_factors, one_sided, spent_level


def figures(t: float, rank_ic: float = 0.03, icir: float = 0.2) -> dict[str, float]:
    return {"rank_ic": math.copysign(rank_ic, t), "rank_ic_t": t, "rank_icir": math.copysign(icir, t)}


def factor(name: str, rank_ic: float = 0.03) -> Factor:
    return Factor(name, name, name, {"train": {"rank_ic": rank_ic}})


def screened(n: int, start: int = 0) -> list[tuple[str | None, Any]]:
    return [(f"s{start + i}", {"screen": {"rank_ic": 0.0}}) for i in range(n)]


def test_a_candidate_that_left_early_counts_as_tried() -> None:
    one = ("a", {"train": figures(6.0), "valid": figures(3.6)})
    alone, tried = judge_factors([factor("a")], [one], 0.05)
    assert (alone[0].holds, tried.here, tried.total) == (True, 1, 1)
    assert alone[0].valid_p == pytest.approx(one_sided(3.6))
    many, tried = judge_factors([factor("a")], [one, *screened(999)], 0.05)
    assert (many[0].holds, tried.here) == (False, 1000)
    assert many[0].valid_p == pytest.approx(1000 * one_sided(3.6))
    unread: tuple[str | None, Any] = (None, {})
    assert judge_factors([factor("a")], [one, unread], 0.05)[1].here == 1


def test_earlier_runs_buy_no_free_shots() -> None:
    one = ("a", {"train": figures(6.0), "valid": figures(3.6)})
    first, _ = judge_factors([factor("a")], [one, *screened(99)], 0.05)
    assert first[0].holds
    again, tried = judge_factors([factor("a")], [one, *screened(99)], 0.05, elsewhere={f"e{i}" for i in range(501)})
    assert (tried.here, tried.elsewhere) == (100, 501)
    assert not again[0].holds


def test_what_a_run_measured_itself_is_not_counted_twice() -> None:
    rows = [
        {"fingerprint": "a", "canonical": "A", "extra": {}, "scores": {"train": figures(1.0)}},
        # Training turned it round here, and perhaps there: what was proposed is the same.
        {
            "fingerprint": "-b",
            "canonical": "-B",
            "extra": {"as_proposed": {"fingerprint": "b", "canonical": "B"}},
            "scores": {"screen": {"rank_ic": 0.0}},
        },
        {"fingerprint": "c", "canonical": "C", "extra": None, "scores": {}},
    ]
    assert PriorRuns(frozenset("abcd")).not_among(rows) == {"c", "d"}


def test_validation_must_agree_with_training() -> None:
    against = ("a", {"train": figures(6.0), "valid": figures(-4.0)})
    judged, _ = judge_factors([factor("a")], [against], 0.05)
    assert judged[0].valid_t == -4.0
    assert not judged[0].holds
    agrees = ("a", {"train": figures(6.0), "valid": figures(4.0)})
    assert judge_factors([factor("a")], [agrees], 0.05)[0][0].holds
    unknown = ("a", {"train": figures(6.0), "valid": {}})
    assert not judge_factors([factor("a")], [unknown], 0.05)[0][0].holds


def test_the_spread_of_sharpe_ratios_is_that_of_the_trials() -> None:
    rows: list[tuple[str | None, Any]] = [
        ("a", {"train": figures(6.0), "valid": figures(4.0, icir=0.3)}),
        ("b", {"train": figures(6.0), "valid": figures(4.0, icir=0.1)}),
        ("c", {"train": figures(1.0), "valid": figures(-1.0, icir=0.1)}),
    ]
    assert judge_factors([], rows, 0.05)[1].sharpe_variance == pytest.approx(np.var([0.3, 0.1, -0.1], ddof=1))
    assert math.isnan(judge_factors([], rows[:1], 0.05)[1].sharpe_variance)


def test_fdr_on_noise_is_what_it_says() -> None:
    """Many worthless candidates, the best by training taken in: none may hold more often than the level."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        t = rng.normal(size=(300, 2))
        t[:, 0] = np.abs(t[:, 0])
        rows: list[tuple[str | None, Any]] = [
            (str(i), {"train": figures(a), "valid": figures(b)}) for i, (a, b) in enumerate(t)
        ]
        best = [factor(str(i)) for i in np.argsort(-t[:, 0])[:20]]
        wrong += any(f.holds for f in judge_factors(best, rows, 0.05)[0])
    assert wrong <= 4


def test_levels_of_all_openings_together_are_the_level() -> None:
    levels = [spent_level(0.05, k) for k in range(10_000)]
    assert levels[0] == 0.025
    assert levels == sorted(levels, reverse=True)
    assert sum(levels) == pytest.approx(0.05, rel=1e-3)


def test_the_same_set_of_factors_is_the_same_test() -> None:
    before = PriorRuns(tested=(frozenset("ab"), frozenset("ab"), frozenset("c")))
    assert before.openings({"a", "b"}) == 1
    assert before.openings({"d"}) == 2


def run_in(
    ledger: Ledger, name: str, data: str, *fingerprints: str, tested: tuple[str, ...] | None = None
) -> RunRecord:
    run = RunRecord(name, "memory", data, 1, "evolve", {}, "0", started_at=f"2020-01-01T00:00:0{name[-1]}", state={})
    ledger.start_run(run)
    rows = [
        CandidateRecord(i, f"RANK(CLOSE) + {i}", "evolve", "C", f, gate="training", scores={"train": figures(1.0)})
        for i, f in enumerate(fingerprints)
    ]
    rows.append(CandidateRecord(len(rows), "RANK(", "evolve", gate="parse"))
    ledger.commit_round(run, 1, rows, exchange=ExchangeRecord(), state={})
    if tested is not None:
        ledger.open_test(run)
        if tested:
            scores = {f: {"test": {"rank_ic": 0.1}} for f in (*tested, "pool")}
            ledger.finish_run(name, verdict={}, summary={}, scores=scores)
    return run


def check_earlier_runs(ledger: Ledger) -> None:
    """On any database: candidates of runs begun before, and every test that was opened."""
    run_in(ledger, "r1", "d", "a", "b", tested=("a",))
    run_in(ledger, "r2", "d", "b", "c", tested=())  # killed with its test open
    run_in(ledger, "r3", "other data", "z", tested=("z",))
    run = run_in(ledger, "r4", "d", "c", "e")
    run_in(ledger, "r5", "d", "later", tested=("f",))
    found = earlier_runs(ledger, run)
    assert found.measured == {"a", "b", "c"}
    assert set(found.tested) == {frozenset({"a"}), frozenset({"run r2"}), frozenset({"f"})}
    assert found.openings({"a"}) == 2
    assert found.openings({"e"}) == 3


def test_the_ledger_tells_what_other_runs_did_with_the_same_data(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        check_earlier_runs(ledger)


def pool(rank_ic: float, t: float) -> Evidence:
    return Evidence({"rank_ic": rank_ic, "rank_ic_t": t}, {}, (rank_ic - 0.01, rank_ic + 0.01), one_sided(t), 0.97)


def ended(test_t: float | None, *, control: Control | None = None, openings: int = 0) -> Verdict:
    rows: list[tuple[str | None, Any]] = [("a", {"train": figures(6.0), "valid": figures(5.0)}), *screened(50)]
    judged, tried = judge_factors([factor("a")], rows, 0.05)
    test = {} if test_t is None else {"a": figures(test_t, 0.012), "pool": figures(test_t, 0.012)}
    return conclude(
        judged if test_t is not None else [],
        tried,
        level=0.05,
        test_level=spent_level(0.05, openings),
        openings=openings,
        factors={"a": factor("a")},
        test=test,
        valid=pool(0.03, 5.0),
        tested=None if test_t is None else pool(math.copysign(0.012, test_t), test_t),
        control=control,
    )


def test_found_says_how_sure_and_how_much_was_lost() -> None:
    control = Control(51, 4, 0.02, 0.01, {"rank_ic": 0.011}, {"rank_ic": 0.004}, (0.005, 0.03), (0.01, -0.02), 1 / 3)
    verdict = ended(4.0, control=control)
    assert (verdict.status, verdict.exit_code) == (Status.FOUND, 0)
    assert verdict.headline.startswith("found: 1 of 1 new factors holds on validation and the test agrees (pool")
    assert "95% interval +0.0020 to +0.0220" in verdict.headline
    words = "\n".join(verdict.statements)
    assert "51 different candidates were measured" in words
    assert "more than the luck of 51 trials: 0.97" in words
    assert "Of 51 random formulas of the same sizes 4 passed" in words
    assert "The run's pool is better on validation" in words
    assert "shuffled labels 2 times, the pool reached at most +0.0100 on validation against +0.0300 (p 0.33)" in words
    assert "the random formulas' pool +0.0040" in words
    assert "kept 40% of their RankIC: less than half" in words
    assert verdict.shrinkage == pytest.approx(0.4)
    assert verdict.as_dict()["control"]["random_formulas"]["admitted"] == 4


@pytest.mark.parametrize(("t", "word"), [(1.0, "does not confirm"), (-3.0, "contradicts")])
def test_a_test_that_does_not_agree_is_not_a_find(t: float, word: str) -> None:
    verdict = ended(t)
    assert (verdict.status, verdict.exit_code) == (Status.NOT_CONFIRMED, 1)
    assert f"but the test {word}" in verdict.headline


def test_later_openings_need_more() -> None:
    assert ended(2.1).status is Status.FOUND
    late = ended(2.1, openings=3)
    assert late.status is Status.NOT_CONFIRMED
    assert "after 3 other openings on these data" in "\n".join(late.statements)


def test_nothing_found_leaves_the_test_closed() -> None:
    verdict = ended(None)
    assert (verdict.status, verdict.exit_code, verdict.shrinkage) == (Status.NOTHING_FOUND, 1, None)
    assert verdict.headline == "nothing found: no candidate of 51 passed the gates"
    assert not any("test split" in s for s in verdict.statements)


def test_a_random_control_that_admits_nothing_is_said_too() -> None:
    assert (
        "Of 51 random formulas of the same sizes none passed the same gates."
        in ended(4.0, control=Control(51)).statements
    )

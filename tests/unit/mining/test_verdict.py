"""The verdict: what counts as tried, what holds, what a test may still claim, and that the words follow the figures."""

from __future__ import annotations

import math
from dataclasses import replace
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
from fama_fast.mining.verdict.luck import Luck
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


def test_the_objective_s_t_decides_where_scores_have_one() -> None:
    both = {**figures(1.0), "objective": 0.001, "objective_t": 6.0}
    rows: list[tuple[str | None, Any]] = [("a", {"train": both, "valid": both}), ("b", {"train": figures(6.0)})]
    judged, _ = judge_factors([factor("a"), factor("b")], rows, 0.05)
    assert [(f.train_t, f.holds) for f in judged] == [(6.0, True), (6.0, False)]


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


def pool(rank_ic: float, t: float, spread: tuple[float, float] = (0.0001, 0.0021)) -> Evidence:
    scores = {"rank_ic": rank_ic, "rank_ic_t": t, "spread": sum(spread) / 2, "net": sum(spread) / 2 - 0.0005}
    interval = (rank_ic - 0.01, rank_ic + 0.01)
    return Evidence(scores, {}, interval, one_sided(t), 0.97, spread_interval=spread)


LUCK = Luck(51, 51, 0.01, 0.02, 0.03, 0.125, 12, 20.5)


def ended(
    test_t: float | None,
    *,
    control: Control | None = None,
    openings: int = 0,
    spread: tuple[float, float] = (0.0001, 0.0021),
    could_show: dict[str, float] | None = None,
    admitted: bool = True,
    valid_spread: tuple[float, float] = (0.0001, 0.0021),
) -> Verdict:
    rows: list[tuple[str | None, Any]] = [("a", {"train": figures(6.0), "valid": figures(5.0)}), *screened(50)]
    judged, tried = judge_factors([factor("a")], rows, 0.05)
    test = {} if test_t is None else {"a": figures(test_t, 0.012), "pool": figures(test_t, 0.012)}
    return conclude(
        judged if admitted and test_t is not None else [],
        tried,
        level=0.05,
        test_level=spent_level(0.05, openings),
        openings=openings,
        factors={"a": factor("a")},
        test=test,
        valid=pool(0.03, 5.0, valid_spread),
        tested=None if test_t is None else pool(math.copysign(0.012, test_t), test_t, spread),
        control=control,
        luck=LUCK,
        could_show=could_show,
    )


BETTER = Control(
    51, 4, 0.02, 0.01, 1, 1, {"rank_ic": 0.011}, {"rank_ic": 0.004}, {"rank_ic": 0.03}, {"rank_ic": 0.012},
    (0.005, 0.03), (0.0001, 0.0003), 12, (0.01, -0.02), 1 / 3,
)  # fmt: skip


def test_found_says_how_sure_and_how_much_was_lost() -> None:
    verdict = ended(4.0, control=BETTER)
    assert (verdict.status, verdict.exit_code) == (Status.FOUND, 0)
    assert verdict.headline == (
        "found: 1 of 1 new factors holds on validation and the test agrees and pays (pool on the test split: RankIC "
        "+0.0120, 95% interval +0.0020 to +0.0220, t +4.00, spread +11.0 bp a day, 95% interval +1.0 to +21.0; 1 of 1 "
        "in the same direction). On validation it is better than 1 random formula chosen by the same rule."
    )
    words = "\n".join(verdict.statements)
    assert "51 different candidates were measured" in words
    assert "the Sharpe ratio of its spread is more than the luck of 12 independent trials: 0.97" in words
    assert "The best of 51 candidates on validation is luck with p 0.01 (Reality Check), 0.02 (SPA), 0.03" in words
    assert "probability that choosing the best overfits: 0.12" in words
    assert "Of 51 random formulas of the same sizes 4 passed" in words
    assert "(1 of them for their training score), has RankIC +0.0110 on validation, the run's +0.0300" in words
    assert "The run's pool is better on validation (95% interval of the difference, over dates and 12 draws" in words
    assert "of the spread +1.0 to +3.0 bp a day" in words
    assert "shuffled labels 2 times, the pool reached at most +0.0100 on validation against +0.0300 (p 0.33)" in words
    assert "the random formulas' pool +0.0040, the run's of that number +0.0120" in words
    assert "net +6.0 bp a day" in words
    assert "kept 40% of their RankIC: less than half" in words
    assert verdict.shrinkage == pytest.approx(0.4)
    assert verdict.as_dict()["control"]["random_formulas"]["admitted"] == 4
    assert verdict.as_dict()["pool"]["test"]["spread_interval"] == [0.0001, 0.0021]
    assert verdict.as_dict()["luck"]["spa_p"] == 0.02


@pytest.mark.parametrize(("t", "word"), [(1.0, "does not confirm"), (-3.0, "contradicts")])
def test_a_test_that_does_not_agree_is_not_a_find(t: float, word: str) -> None:
    verdict = ended(t, control=BETTER)
    assert (verdict.status, verdict.exit_code) == (Status.NOT_CONFIRMED, 1)
    assert f"but the test {word}" in verdict.headline


@pytest.mark.parametrize("spread", [(-0.0002, 0.001), (-0.002, -0.001), (0.0, 0.001), (math.nan, math.nan)])
def test_what_ranks_but_earns_nothing_is_not_a_find(spread: tuple[float, float]) -> None:
    verdict = ended(6.0, control=BETTER, spread=spread)
    assert (verdict.status, verdict.exit_code) == (Status.DOES_NOT_PAY, 1)
    assert verdict.headline.startswith("ranks, but does not pay: 1 of 1 new factors holds on validation and the test")
    assert "its spread is not above zero" in verdict.headline


def test_it_must_pay_on_validation_too() -> None:
    verdict = ended(6.0, control=BETTER, valid_spread=(-0.0001, 0.0005))
    assert verdict.status is Status.DOES_NOT_PAY
    assert "its spread on validation is not above zero" in verdict.headline
    assert verdict.headline.endswith("spread +2.0 bp a day, 95% interval -1.0 to +5.0 on validation)")


@pytest.mark.parametrize(
    ("gain", "word"), [((-0.01, 0.02), "do as well"), ((-0.03, -0.01), "do better"), ((), "do as well")]
)
def test_what_random_formulas_do_as_well_is_no_find_of_the_search(gain: tuple[float, ...], word: str) -> None:
    verdict = ended(6.0, control=replace(BETTER, gain=gain))
    assert (verdict.status, verdict.exit_code) == (Status.NOT_BETTER, 1)
    assert verdict.headline.startswith("found, but no better than random formulas: 1 of 1")
    assert f"chosen by the same rule {word}" in verdict.headline


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


def test_nothing_found_says_what_could_have_been() -> None:
    verdict = ended(None, could_show={"rank_ic": 0.0213, "spread": 0.00141})
    assert verdict.headline.endswith(
        "gates. With 80% power this panel and so many trials could have shown a RankIC of 0.0213 or a spread of 14.1 "
        "bp a day."
    )
    assert verdict.as_dict()["could_have_shown"] == {"rank_ic": 0.0213, "spread": 0.00141}


def test_a_find_that_was_not_compared_says_so() -> None:
    assert ended(4.0).headline.endswith(". It was not compared with random formulas.")
    none = ended(4.0, control=Control(51))
    assert none.status is Status.FOUND
    assert none.headline.endswith(". Of the random formulas none passed the gates.")
    assert "Of 51 random formulas of the same sizes none passed the same gates." in none.statements


@pytest.mark.parametrize("status", ["found", "not confirmed", "nothing found"])
def test_headlines_are_two_sentences_at_most(status: str) -> None:
    verdicts = [ended(4.0, control=BETTER), ended(1.0, control=BETTER), ended(None, could_show={"spread": 0.001})]
    headline = next(v for v in verdicts if v.status.value == status).headline
    assert headline.startswith(f"{status}: ")
    assert headline.count(". ") <= 1
    assert "\n" not in headline

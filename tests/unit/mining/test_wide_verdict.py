"""What the verdict says of a wide pool: when it goes to the test, what it earns there, and that runs on noise claim
nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.evaluation.mean_tests import studentised_interval
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.prior_runs import earlier_runs
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.wide_filling import measure_again
from fama_fast.mining.run.wide_judgement import wide_control, wide_findings
from fama_fast.mining.verdict.control import Control, WideControl
from fama_fast.mining.verdict.document import read_document
from fama_fast.mining.verdict.findings import Status, Verdict, WidePoolFindings
from fama_fast.mining.verdict.results import measure_rows
from fama_fast.mining.verdict.verdict import conclude, judge_factors, one_sided
from fama_fast.panel import Panel
from tests.unit.mining.test_verdict import BETTER, factor, figures, pool, screened
from tests.unit.mining.test_wide_pool import SIGNAL, TEXTS, filled


def wide(valid_t: float, test_t: float | None, spread: tuple[float, float] = (0.0001, 0.0021)) -> WidePoolFindings:
    test = None if test_t is None else pool(0.05, test_t, spread)
    return WidePoolFindings(1234, 34, 0.1, 1.0, 0.047, 0.008, pool(0.06, valid_t), 0.01, test)


def ended(of: WidePoolFindings | None, control: Control | None = None, factor_t: float | None = None) -> Verdict:
    """The verdict of a run with this wide pool, whose one factor holds and has this t on the test, or does not hold."""
    rows: list[tuple[str | None, Any]] = [("a", {"train": figures(6.0), "valid": figures(5.0)}), *screened(50)]
    judged, tried = judge_factors([factor("a")], rows, 0.05)
    return conclude(
        judged if factor_t is not None else [replace(judged[0], holds=False)],
        tried,
        level=0.05,
        test_level=0.05,
        factors={"a": factor("a")},
        test={} if factor_t is None else {"a": figures(factor_t)},
        valid=pool(0.03, 5.0),
        tested=None if factor_t is None else pool(0.02, factor_t),
        control=control,
        wide=of,
    )


RANDOM = WideControl(1200, {"rank_ic": 0.04}, {"rank_ic": 0.06}, (0.004, 0.03), (0.0001, 0.0003))


@pytest.mark.parametrize(
    ("of", "control", "status"),
    [
        (wide(5.0, 4.0), replace(BETTER, wide=RANDOM), Status.FOUND),
        (wide(5.0, 4.0), None, Status.FOUND),
        (wide(5.0, 4.0), replace(BETTER, wide=replace(RANDOM, gain=(-0.01, 0.03))), Status.NOT_BETTER),
        (wide(5.0, 4.0), replace(BETTER, wide=replace(RANDOM, gain=())), Status.NOT_BETTER),
        (wide(5.0, 4.0), replace(BETTER, wide=WideControl(0)), Status.FOUND),
        (wide(5.0, 4.0, (-0.0001, 0.002)), replace(BETTER, wide=RANDOM), Status.DOES_NOT_PAY),
        (wide(5.0, 1.0), replace(BETTER, wide=RANDOM), Status.NOT_CONFIRMED),
        (wide(2.3, 4.0), replace(BETTER, wide=RANDOM), Status.NOTHING_FOUND),  # one-sided p .0107
        (replace(wide(5.0, 4.0), seeds=1234), None, Status.NOTHING_FOUND),  # all of it was known before
        (None, BETTER, Status.NOTHING_FOUND),
    ],
)
def test_a_wide_pool_earns_the_five_endings(of: Any, control: Any, status: Status) -> None:
    verdict = ended(of, control)
    assert verdict.status is status
    assert verdict.headline.startswith(status.value)
    assert ("wide pool" in verdict.headline) is (status is not Status.NOTHING_FOUND)
    assert any(s.startswith("The wide pool of 1,234") for s in verdict.statements) is (of is not None)


def test_the_better_of_the_two_pools_counts_and_both_have_half_of_the_level() -> None:
    found = ended(wide(5.0, 1.0), BETTER, factor_t=4.0)
    assert (found.status, found.test_level) == (Status.FOUND, 0.025)
    assert found.headline.startswith("found: 1 of 1 new factors holds")
    better = ended(wide(5.0, 4.0), replace(BETTER, wide=RANDOM), factor_t=1.0)
    assert better.status is Status.FOUND
    assert better.headline == (
        "found: the wide pool of 1,234 formulas (34 of them known before) holds on validation and the test agrees and "
        "pays (on the test split: RankIC +0.0500, 95% interval +0.0400 to +0.0600, t +4.00, spread +11.0 bp a day, 95% "
        "interval +1.0 to +21.0). On validation it is better than as many random formulas, pooled alike (1200)."
    )
    # One-sided p of t = 1.8 is .036: enough alone, not beside another.
    assert ended(wide(1.0, 4.0), BETTER, factor_t=1.8).status is Status.FOUND
    assert ended(wide(5.0, 1.0), BETTER, factor_t=1.8).status is Status.NOT_CONFIRMED
    assert 0.025 < one_sided(1.8) < 0.05


def test_the_sentence_has_what_was_expected_found_and_what_random_formulas_have() -> None:
    words = "\n".join(ended(wide(5.0, 4.0), replace(BETTER, wide=RANDOM)).statements)
    assert (
        "The wide pool of 1,234 formulas (34 of them known before) has RankIC +0.0600, 95% interval +0.0500 to "
        "+0.0700, t +5.00 and spread +11.0 bp a day, 95% interval +1.0 to +21.0 on validation, one-sided p 2.9e-07 "
        "(expected, counted as a RankIC: +0.0470, standard error 0.0080); refitted, RankIC +0.0500" in words
    )
    assert "(level 0.05), spread +11.0 bp a day, 95% interval +1.0 to +21.0, net +6.0 bp a day" in words
    assert (
        "1,200 random formulas pooled alike have RankIC +0.0400 on validation, as many of the run's +0.0600 (95% "
        "interval of the difference over dates: +0.0040 to +0.0300)" in words
    )
    assert "on the test they" not in words
    tested = replace(
        RANDOM,
        pool_test={"rank_ic": 0.03},
        own_test={"rank_ic": 0.05},
        test_gain=(-0.001, 0.04),
        test_spread_gain=(-0.0001, 0.0003),
    )
    words = "\n".join(ended(wide(5.0, 4.0), replace(BETTER, wide=tested)).statements)
    assert (
        "on the test they have +0.0300, the run's +0.0500 (difference -0.0010 to +0.0400, of the spread -1.0 to +3.0 "
        "bp a day)" in words
    )


def settings(folder: Path, **rest: Any) -> dict[str, Any]:
    run = {"rounds": 3, "candidates": 30, "seed": 1, "threads": 1, **rest.pop("run", {})}
    return {"paths": {"output_dir": str(folder)}, "run": run, "k": 5, "l": 3, "racing": {"enabled": False}, **rest}


def market_of(seed: int, *signals: PlantedSignal) -> Panel:
    return simulate(SimulationSpec(n_symbols=60, n_dates=500, seed=seed, signals=signals))


def test_a_planted_signal_is_in_the_wide_pool_and_the_record(tmp_path: Path) -> None:
    panel = market_of(3, PlantedSignal(SIGNAL, 0.12))
    result = mine(settings(tmp_path), panel=panel)
    found = result.verdict.wide
    assert found is not None
    assert found.stands
    assert found.formulas > found.seeds > 0
    assert found.valid.level > 0.05
    assert found.test is not None
    assert found.test.level > 0.05
    assert 0.03 < found.expected < 0.2
    control = result.verdict.control.wide
    assert control is not None
    assert 0 < control.formulas <= found.formulas - found.seeds
    own, random = control.own_test["rank_ic"], control.pool_test["rank_ic"]
    assert min(own, random) > 0.03  # so strong a signal is in any ninety formulas
    assert control.test_gain[0] < own - random < control.test_gain[1]
    assert len(control.test_gain) == len(control.test_spread_gain) == 2
    if control.formulas == found.formulas - found.seeds:
        assert control.own_test == found.test.scores
    document = result.to_dict()
    read, _ = read_document(document, "run")
    assert read["verdict"]["wide"] == document["verdict"]["wide"]
    assert document["verdict"]["wide"]["valid"]["weights"] == {}
    shown = [(row["split"], row["expression"]) for row in measure_rows(document)]
    assert shown[:2] == [("valid", "the wide pool"), ("test", "the wide pool")]
    without = {**document, "verdict": {k: v for k, v in document["verdict"].items() if k != "wide"}}
    read_document(without, "run of an earlier version")
    with Ledger.open(tmp_path / "ledger.sqlite", create=False) as ledger:
        stored = ledger.results(result.run_id)
        rows = ledger.candidates(result.run_id)
        run = ledger.get_run("last")
        tested = earlier_runs(ledger, replace(run, id="another")).tested
    weights = {name: scores["wide"]["weight"] for name, scores in stored.items() if "wide" in scores}
    assert len(weights) == found.formulas
    assert any(weights.values())
    measured = {r["fingerprint"] for r in rows if "train" in r["scores"]}
    assert len(set(weights) - measured) == found.seeds
    (name,) = [name for name in stored if name.startswith("wide:")]
    assert stored[name]["test"]["rank_ic"] == found.test.scores["rank_ic"]
    listed = [f.fingerprint for f in result.factors] if result.verdict.holding else []
    assert tested == (frozenset({name, *listed}),)


def test_on_noise_nothing_is_claimed_and_the_test_stays_closed_as_often_as_the_level_says(tmp_path: Path) -> None:
    opened = 0
    for seed in range(50, 58):
        place = tmp_path / str(seed)
        result = mine(settings(place, control={"random": False}), panel=market_of(seed))
        assert result.verdict.status in (Status.NOTHING_FOUND, Status.NOT_CONFIRMED)
        found = result.verdict.wide
        assert found is not None
        if found.stands:
            opened += 1
            continue
        assert found.test is None
        assert result.test == {}
        with Ledger.open(place / "ledger.sqlite", create=False) as ledger:
            assert ledger.get_run("last").test_opened_at is None
            assert all("test" not in scores for scores in ledger.results(result.run_id).values())
    # Two of eight or more are what a level of .01 gives in 3 of 1,000 sets of markets.
    assert opened <= 1


def test_a_run_without_a_wide_pool_says_nothing_of_one(tmp_path: Path) -> None:
    panel = market_of(3, PlantedSignal(SIGNAL, 0.12))
    result = mine(settings(tmp_path, wide={"enabled": False}, run={"rounds": 1}), panel=panel)
    assert result.verdict.wide is None
    assert result.verdict.control.wide is None
    assert "wide" not in result.to_dict()["verdict"]
    assert not any("wide pool" in s for s in result.verdict.statements)


@pytest.fixture(scope="module")
def market() -> Market:
    panel = simulate(SimulationSpec(n_symbols=40, n_dates=300, seed=4, signals=(PlantedSignal(SIGNAL, 0.2),)))
    return Market(panel, config_from_dict({"run": {"seed": 1, "threads": 1}, "splits": {"horizon": 2}}))


def test_pools_of_as_many_formulas_are_compared(market: Market) -> None:
    ours, theirs = filled(market), filled(market, ())
    measure_again(theirs, market, ["HIGH - LOW", "TS_MEAN(RET, 3)"], begun_with=True)
    measure_again(theirs, market, ["RANK(OPEN / CLOSE)", "TS_RANK(RET, 9)", "TS_STDDEV(VOLUME, 9)"])
    control = wide_control(ours, theirs, market.config)
    assert control.formulas == 3
    cut = filled(market, TEXTS[:3]).judged("valid")[1]
    assert control.own_valid == cut.scores["ridge"]
    random = theirs.judged("valid")[1]
    assert control.pool_valid == random.scores["ridge"]
    difference = cut.daily["ridge"].rank_ic - random.daily["ridge"].rank_ic
    assert control.gain == studentised_interval(difference, horizon=market.horizon)
    assert control.beaten is (control.gain[0] > 0.0)
    assert wide_control(filled(market, ()), theirs, market.config).formulas == 0


def test_the_first_formulas_of_a_pool_are_the_pool_as_it_was(market: Market) -> None:
    whole, then = filled(market), filled(market, TEXTS[:3])
    cut = whole.first(then.size)
    assert cut.members == then.members
    assert cut.identity == then.identity != whole.identity
    np.testing.assert_array_equal(cut.correlations(), then.correlations())
    np.testing.assert_array_equal(cut.fit().weights, then.fit().weights)
    assert whole.first(99) is whole


def test_a_pool_of_nothing_is_none(market: Market) -> None:
    assert wide_findings(filled(market, ()), market.config) is None

"""The gates one by one: what each stops, what it says, in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from fama_fast.engine import compile as compile_alpha
from fama_fast.library.factor import Factor
from fama_fast.mining.candidate import Candidate, Member, RaceResult
from fama_fast.mining.config import GateSettings
from fama_fast.mining.library.archive import series_hash
from fama_fast.mining.library.gates import GATES, GateContext, GateCost, run_gates
from fama_fast.mining.library.view import LibraryView, subtree_sizes
from fama_fast.proposals.protocol import Proposal, Vocabulary

FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP")


@dataclass
class FakeMeasures:
    """Measures that say what the test wants."""

    covered: float = 1.0
    race_result: RaceResult | None = None
    train: dict[str, float] = field(default_factory=lambda: {"rank_ic": 0.05, "rank_ic_t": 5.0, "n_days": 100})
    series: tuple[float, ...] = (0.1, 0.0, 0.05)
    ahead: float = 9.0
    means: dict[str, float] = field(default_factory=lambda: {"rank_ic": 0.05, "ic": 0.02})

    def training(self, series: np.ndarray) -> np.ndarray:
        return series[:-2]

    def lead(self, candidate: Candidate, member: Member) -> float:
        return self.ahead


def member(text: str, score: float, vector: tuple[float, float, float], *, mined: bool = False) -> Member:
    alpha = compile_alpha(text)
    factor = Factor(text, alpha.canonical, alpha.fingerprint, scores={"train": {"rank_ic": score}})
    return Member(factor, alpha.node, np.array(vector, dtype=np.float32), mined)


# Texts here are as short as what they show: price levels are a gate of their own.
ALLOWED = {"price_level": "allow"}


def context(*members: Member, wanted: int = 5, measures: FakeMeasures | None = None, **limits: Any) -> GateContext:
    return GateContext(
        GateSettings(**{**ALLOWED, **limits}),
        Vocabulary(FIELDS),
        LibraryView(members),
        {m.factor.fingerprint: "in the library already" for m in members},
        measures or FakeMeasures(),
        wanted,
    )


def text_gate(text: str, gates: GateContext) -> Candidate:
    candidate = Candidate(0, Proposal(text))
    run_gates(candidate, GateCost.TEXT, gates)
    return candidate


def measured(text: str, gates: GateContext) -> Candidate:
    candidate = text_gate(text, gates)
    assert not candidate.stopped, candidate.reason
    measures = gates.measures
    assert isinstance(measures, FakeMeasures)
    candidate.coverage, candidate.race_result = measures.covered, measures.race_result
    run_gates(candidate, GateCost.SAMPLE, gates)
    candidate.series, candidate.scores["train"] = np.array(measures.series), measures.means | measures.train
    candidate.ranking = series_hash(candidate.series)
    candidate.vector = np.array([1.0, 0.0, 0.0], dtype=np.float32)
    run_gates(candidate, GateCost.TRAINING, gates)
    return candidate


def test_the_order_is_the_design_s() -> None:
    assert [g.name for g in GATES] == [
        "answer", "parse", "arguments", "size", "price_level", "lookback", "duplicate", "overlap", "coverage",
        "screening", "fingerprint", "training", "periods", "sign_agreement", "correlation", "admission", "quota",
    ]  # fmt: skip
    stages = [g.stage for g in GATES]
    assert stages == sorted(stages, key=list(GateCost).index)
    assert all(g.doc for g in GATES)


@pytest.mark.parametrize(
    ("text", "gate", "reason"),
    [
        ("  ", "answer", "empty"),
        ("RANK(DELTA(CLOSE, 5)", "answer", "1 closing parenthesis missing"),
        ("RANK(CLOSE) +", "answer", "it ends in '+'"),
        ("RANK(CLOSE...", "answer", "ellipsis"),
        ("RANK(CLOSE))", "parse", "line 1, column 12"),
        ("the momentum of a stock", "parse", "column"),
        ("RANK(CLOZE)", "arguments", "did you mean CLOSE?"),
        ("RNAK(CLOSE)", "arguments", "did you mean RANK?"),
        ("DELTA(CLOSE)", "arguments", "DELTA"),
        ("DELTA(CLOSE, -5)", "arguments", "DELTA"),
        ("__import__('os')", "parse", "column"),
        ("1 + 2", "size", "a constant"),
        ("TS_MEAN(CLOSE, 400)", "lookback", "needs 399 rows before today, at most 250"),
    ],
)
def test_text_gates(text: str, gate: str, reason: str) -> None:
    candidate = text_gate(text, context())
    assert (candidate.gate, reason in candidate.reason) == (gate, True), candidate.reason
    assert "\n" not in candidate.reason


def test_size_and_depth() -> None:
    assert text_gate("RANK(CLOSE) + RANK(OPEN)", context(max_nodes=4)).reason == "5 nodes, at most 4"
    assert text_gate("RANK(ABS(DELTA(CLOSE, 2)))", context(max_depth=3)).gate == "size"
    assert text_gate("+".join(["CLOSE"] * 5000), context()).gate == "size"
    assert text_gate("(" * 1000 + "CLOSE" + ")" * 1000, context()).stopped


def test_an_order_that_hangs_on_price_levels_is_refused_unless_prices_are_levels() -> None:
    assert GateSettings().price_level == "refuse"
    gates = context(price_level="refuse")
    refused = text_gate("RANK(DELTA(CLOSE, 5)) * -1", gates)
    assert refused.gate == "price_level"
    assert refused.reason == (
        "its order hangs on each symbol's price level, in RANK(DELTA(CLOSE, 5)): divide by a price of the same symbol, "
        "such as DELAY(CLOSE, 5), or take returns"
    )
    for text in ("RANK(DELTA(CLOSE, 5) / DELAY(CLOSE, 5))", "TS_RANK(CLOSE, 10)", "VOLUME"):
        assert not text_gate(text, gates).stopped, text
    assert not text_gate("RANK(DELTA(CLOSE, 5)) * -1", context(price_level="allow")).stopped
    # Its size comes first, its history after it.
    assert text_gate("CLOSE + RANK(CLOSE)", context(price_level="refuse", max_nodes=2)).gate == "size"
    assert text_gate("TS_MEAN(CLOSE, 400)", gates).gate == "price_level"


def test_a_candidate_must_be_right_in_enough_periods_of_training() -> None:
    # Three periods of two training days, the last two days are no training: means 0.1, -0.1 and NaN.
    series = (0.1, 0.1, -0.3, 0.1, math.nan, math.nan, 9.0, 9.0)
    measures = FakeMeasures(series=series)
    refused = measured("RANK(CLOSE)", context(measures=measures, periods=3, min_periods_share=0.6))
    assert (refused.gate, refused.reason) == ("periods", "above 0 in 1 of 3 training periods, at least 2")
    assert not measured("RANK(CLOSE)", context(measures=measures, periods=3, min_periods_share=0.3)).stopped
    assert not measured("RANK(CLOSE)", context(measures=measures)).stopped
    more_than_days = measured("RANK(CLOSE)", context(measures=measures, periods=20))
    assert more_than_days.reason == "above 0 in 3 of 20 training periods, at least 20"


@pytest.mark.parametrize(
    ("means", "stopped"),
    [
        ({"rank_ic": 0.05, "ic": 0.02}, False),
        ({"rank_ic": 0.05, "ic": -0.0046}, True),
        ({"rank_ic": 0.05, "ic": 0.0}, True),
        ({"rank_ic": 0.05, "ic": math.nan}, True),
        ({"rank_ic": 0.05, "ic": 0.02, "spread": 0.0003}, False),
        ({"rank_ic": 0.05, "ic": 0.02, "spread": -0.0003}, True),
    ],
)
def test_rank_ic_and_ic_must_agree_in_sign_where_that_is_asked_for(means: dict[str, float], stopped: bool) -> None:
    measures = FakeMeasures(means=means)
    candidate = measured("RANK(CLOSE)", context(measures=measures, sign_agreement=True))
    assert candidate.stopped is stopped
    if stopped:
        assert candidate.gate == "sign_agreement"
        assert candidate.reason.startswith("RankIC +0.05000, IC ")
        assert candidate.reason.endswith("in training: not of one sign")
    assert not measured("RANK(CLOSE)", context(measures=measures)).stopped


def test_duplicates_are_found_in_canonical_form() -> None:
    gates = context(member("RANK(CLOSE + OPEN)", 0.02, (0, 1, 0)))
    assert text_gate("rank(open + close)", gates).reason == "in the library already"
    assert not text_gate("RANK(HIGH - LOW)", gates).stopped
    again = text_gate("RANK((HIGH) - LOW)", gates)
    assert (again.gate, again.reason) == ("duplicate", "proposed before in this run")


def test_overlap_is_the_largest_shared_subtree() -> None:
    text = "RANK(TS_MEAN(CLOSE / OPEN, 10) / TS_STDDEV(VOLUME, 20))"
    gates = context(member(text, 0.02, (0, 1, 0)), max_overlap=0.8)
    assert subtree_sizes(compile_alpha(text).node)[compile_alpha(text).fingerprint] == 8
    nearly = text_gate(f"ABS({text})", gates)
    assert (nearly.gate, nearly.reason.startswith("8 of 9 nodes are those of RANK(")) == ("overlap", True)
    assert not text_gate("RANK(TS_MEAN(CLOSE / OPEN, 11) / TS_STDDEV(VOLUME, 20))", gates).stopped


@pytest.mark.parametrize(
    ("measures", "gate"),
    [
        (FakeMeasures(covered=0.4), "coverage"),
        (FakeMeasures(covered=math.nan), "coverage"),
        (FakeMeasures(race_result=RaceResult(0.001, 0.008, 100, 1.0, lost=True)), "screening"),
        (FakeMeasures(train={"rank_ic": 0.05, "rank_ic_t": 5.0, "n_days": 3}), "training"),
        (FakeMeasures(train={"rank_ic": 0.005, "rank_ic_t": 5.0, "n_days": 100}), "training"),
        (FakeMeasures(train={"rank_ic": -0.05, "rank_ic_t": -1.0, "n_days": 100}), "training"),
        (FakeMeasures(train={"rank_ic": math.nan, "rank_ic_t": math.nan, "n_days": 100}), "training"),
    ],
)
def test_value_gates(measures: FakeMeasures, gate: str) -> None:
    assert measured("RANK(CLOSE)", context(measures=measures)).gate == gate


def test_who_came_through_the_race_goes_on() -> None:
    candidate = measured(
        "RANK(CLOSE)", context(measures=FakeMeasures(race_result=RaceResult(0.02, 0.01, 99, 1.0, lost=False)))
    )
    assert not candidate.stopped
    assert candidate.scores["screen"] == {"rank_ic": 0.02, "margin": 0.01, "n_days": 99}


def test_provably_equal_rankings_are_duplicates() -> None:
    gates = context()
    assert not text_gate("CLOSE / OPEN", gates).stopped
    for same in ("RANK(CLOSE / OPEN)", "2 * (CLOSE / OPEN)", "RANK(CLOSE / OPEN) * -1", "Z_SCORE(CLOSE / OPEN)"):
        assert text_gate(same, gates).gate == "duplicate", same
    assert not text_gate("RANK(OPEN / LOW)", gates).stopped


def test_equal_values_are_found_by_their_daily_rank_ic() -> None:
    gates = context(measures=FakeMeasures(series=(0.02, math.nan, -0.1)))
    assert not measured("RANK(CLOSE)", gates).stopped
    gates.measures = FakeMeasures(series=(-0.02, math.nan, 0.1))  # the other way round
    assert measured("RANK(OPEN)", gates).gate == "fingerprint"
    gates.measures = FakeMeasures(series=(0.02, 0.3, -0.1))
    assert not measured("RANK(HIGH)", gates).stopped


def test_a_candidate_that_training_turned_is_the_negative_of_what_was_proposed() -> None:
    candidate = measured("RANK(CLOSE)", context())
    assert (candidate.oriented, candidate.fingerprint) == (candidate.compiled, candidate.compiled.fingerprint)
    candidate.sign = -1
    assert candidate.compiled.canonical == "RANK(CLOSE)"
    assert candidate.oriented.canonical == "-RANK(CLOSE)"
    assert candidate.fingerprint == compile_alpha("-RANK(CLOSE)").fingerprint
    candidate.race_result = RaceResult(0.02, 0.01, 50, 0.9, lost=False)
    run_gates(candidate, GateCost.SAMPLE, context())
    assert candidate.scores["screen"]["rank_ic"] == -0.02


def admitted(gates: GateContext, scored_coverage: float = 1.0) -> Candidate:
    candidate = measured("RANK(CLOSE)", gates)
    candidate.scored_coverage = scored_coverage
    assert not candidate.stopped
    run_gates(candidate, GateCost.ADMISSION, gates)
    return candidate


def test_what_is_far_from_the_library_goes_in() -> None:
    candidate = admitted(context(member("RANK(OPEN)", 0.09, (0.6, 0.8, 0)), member("HIGH", 0.09, (-0.7, 0, 0.71415))))
    assert (candidate.gate, candidate.replaces) == (None, ())


def test_a_rival_must_be_clearly_better() -> None:
    same = (-0.9, 0.0, 0.43589)
    weak, equal, strong = (member("RANK(OPEN)", s, same) for s in (0.02, 0.047, 0.06))
    assert admitted(context(weak)).replaces == (weak.factor.fingerprint,)
    assert admitted(context(equal)).gate == "admission"
    noisy = admitted(context(weak, measures=FakeMeasures(ahead=1.5)))
    assert (noisy.gate, noisy.reason) == ("admission", "ahead of RANK(OPEN) with t 1.50, at least 2")
    stopped = admitted(context(strong))
    assert (stopped.gate, stopped.reason) == ("correlation", "|correlation| 0.900 with RANK(OPEN), at most 0.7")


def test_a_rank_ic_over_half_of_the_symbols_is_held_against_one_over_all_for_what_it_is() -> None:
    same = (-0.9, 0.0, 0.43589)
    everyone, half = member("RANK(OPEN)", 0.042, same), replace(member("RANK(OPEN)", 0.055, same), scored_coverage=0.5)
    assert half.adjusted_score == pytest.approx(0.055 * math.sqrt(0.5))
    assert admitted(context(everyone)).replaces == (everyone.factor.fingerprint,)
    assert admitted(context(everyone), scored_coverage=0.5).gate == "correlation"
    assert admitted(context(half)).replaces == (half.factor.fingerprint,)  # .05 over all for .055 over half


def test_close_to_two_members_it_must_beat_both() -> None:
    first, second = member("RANK(OPEN)", 0.01, (0.9, 0.43, 0)), member("HIGH", 0.01, (0.8, 0, 0.6))
    better = member("LOW", 0.06, (0.8, 0, 0.6))
    assert admitted(context(first, second)).replaces == (first.factor.fingerprint, second.factor.fingerprint)
    assert admitted(context(first, better)).gate == "correlation"


def test_complexity_has_its_price() -> None:
    assert admitted(context(complexity_penalty=0.03)).gate == "admission"


def test_the_quota_lets_only_replacements_pass() -> None:
    mined = member("RANK(OPEN)", 0.02, (0, 1, 0), mined=True)
    assert admitted(context(mined, wanted=1)).gate == "quota"
    rival = member("RANK(OPEN)", 0.02, (0.9, 0.43, 0), mined=True)
    assert admitted(context(rival, wanted=1)).replaces == (rival.factor.fingerprint,)
    seed = member("RANK(LOW)", 0.02, (0.9, 0.43, 0))
    assert admitted(context(mined, seed, wanted=1)).gate == "quota"


def test_a_gate_is_added_by_adding_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    from fama_fast.mining.library import gates as module

    extra = module.Gate(
        "no_volume", GateCost.TEXT, "uses volume", lambda c, _: "volume" if "VOLUME" in c.compiled.fields else None
    )
    monkeypatch.setattr(module, "GATES", (*GATES[:5], extra, *GATES[5:]))
    assert text_gate("RANK(VOLUME)", context()).gate == "no_volume"
    assert not text_gate("RANK(CLOSE)", context()).stopped

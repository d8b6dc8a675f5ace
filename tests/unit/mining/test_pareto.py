"""Admission by several objectives: the front, who makes way, and what the figures mean."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.errors import ConfigError
from fama_fast.library.factor import Factor
from fama_fast.mining.candidate import Candidate, Member
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.library.pareto import (
    OBJECTIVES,
    crowding_distance,
    front_rows,
    matrix,
    measure,
    non_dominated_fronts,
    place,
    with_figures,
)
from fama_fast.mining.library.view import LibraryView
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.mine import mine
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Proposal
from tests.unit.mining.test_loop import Scripted

NAMES = ("rank_ic", "turnover")
SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"


def factor(name: str, rank_ic: float, turnover: float) -> Factor:
    return with_figures(Factor(name, name, name), {"rank_ic": rank_ic, "turnover": turnover})


def dominates(a: Any, b: Any) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=14))
def test_fronts_are_those_of_the_definition(rows: list[tuple[int, int, int]]) -> None:
    left, want = set(range(len(rows))), []
    while left:
        front = [i for i in sorted(left) if not any(dominates(rows[j], rows[i]) for j in left)]
        want.append(front)
        left -= set(front)
    assert non_dominated_fronts(np.array(rows, dtype=np.float64)) == want


def test_a_missing_figure_is_the_worst() -> None:
    assert non_dominated_fronts(np.array([[math.nan, 1.0], [0.0, 1.0]])) == [[1], [0]]


def test_crowding_distance_is_that_of_the_paper() -> None:
    values = np.array([[0.0, 10.0], [1.0, 6.0], [3.0, 5.0], [10.0, 0.0]])
    found = crowding_distance(values)
    assert np.isinf(found[[0, 3]]).all()
    np.testing.assert_allclose(found[1:3], [3 / 10 + 5 / 10, 9 / 10 + 6 / 10])


def test_turnover_counts_downwards() -> None:
    assert matrix([{"rank_ic": 0.02, "turnover": 0.1}], NAMES).tolist() == [[0.02, -0.1]]
    assert matrix([], NAMES).shape == (0, 2)


def test_who_joins_and_who_leaves() -> None:
    front = [factor("a", 0.03, 0.30), factor("b", 0.02, 0.10)]
    assert place(front, {"rank_ic": 0.025, "turnover": 0.2}, NAMES, 5) == (None, ())
    assert place(front, {"rank_ic": 0.03, "turnover": 0.05}, NAMES, 5) == (None, ("a", "b"))
    refused, leaving = place(front, {"rank_ic": 0.02, "turnover": 0.2}, NAMES, 5)
    assert (refused, leaving) == ("no better than b in any objective", ())


def test_a_full_front_loses_its_most_crowded_member() -> None:
    front = [factor("a", 0.04, 0.40), factor("b", 0.03, 0.30), factor("c", 0.029, 0.29), factor("d", 0.01, 0.01)]
    refused, leaving = place(front, {"rank_ic": 0.02, "turnover": 0.15}, NAMES, 4)
    assert (refused, leaving) == (None, ("b",))
    refused, _ = place(front, {"rank_ic": 0.0295, "turnover": 0.295}, NAMES, 4)
    assert refused == "the front has 4 members and this is its most crowded place"


def test_a_rival_must_be_beaten_in_every_objective() -> None:
    front = [factor("a", 0.03, 0.30)]
    better = {"rank_ic": 0.04, "turnover": 0.31}
    assert place(front, better, NAMES, 5) == (None, ())
    refused, _ = place(front, better, NAMES, 5, rivals=("a",))
    assert refused == "too close to a and not better in every objective"
    assert place(front, {"rank_ic": 0.04, "turnover": 0.3}, NAMES, 5, rivals=("a",)) == (None, ("a",))


def test_the_result_lists_the_front_by_room_around_it() -> None:
    rows = front_rows([factor("a", 0.04, 0.4), factor("b", 0.03, 0.2), factor("c", 0.01, 0.01)], NAMES)
    assert [r["fingerprint"] for r in rows] == ["a", "c", "b"]
    assert rows[0]["crowding"] is None
    assert rows[2]["objectives"] == {"rank_ic": 0.03, "turnover": 0.2}
    assert front_rows([], NAMES) == []


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate(SimulationSpec(n_symbols=40, n_dates=500, seed=4, signals=(PlantedSignal(SIGNAL, 0.15),)))


def test_the_figures_are_of_training_rows(panel: Panel) -> None:
    market = Market(panel, config_from_dict({}))
    alpha = compile_alpha(SIGNAL)
    vector = next(iter(market.vectors([alpha])))
    member = Member(Factor(SIGNAL, alpha.canonical, alpha.fingerprint), alpha.node, vector)
    candidate = Candidate(0, Proposal(SIGNAL), alpha, vector=vector)
    found = measure(market, candidate, LibraryView([member]), list(OBJECTIVES))
    rows = market.rows.train
    series = market.measure([alpha]).rank_ic[0]
    years = panel.dates[rows].astype("datetime64[Y]")
    by_year = [np.nanmean(series[rows][years == y]) for y in np.unique(years)]
    assert found["rank_ic"] == pytest.approx(np.nanmean(series[rows]))
    assert found["stability"] == pytest.approx(min(by_year))
    assert found["rank_ic"] > found["stability"]
    assert 0.0 < found["turnover"] < 0.2
    # A ratio of means over 5 and 20 days has mostly changed its mind after 5 days.
    assert found["decay"] < 0.6 * found["rank_ic"]
    assert found["novelty"] == pytest.approx(0.0, abs=1e-6)
    alone = measure(market, candidate, LibraryView([member]), ["novelty"], without=[alpha.fingerprint])
    assert alone == {"novelty": 1.0}
    later = np.array(panel["CLOSE"])
    later[rows.stop + 2 :] *= 3.0
    other = Market(panel.replace(fields={"CLOSE": later}), config_from_dict({}))
    assert measure(other, candidate, LibraryView([member]), list(OBJECTIVES)) == found
    turned = compile_alpha(f"-{SIGNAL}")
    other_way = Candidate(0, Proposal(turned.text), turned, sign=-1, vector=vector)
    assert measure(market, other_way, LibraryView([member]), ["rank_ic", "decay", "stability"]) == pytest.approx(
        {name: found[name] for name in ("rank_ic", "decay", "stability")}
    )


def test_a_run_keeps_a_front(tmp_path: Path, panel: Panel) -> None:
    texts = (SIGNAL, "RANK(TS_MEAN(VOLUME, 3) / TS_MEAN(VOLUME, 60))", "RANK(TS_MEAN(VOLUME, 20))", "RANK(VOLUME)")
    config = {
        "paths": {"output_dir": str(tmp_path)},
        "objectives": ["rank_ic", "turnover", "novelty"],
        "gates": {"min_rank_ic": 0.0, "min_t": 0.0, "max_correlation": 0.95, "complexity_penalty": 0.0},
        "racing": {"enabled": False},
        "control": {"random": False},
        "run": {"rounds": 1, "seed": 1},
    }
    result = mine(config, panel=panel, proposer=Scripted((texts,)))
    assert len(result.front) == len(result.factors) > 1
    values = matrix([r["objectives"] for r in result.front], config["objectives"])  # type: ignore[arg-type]
    assert non_dominated_fronts(values) == [list(range(len(values)))]
    assert result.to_dict()["front"] == result.front
    assert sum(result.funnel.values()) == len(texts) + 1  # what could not be read is counted too


def test_objectives_come_in_twos_or_more() -> None:
    with pytest.raises(ConfigError, match="objectives must be none, or two or more different ones"):
        config_from_dict({"objectives": ["rank_ic"]})
    with pytest.raises(ConfigError, match="objectives"):
        config_from_dict({"objectives": ["rank_ic", "turn_over"]})

"""Near-copies are left out by their ranks on a few training dates, with the same choice whatever the batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.data import to_frame
from fama_fast.engine import budget as budgets
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.pools import near_copies
from fama_fast.mining.pools.near_copies import NearCopies
from fama_fast.mining.run.mine import mine
from fama_fast.panel import Panel
from tests.support.target_panel import target_panel

TEXTS = (
    "RANK(CLOSE)",
    "CLOSE * 2",  # ranks as the first
    "-CLOSE",  # its negative
    "TS_MEAN(VOLUME, 5)",
    "TS_MEAN(VOLUME, 6)",
    "DELTA(CLOSE, 5)",
    "CLOSE - CLOSE",  # constant: like nothing
    "VOLUME",
    "DELTA(CLOSE, 5) + 0.0001 * VOLUME",
)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return target_panel(dates=260, symbols=40, seed=3)


def _market(panel: Panel) -> Market:
    return Market(panel, config_from_dict({}))


def _slow(
    panel: Panel, market: Market, texts: tuple[str, ...], most: float, wanted: int
) -> tuple[list[int], list[int]]:
    """The same from the values, with NumPy alone."""
    train = market.rows.train
    rows = list(range(train.stop - 29, train.stop, 4))
    assert panel.universe is not None
    members = panel.universe[rows]
    known: list[np.ndarray] = []
    kept: list[int] = []
    copies: list[int] = []
    for i, text in enumerate(texts):
        if len(kept) == wanted:
            break
        values = ff.compile(text).evaluate(panel)[rows]
        own = np.zeros(values.shape)
        for t, line in enumerate(values):
            there = np.flatnonzero(np.isfinite(line) & members[t])
            for j in there:
                less, same = (line[there] < line[j]).sum(), (line[there] == line[j]).sum()
                rank = less + (same + 1) / 2
                own[t, j] = np.rint(63 * (2 * rank - len(there) - 1) / len(there))
        flat = own.ravel()
        size = np.sqrt(flat @ flat)
        alike = any(abs(flat @ other) >= most * size * np.sqrt(other @ other) for other in known)
        if size > 0 and alike:
            copies.append(i)
            continue
        kept.append(i)
        if size > 0:
            known.append(flat)
    return kept, copies


@pytest.mark.parametrize("most", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("wanted", [3, 100])
def test_the_first_that_are_like_nothing_are_kept(panel: Panel, most: float, wanted: int) -> None:
    market = _market(panel)
    found = NearCopies(market, most).new_among([ff.compile(t) for t in TEXTS], wanted)
    assert found == _slow(panel, market, TEXTS, most, wanted)


def test_batches_do_not_matter(panel: Panel) -> None:
    market = _market(panel)
    alphas = [ff.compile(t) for t in TEXTS]
    whole = NearCopies(market, 0.9).new_among(alphas, 100)
    near = NearCopies(market, 0.9)
    kept = [i + j for i in range(len(alphas)) for j in near.new_among(alphas[i : i + 1], 1)[0]]
    assert kept == whole[0]


@pytest.mark.parametrize("piece", [1, 2, 5, 64])
@pytest.mark.parametrize("wanted", [1, 4, 100])
def test_how_many_are_looked_at_together_does_not_matter(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, piece: int, wanted: int
) -> None:
    market = _market(panel)
    monkeypatch.setattr(NearCopies, "_piece", lambda *_: piece)
    found = NearCopies(market, 0.9).new_among([ff.compile(t) for t in TEXTS], wanted)
    assert found == _slow(panel, market, TEXTS, 0.9, wanted)


def test_what_stands_behind_the_last_wanted_is_not_computed(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    market = _market(panel)
    looked: list[str] = []
    ranks = Market.ranks_nearby

    def counted(self: Market, alphas: list[ff.Alpha], rows: np.ndarray) -> object:
        looked.extend(a.canonical for a in alphas)
        return ranks(self, alphas, rows)

    monkeypatch.setattr(Market, "ranks_nearby", counted)
    many = [ff.compile(f"TS_MEAN(VOLUME, {n}) - TS_MEAN(CLOSE, {m})") for n in range(2, 12) for m in range(2, 12)]
    kept, copies = NearCopies(market, 1.0).new_among(many, 10)
    assert kept == list(range(10))
    assert not copies
    assert len(looked) == 16


def test_more_than_a_block_of_them_are_known(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    market = _market(panel)
    monkeypatch.setattr(near_copies, "_BLOCK", 2)
    monkeypatch.setattr(near_copies, "_LEAST", 1)
    found = NearCopies(market, 0.9).new_among([ff.compile(t) for t in TEXTS * 2], 8)
    assert found == _slow(panel, market, TEXTS * 2, 0.9, 8)


WINDOWS = (
    "CLOSE",
    "RET",  # of the row before, whatever of it is cut off
    "TS_STD(RET, 20) / TS_MEAN(VOLUME, 31)",
    "TS_CORR(CLOSE, VOLUME, 33)",
    "TS_MEAN(CLOSE, 32)",
    "EMA(DELTA(VOLUME, 3), 9)",
    "TS_RANK(VWAP, 100)",
    "TS_ZSCORE(CLOSE, 250)",  # further back than there are rows
    "CLOSE - CLOSE",
    "LOG(-CLOSE)",  # nowhere defined
)


@pytest.mark.parametrize("where", [(150, 154, 158), (3, 7), (0,), (10, 99)])
def test_ranks_of_rows_near_to_each_other_have_the_bits_of_all(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[int, ...]
) -> None:
    monkeypatch.setattr(budgets, "_FIXED", 0)
    file = tmp_path / "data.parquet"
    to_frame(panel).write_parquet(file)
    gates = {"max_lookback": 60}
    parts = Market(ff.scan_market_data(str(file)), config_from_dict({"run": {"memory_budget": "6MB"}, "gates": gates}))
    rows = np.array(where)
    alphas = [ff.compile(t) for t in WINDOWS]
    whole = Market(ff.load_market_data(str(file)), config_from_dict({"gates": gates}))
    assert panel.universe is not None
    every = [a.evaluate(panel) for a in alphas]
    for i, (near, all_, apart) in enumerate(
        zip(whole.ranks_nearby(alphas, rows), whole.ranks(alphas, rows), parts.ranks_nearby(alphas, rows), strict=True)
    ):
        np.testing.assert_array_equal(near, all_)
        np.testing.assert_array_equal(near, apart)
        np.testing.assert_array_equal(np.isfinite(near), np.isfinite(every[i][rows]) & panel.universe[rows])


def test_what_was_added_is_known(panel: Panel) -> None:
    near = NearCopies(_market(panel), 0.9)
    near.add([ff.compile("CLOSE")])
    assert near.new_among([ff.compile("-RANK(CLOSE)"), ff.compile("VOLUME")], 5) == ([1], [0])


def _run(tmp_path: str, **wide: float) -> tuple[list[str], int]:
    settings = {
        "run": {"rounds": 3, "candidates": 20, "seed": 4, "patience": 9},
        "wide": wide,
        "control": {"random": True},
        "paths": {"output_dir": tmp_path},
        "data": {"simulator": {"symbols": 40, "dates": 300}},
    }
    result = mine(config_from_dict(settings))
    return [f.canonical for f in result.factors], result.candidates


def test_a_run_leaves_near_copies_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    with_copies = _run(str(tmp_path_factory.mktemp("a")), near_copy=1.0)
    without = _run(str(tmp_path_factory.mktemp("b")))
    again = _run(str(tmp_path_factory.mktemp("c")))
    assert without == again
    assert with_copies[1] == 60
    assert 45 <= without[1] <= 60  # what is left of three times as many
    assert without[0] != with_copies[0]

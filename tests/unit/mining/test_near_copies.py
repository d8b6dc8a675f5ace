"""Near-copies are left out by their ranks on a few training dates, with the same choice whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
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

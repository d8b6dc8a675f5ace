"""Random expressions over random panels: every back end and the oracle agree, nobody looks ahead, text round-trips.

Expressions come from the generator that the miner's random control uses, so they have the shape of real candidates.
A discontinuous operator (a rank, a comparison, a sign) above rounded arithmetic may fall either way on a tie that only
rounding made or broke: few cells of an expression, and few expressions, may differ for that reason. A systematic
difference of one operator cannot hide behind that: `test_operators.py` compares each operator alone, to nine digits.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import lang, passes
from fama_fast.engine.alpha import Alpha
from fama_fast.mining.proposers.random_tree import random_expression
from fama_fast.panel import GroupField, Panel
from fama_fast.proposals.protocol import Vocabulary
from tests.support.oracle import evaluate_oracle

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.types import FloatArray

T, N = 64, 9
VOCABULARY = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP"), ("SECTOR",), max_window=12)
EXPRESSIONS = 120


def random_panel(seed: int) -> Panel:
    """Prices with gaps, ties, a constant stretch, an all-missing symbol, an infinite value and a partial universe."""
    rng = np.random.default_rng(seed)
    close = np.round(20.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, (T, N)), axis=0)), 2)
    close[20:34, 1] = close[20, 1]
    fields = {
        "OPEN": np.round(close * (1.0 + rng.normal(0.0, 0.01, (T, N))), 2),
        "HIGH": np.round(close * 1.02, 2),
        "LOW": np.round(close * 0.98, 2),
        "CLOSE": close,
        "VOLUME": rng.integers(0, 50, (T, N)).astype(float) * 100.0,
    }
    gone = rng.random((T, N)) < 0.04
    for values in fields.values():
        values[gone] = np.nan
        values[:, 4] = np.nan
    fields["VOLUME"][7, 2] = np.inf
    codes = np.broadcast_to(rng.integers(0, 3, N).astype(float), (T, N)).copy()
    codes[:, 8] = np.nan
    dates = np.datetime64("2021-01-04") + np.arange(T)
    groups = {"SECTOR": GroupField(codes, ("a", "b", "c"))}
    universe = rng.random((T, N)) < 0.85 if seed % 2 else None
    return Panel(dates, [f"S{i}" for i in range(N)], fields, groups=groups, universe=universe)


def random_alphas(count: int, seed: int) -> list[Alpha]:
    rng = random.Random(seed)
    alphas = {}
    while len(alphas) < count:
        node = passes.canonicalise(random_expression(rng, VOCABULARY))
        alphas[node] = Alpha(lang.to_text(node), "fama", node)
    return list(alphas.values())


def long_frame(panel: Panel) -> pl.DataFrame:
    import polars as pl

    columns: dict[str, object] = {
        "date": np.repeat(panel.dates, N),
        "symbol": np.tile(panel.symbols.astype(str), T),
        "in_universe": (np.ones((T, N), bool) if panel.universe is None else panel.universe).ravel(),
    }
    for name in panel.supplied_fields:
        columns[name.lower()] = panel[name].ravel()
    sector = panel.group("SECTOR")
    labels = [None if c != c else sector.labels[int(c)] for c in sector.codes.ravel()]
    return pl.DataFrame(columns).with_columns(pl.Series("sector", labels, dtype=pl.String))


def share_of_differing_cells(expected: FloatArray, actual: FloatArray) -> float:
    same = (np.isnan(expected) & np.isnan(actual)) | np.isclose(actual, expected, rtol=1e-8, atol=1e-11)
    return float((~same).mean())


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


@pytest.mark.parametrize("seed", range(4))
def test_numba_polars_and_oracle_agree(seed: int) -> None:
    panel = random_panel(seed)
    frame = long_frame(panel)
    alphas = random_alphas(EXPRESSIONS // 4, seed)
    differing = []
    for alpha, values in zip(alphas, ff.evaluate(alphas, panel), strict=True):
        oracle = evaluate_oracle(alpha.node, panel)
        polars = frame.select(alpha.to_polars(universe="in_universe")).to_series().to_numpy().reshape(T, N)
        shares = (share_of_differing_cells(oracle, values), share_of_differing_cells(values, polars))
        if max(shares) > 0.01:
            differing.append((shares, alpha.canonical))
    assert len(differing) <= 0.1 * len(alphas), differing


@pytest.mark.parametrize("seed", range(3))
def test_optimised_or_not_threads_tiles_and_company_change_no_bit(seed: int) -> None:
    panel = random_panel(seed)
    alphas = random_alphas(EXPRESSIONS // 3, 100 + seed)
    together = ff.evaluate(alphas, panel, threads=2)
    plain = ff.evaluate(alphas, panel, threads=1, tile_rows=3, optimise=False)
    halved = ff.evaluate(alphas, panel, threads=3, memory_budget=40 * T * (N + 7) * 8)
    for alpha, a, b, c in zip(alphas, together, plain, halved, strict=True):
        assert same_bits(a, b), alpha.canonical
        assert same_bits(a, c), alpha.canonical


@pytest.mark.parametrize("seed", range(3))
def test_the_future_changes_nothing_before_it(seed: int) -> None:
    panel = random_panel(seed)
    alphas = random_alphas(EXPRESSIONS // 3, 200 + seed)
    rng = np.random.default_rng(seed)
    cut = T // 2
    other = {}
    for name in panel.supplied_fields:
        values = panel[name].copy()
        values[cut:] = rng.normal(size=(T - cut, N)) * 10.0
        other[name] = values
    before = ff.evaluate(alphas, panel)
    after = ff.evaluate(alphas, panel.replace(fields=other))
    for alpha, a, b in zip(alphas, before, after, strict=True):
        assert same_bits(a[:cut], b[:cut]), alpha.canonical


@pytest.mark.parametrize("seed", range(3))
def test_declared_lookback_suffices(seed: int) -> None:
    panel = random_panel(seed)
    alphas = [a for a in random_alphas(EXPRESSIONS // 3, 300 + seed) if a.lookback < T]
    assert alphas
    wrong = 0
    for alpha in alphas:
        whole = alpha.evaluate(panel)[-1]
        tail = alpha.evaluate(panel.slice_dates(T - 1 - alpha.lookback, T))[-1]
        wrong += share_of_differing_cells(whole, tail) > 0.0
    assert wrong <= 0.05 * len(alphas)


def test_printed_form_parses_back_to_the_same_node() -> None:
    for alpha in random_alphas(400, 5):
        again = ff.compile(alpha.canonical, fields=VOCABULARY.fields, groups=VOCABULARY.groups)
        assert again.node is alpha.node
        assert again.fingerprint == alpha.fingerprint

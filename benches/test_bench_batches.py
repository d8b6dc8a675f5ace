"""What a miner does: many expressions at once, from text to daily RankIC."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import lang, passes
from fama_fast.engine import daily_rank_ic
from fama_fast.evaluation.rows import SortedRows
from fama_fast.ir import count_nodes
from fama_fast.mining.proposers.random_tree import random_expression
from fama_fast.mining.protocol import Vocabulary

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from fama_fast.panel import Panel


@pytest.mark.parametrize("threads", [1, 2])
def test_seed_alphas_together(benchmark: BenchmarkFixture, panel: Panel, threads: int) -> None:
    benchmark.group = "seed alphas"
    texts = ff.list_seed_alphas()
    ff.evaluate(texts, panel, threads=threads)
    benchmark(ff.evaluate, texts, panel, threads=threads)


def test_seed_alphas_one_by_one(benchmark: BenchmarkFixture, panel: Panel) -> None:
    benchmark.group = "seed alphas"
    texts = ff.list_seed_alphas()
    benchmark(lambda: [ff.evaluate([t], panel, threads=2) for t in texts])


def test_score_seed_alphas(benchmark: BenchmarkFixture, panel: Panel) -> None:
    benchmark.group = "score"
    texts = ff.list_seed_alphas()
    ff.score(texts[:2], panel)
    benchmark(ff.score, texts, panel)


@pytest.mark.parametrize("share", [1, 20])
def test_daily_rank_ic_of_50_unseen_expressions(benchmark: BenchmarkFixture, panel: Panel, share: int) -> None:
    """As a miner sends them: 50 at once, 5 to 12 nodes, values never kept; on all dates or on one in twenty."""
    benchmark.group = "daily RankIC of 50 random expressions"
    rng = random.Random(1)
    vocabulary = Vocabulary(panel.fields, panel.groups, max_window=60)
    labels = SortedRows.of(ff.forward_returns(panel))
    rows = np.arange(0, panel.shape[0], share)

    def batch() -> list[str]:
        nodes = (passes.canonicalise(random_expression(rng, vocabulary, max_nodes=12)) for _ in range(200))
        return [lang.to_text(n) for n in nodes if 5 <= count_nodes(n) <= 12][:50]

    def setup() -> tuple[tuple[list[str], Panel, SortedRows], dict[str, object]]:
        texts = batch()
        daily_rank_ic(texts, panel.slice_dates(0, 70), SortedRows.of(ff.forward_returns(panel.slice_dates(0, 70))))
        return (texts, panel, labels), {"rows": rows}

    benchmark.pedantic(daily_rank_ic, setup=setup, rounds=5)


def test_rank_ic_of_one_ready_factor(benchmark: BenchmarkFixture, panel: Panel) -> None:
    benchmark.group = "score"
    labels = ff.forward_returns(panel)
    values = ff.compile("RANK(DELTA(CLOSE, 5))").evaluate(panel)
    ff.rank_ic(values, labels)
    benchmark(ff.rank_ic, values, labels)


def test_compile_unseen_text(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "compile"
    days = iter(range(2, 1_000_000))

    def unseen() -> ff.Alpha:
        d = next(days)
        return ff.compile(f"RANK(TS_MEAN(CLOSE, {d % 200 + 2})) * -{d}.5 + Z_SCORE(DELTA(VOLUME, {d % 50 + 1}))")

    benchmark(unseen)

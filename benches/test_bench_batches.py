"""What a miner does: many expressions at once, from text to daily RankIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import fama_fast as ff

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

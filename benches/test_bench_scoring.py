"""What a miner pays for: expressions to daily RankIC, on all dates and on samples of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast as ff
from benches import yardsticks
from benches.duel import Yardstick
from fama_fast import lang, passes
from fama_fast.engine import daily_rank_ic
from fama_fast.evaluation.rows import SortedRows
from fama_fast.ir import count_nodes
from fama_fast.mining.proposers.random_tree import random_expression
from fama_fast.proposals.protocol import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.duel import Duel
    from fama_fast.panel import Panel

BATCH = 50


def unseen_batches(panel: Panel, seed: int = 1) -> Callable[[], list[str]]:
    """Batches of distinct random expressions of 5 to 12 nodes, as a miner sends them; none comes twice."""
    rng = random.Random(seed)
    vocabulary = Vocabulary(panel.fields, panel.groups, max_window=60)
    seen: set[str] = set()

    def batch() -> list[str]:
        texts: list[str] = []
        while len(texts) < BATCH:
            node = passes.canonicalise(random_expression(rng, vocabulary, max_nodes=12))
            text = lang.to_text(node)
            if 5 <= count_nodes(node) <= 12 and text not in seen:
                seen.add(text)
                texts.append(text)
        return texts

    return batch


def _ready(panel: Panel, texts: list[str]) -> list[str]:
    """Compile the kernels these need, on a panel too small to matter."""
    small = panel.slice_dates(0, 70)
    daily_rank_ic(texts, small, SortedRows.of(ff.forward_returns(small)))
    return texts


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.quick)])
def test_score_50_unseen(duel: Duel, panel: Panel, threads: int) -> None:
    """50 random expressions to daily RankIC on all dates; no value is kept."""
    batch = unseen_batches(panel)
    labels = SortedRows.of(ff.forward_returns(panel))
    measures = {"copy": yardsticks.copy(panel), "sort": yardsticks.sort(panel)}
    duel(
        lambda texts: daily_rank_ic(texts, panel, labels, threads=threads),
        measures,
        group="scoring: 50 unseen expressions",
        prepare=lambda: (_ready(panel, batch()),),
        rounds=9,
    )


@pytest.mark.parametrize("share", [2, 5, pytest.param(20, marks=pytest.mark.quick), 100])
def test_screen_50(duel: Duel, panel: Panel, threads: int, share: int) -> None:
    """The same batch on one date in `share`, beside all dates: the cost falls with the sample."""
    texts = _ready(panel, unseen_batches(panel)())
    labels = SortedRows.of(ff.forward_returns(panel))
    rows = np.arange(0, panel.shape[0], share)
    exact = daily_rank_ic(texts, panel, labels, threads=threads)[0]
    sampled = daily_rank_ic(texts, panel, labels, rows=rows, threads=threads)[0]
    np.testing.assert_array_equal(sampled[:, rows], exact[:, rows])
    duel(
        lambda: daily_rank_ic(texts, panel, labels, rows=rows, threads=threads),
        {"all dates": Yardstick(lambda: daily_rank_ic(texts, panel, labels, threads=threads))},
        group="screening: 50 expressions on a sample of dates",
        rounds=7,
    )


def test_screen_50_ranked(duel: Duel, panel: Panel, threads: int) -> None:
    """Expressions whose last step is a rank over a cheap series, one date in twenty: the best case of a sample."""
    texts = [f"RANK(DELTA(CLOSE, {d})) - RANK(VOLUME * {d})" for d in range(1, BATCH + 1)]
    labels = SortedRows.of(ff.forward_returns(panel))
    rows = np.arange(0, panel.shape[0], 20)
    duel(
        lambda: daily_rank_ic(texts, panel, labels, rows=rows, threads=threads),
        {"all dates": Yardstick(lambda: daily_rank_ic(texts, panel, labels, threads=threads))},
        group="screening: 50 expressions on a sample of dates",
        rounds=7,
    )


@pytest.mark.quick
def test_score_seed_alphas(duel: Duel, panel: Panel) -> None:
    """`ff.score` with its whole table of statistics."""
    texts = ff.list_seed_alphas()
    measures = {"copy": yardsticks.copy(panel), "sort": yardsticks.sort(panel)}
    duel(lambda: ff.score(texts, panel), measures, group="scoring: seed alphas with all statistics")


@pytest.mark.quick
def test_rank_ic_of_ready_factor(duel: Duel, panel: Panel) -> None:
    """RankIC by date of one factor that exists already."""
    labels = ff.forward_returns(panel)
    values = ff.compile("RANK(DELTA(CLOSE, 5))").evaluate(panel)
    measures = {"copy": yardsticks.copy(panel), "sort": yardsticks.sort(panel)}
    duel(lambda: ff.rank_ic(values, labels), measures, group="scoring: RankIC of one ready factor")

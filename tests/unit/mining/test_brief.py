"""What a model is told of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fama_fast.data import SimulationSpec, simulate
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.brief import bars_text, brief_of, target_text
from fama_fast.target import Target


def test_figures_are_of_the_training_rows_and_the_settings() -> None:
    panel = simulate(SimulationSpec(n_symbols=25, n_dates=220, seed=4))
    config = config_from_dict(
        {"objective": "net", "splits": {"horizon": 5}, "gates": {"max_nodes": 17, "min_t": 1.5}, "cost_bps": 7.0}
    )
    market = Market(panel, config)
    brief = brief_of(config, market)
    train = market.rows.train
    assert (brief.symbols, brief.dates, brief.bars) == (25, train.stop - train.start, "daily bars")
    assert (brief.first, brief.last) == (str(panel.dates[0])[:10], str(panel.dates[train.stop - 1])[:10])
    assert brief.members == pytest.approx(market.members[train].mean())
    assert (brief.objective, brief.cost_bps) == ("net spread", 7.0)
    assert (brief.max_nodes, brief.min_t) == (17, 1.5)
    assert brief.target == "the close's return over 5 rows, entered 1 row later"
    assert brief.market == "a simulated market"
    assert str(panel.dates[market.rows.test.start])[:10] not in repr(brief)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({}, "the close's return over 1 row, entered 1 row later"),
        ({"horizons": (1, 5), "entry_lag": 2}, "over 1 row and 5 rows, entered 2 rows later"),
        (
            {"returns": "LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1"},
            "LEAD(OPEN, 1) - 1; LEAD(x, d) is x as it will be d rows later",
        ),
        ({"column": "Y", "reach": 2}, "column Y, which looks 2 rows ahead"),
        (
            {"neutralize": ("SECTOR", "LOG(CAP)"), "winsorize": 0.01, "beta": 60},
            "less beta over 60 days times the date's mean; neutral to SECTOR, LOG(CAP)",
        ),
        ({"tradable": "a-share"}, "only of bars that can be entered (a-share)"),
    ],
)
def test_targets_in_words(target: dict[str, Any], said: str) -> None:
    assert said in target_text(Target(**target))


@pytest.mark.parametrize(
    ("dates", "sessions", "said"),
    [
        (np.arange("2020-01-01", "2020-02-01", dtype="datetime64[D]"), None, "daily bars"),
        (np.arange("2020-01-01", "2020-06-01", 7, dtype="datetime64[D]"), None, "weekly bars"),
        (np.arange("2020-01", "2022-01", dtype="datetime64[M]"), None, "monthly bars"),
        (np.arange("2020-01-01T09", "2020-01-03T09", dtype="datetime64[h]"), 24, "bars within the day, 24 a day"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), None, "daily bars"),
    ],
)
def test_bars_in_words(dates: Any, sessions: int | None, said: str) -> None:
    own = np.arange(len(dates)) if sessions is None else np.arange(len(dates)) // sessions
    assert bars_text(dates, own) == said

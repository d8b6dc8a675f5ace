"""Tables of scores: which dates count, which cells count, and that labels never leak."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.errors import ConfigError, DataError, ParseError, UnknownName
from fama_fast.evaluation import rank_ic, score, score_values, score_windows, trading
from fama_fast.panel import Panel

T, N = 150, 25


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(4)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, N)), axis=0))
    close[:40, 3] = np.nan
    close[70:75, 5] = np.nan
    universe = rng.random((T, N)) < 0.8
    dates = np.datetime64("2020-01-01") + np.arange(T)
    return Panel(
        dates,
        [f"S{i}" for i in range(N)],
        {"CLOSE": close, "VOLUME": rng.uniform(1, 2, (T, N))},
        universe=universe,
    )


def test_columns_and_values(panel):
    texts = ["RANK(CLOSE)", "-DELTA(CLOSE, 3)"]
    table = score(texts, panel, horizon=[1, 5])
    assert table.columns == [
        "expression",
        "canonical",
        "horizon",
        "rank_ic",
        "rank_icir",
        "ic",
        "icir",
        "hit_rate",
        "coverage",
        "turnover",
        "n_days",
        "rank_ic_t",
        "ic_t",
        "spread_bp",
        "spread_t",
        "net_bp",
        "net_t",
        "traded",
    ]
    assert table["expression"].to_list() == [texts[0]] * 2 + [texts[1]] * 2
    assert table["horizon"].to_list() == [1, 5, 1, 5]
    values = ff.compile(texts[1]).evaluate(panel)
    for h in (1, 5):
        labels = ff.forward_returns(panel, horizon=h)
        expected = score_values(values, labels, universe=panel.universe, horizon=h).as_dict()
        row = table.filter(pl.col("horizon") == h, pl.col("expression") == texts[1]).to_dicts()[0]
        for name in ("spread", "net"):
            expected[f"{name}_bp"] = expected.pop(name) * 10_000 / h
        assert {k: row[k] for k in expected} == expected
        daily = rank_ic(values, labels, universe=panel.universe)
        assert row["rank_ic"] == pytest.approx(np.nanmean(daily))


def test_one_expression_an_alpha_and_none(panel):
    assert score("CLOSE", panel).height == 1
    assert score(ff.compile("CLOSE"), panel).equals(score(["CLOSE"], panel))
    empty = score([], panel)
    assert empty.height == 0
    assert "rank_ic" in empty.columns


def test_many_expressions_do_not_depend_on_the_batch(panel):
    texts = [f"DELTA(CLOSE, {d})" for d in range(1, 36)]
    table = score(texts, panel)
    assert table["expression"].to_list() == texts
    assert table[33:34].equals(score(texts[33], panel))


def test_splits_are_purged_for_the_longest_horizon_and_named(panel):
    table = score("CLOSE", panel, horizon=[1, 5], splits="60/20/20")
    assert table.columns[:4] == ["expression", "canonical", "split", "horizon"]
    assert table["split"].to_list() == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    cut = ff.date_splits(T, horizon=5)
    windows = dict(score_windows(panel, {1: 2, 5: 6}, splits="60/20/20"))
    for name in ("train", "valid", "test"):
        assert windows[name] == {1: getattr(cut, name), 5: getattr(cut, name)}
        one = score("CLOSE", panel, horizon=[1, 5], split=name)
        assert one.equals(table.filter(pl.col("split") == name))
    labels = ff.forward_returns(panel)
    expected = score_values(panel["CLOSE"], labels, universe=panel.universe, rows=cut.train)
    assert table["rank_ic"][0] == expected.rank_ic


def test_dates_bound_the_rows_and_no_label_reaches_past_the_end(panel):
    start, end = "2020-02-01", "2020-03-31"
    table = score("-DELTA(CLOSE, 3)", panel, horizon=5, start=start, end=end)
    days = panel.dates
    inside = np.flatnonzero((days >= np.datetime64(start)) & (days <= np.datetime64(end)))
    assert table["n_days"].item() == inside.size - 6
    later = np.array(panel["CLOSE"])
    later[inside[-1] + 1 :] *= 7.0
    changed = panel.replace(fields={"CLOSE": later})
    assert score("-DELTA(CLOSE, 3)", changed, horizon=5, start=start, end=end).equals(table)
    split = score("CLOSE", panel, start=start, end=end, split="test")
    assert 0 < split["n_days"].item() < inside.size // 2


def test_training_scores_do_not_see_later_splits(panel):
    cut = ff.date_splits(T, horizon=5)
    later = np.array(panel["CLOSE"])
    later[cut.valid.start :] *= np.linspace(1, 3, N)
    changed = panel.replace(fields={"CLOSE": later})
    for text in ("CLOSE", "-DELTA(CLOSE, 3)"):
        assert score(text, changed, horizon=5, split="train").equals(score(text, panel, horizon=5, split="train"))


def test_coverage_counts_members_or_else_symbols_in_the_data(panel):
    member = score("CLOSE", panel)["coverage"].item()
    with np.errstate(invalid="ignore"):
        share = (np.isfinite(panel["CLOSE"]) & panel.universe).sum(axis=1) / panel.universe.sum(axis=1)
    assert member == pytest.approx(share.mean())
    everyone = Panel(panel.dates, panel.symbols, {"CLOSE": panel["CLOSE"]})
    assert score("CLOSE", everyone)["coverage"].item() == 1.0
    np.testing.assert_array_equal(trading(everyone), np.isfinite(panel["CLOSE"]))
    other = Panel(panel.dates, panel.symbols, {"A": panel["CLOSE"], "B": panel["VOLUME"]})
    assert trading(other).all()


def test_a_planted_order_is_found_and_entry_lag_moves_it():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(200, 30))
    returns = np.zeros((200, 30))
    returns[2:] = 0.01 * signal[:-2]
    close = 10 * np.cumprod(1 + returns, axis=0)
    planted = Panel(np.datetime64("2020-01-01") + np.arange(200), range(30), {"CLOSE": close, "SIGNAL": signal})
    row = score("SIGNAL", planted).to_dicts()[0]
    assert row["rank_ic"] == pytest.approx(1.0)
    assert row["hit_rate"] == 1.0
    assert row["n_days"] == 198
    assert abs(score("SIGNAL", planted, entry_lag=0)["rank_ic"].item()) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"horizon": []}, "at least one horizon"),
        ({"entry_lag": -1}, "entry lag must be at least 0"),
        ({"split": "tset"}, "did you mean test"),
        ({"splits": "60/20"}, "three positive numbers"),
        ({"splits": "a/b/c"}, "three positive numbers"),
        ({"splits": (0.5, 0.5, 0.0)}, "three positive numbers"),
        ({"start": "soon"}, "start must be a date"),
        ({"end": "2020-02-30"}, "end must be a date"),
    ],
)
def test_wrong_options_are_configuration_errors(panel, options, message):
    with pytest.raises(ConfigError, match=message):
        score("CLOSE", panel, **options)


def test_no_dates_are_a_data_error(panel):
    with pytest.raises(DataError, match=r"no dates from 2031-01-01 to \.\.\."):
        score("CLOSE", panel, start="2031-01-01")


def test_a_bad_expression_is_named(panel):
    with pytest.raises(ParseError, match=r"RANK\(CLOSE"):
        score(["CLOSE", "RANK(CLOSE"], panel)
    with pytest.raises(UnknownName, match="PRICE_TO_BOOK"):
        score(["CLOSE", "RANK(PRICE_TO_BOOK)"], panel)


def test_one_symbol_one_date_and_a_missing_field_give_no_score():
    dates = np.datetime64("2020-01-01") + np.arange(30)
    one = Panel(dates, ["A"], {"CLOSE": np.arange(1.0, 31.0)[:, None]})
    row = score("CLOSE", one).to_dicts()[0]
    assert row["n_days"] == 0
    assert np.isnan(row["rank_ic"])
    short = Panel(dates[:1], ["A", "B"], {"CLOSE": np.ones((1, 2))})
    assert score("CLOSE", short)["n_days"].item() == 0
    holes = Panel(dates, ["A", "B"], {"CLOSE": np.ones((30, 2)), "EMPTY": np.full((30, 2), np.nan)})
    assert score("EMPTY", holes)["coverage"].item() == 0.0

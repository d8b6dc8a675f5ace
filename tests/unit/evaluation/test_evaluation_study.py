"""Studies of hand-made factors whose answers are known, and what a study says when data is lacking."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.evaluation import (
    StudyData,
    StudySettings,
    deflated_sharpe,
    overfitting_probability,
    rank_ic,
    study,
    study_frame,
    study_library,
)
from fama_fast.panel import GroupField, Panel

T, N = 320, 60


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(11)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, N)), axis=0))
    volume = rng.lognormal(12, 1, (T, N))
    sectors = np.broadcast_to((np.arange(N) % 3).astype(float), (T, N)).copy()
    dates = np.busday_offset("2019-01-01", np.arange(T), roll="forward")
    return Panel(
        dates.astype("datetime64[D]"),
        [f"S{i:02d}" for i in range(N)],
        {"OPEN": close, "HIGH": close * 1.01, "LOW": close * 0.99, "CLOSE": close, "VOLUME": volume},
        groups={"SECTOR": GroupField(sectors, ("alpha", "beta", "gamma"))},
    )


@pytest.fixture(scope="module")
def data(panel):
    return StudyData.from_panel(panel)


@pytest.fixture(scope="module")
def returns(panel):
    return ff.forward_returns(panel)


def figure(found, horizon):
    return next(h for h in found.figures["horizons"] if h["horizon"] == horizon)


def test_a_perfect_factor(data, returns):
    found = study(returns, data)
    one = figure(found, 1)
    assert one["rank_ic"] == pytest.approx(1.0)
    assert one["ic"] == pytest.approx(1.0)
    assert one["hit_rate"] == 1.0
    assert one["rank_ic_low"] == pytest.approx(1.0)
    excess = [q["annual_excess"] for q in found.figures["quantiles"]]
    assert excess == sorted(excess)
    assert sum(excess) == pytest.approx(0.0, abs=1e-9)
    assert found.figures["long_short"]["costs"][0]["sharpe"] > 50
    assert found.figures["long_short"]["costs"][0]["max_drawdown"] == 0.0
    assert found.figures["decay"]["curve"][0] == pytest.approx(1.0)
    assert 0.4 < found.figures["decay"]["half_life"] < 0.6  # nothing is left a day later
    assert all(g["rank_ic"] == pytest.approx(1.0) for g in found.figures["by_sector"])
    assert all(g["rank_ic"] == pytest.approx(1.0) for g in found.figures["by_liquidity"])
    assert all(y["rank_ic"] == pytest.approx(1.0) for y in found.figures["by_year"])
    assert found.figures["residual"]["rank_ic"] > 0.9
    assert found.figures["residual"]["after"][-1] == "sector"


def test_a_reversed_factor_is_the_perfect_one_turned(data, returns):
    backward = study(-returns, data)
    assert figure(backward, 1)["rank_ic"] == pytest.approx(-1.0)
    turned = study(-returns, data, sign=-1)
    straight = study(returns, data)
    assert {k: v for k, v in turned.figures.items() if k != "sign"} == {
        k: v for k, v in straight.figures.items() if k != "sign"
    }


def test_a_constant_factor_has_no_figures(data):
    found = study(np.ones((T, N)), data)
    one = figure(found, 1)
    assert math.isnan(one["rank_ic"])
    assert one["n_days"] == 0
    assert one["coverage"] == 1.0
    assert math.isnan(found.figures["long_short"]["break_even_bp"])
    assert math.isnan(found.figures["decay"]["half_life"])
    assert math.isnan(found.figures["rank_autocorrelation"])


def test_a_factor_that_predicts_one_sector_only(data, returns):
    noise = np.random.default_rng(1).normal(0, 0.02, (T, N))
    values = np.where(np.arange(N) % 3 == 1, returns, noise)
    by_sector = {g["group"]: g for g in study(values, data).figures["by_sector"]}
    assert by_sector["beta"]["rank_ic"] == pytest.approx(1.0)
    assert abs(by_sector["alpha"]["rank_ic"]) < 0.05
    assert abs(by_sector["gamma"]["rank_ic"]) < 0.05
    assert by_sector["beta"]["members"] == pytest.approx(20.0, abs=0.5)


def test_a_factor_that_decays_over_days(data, returns):
    # Knows the next ten days' returns, each less well than the one before.
    values = np.zeros((T, N))
    for k in range(10):
        values[: T - k] += 0.7**k * np.nan_to_num(returns[k:])
    decay = study(values, data).figures["decay"]
    curve = decay["curve"]
    assert all(a > b for a, b in pairwise(curve[:9]))
    assert decay["half_life"] == pytest.approx(math.log(2) / -math.log(0.7), abs=0.5)
    assert abs(np.mean(curve[12:])) < 0.03


def test_a_factor_that_lived_one_year_only(data, returns):
    values = np.random.default_rng(2).normal(size=(T, N))
    years = data.dates.astype("datetime64[Y]").astype(str)
    values[years == "2019"] = returns[years == "2019"]
    by_year = {y["period"]: y for y in study(values, data).figures["by_year"]}
    assert by_year["2019"]["rank_ic"] == pytest.approx(1.0)
    assert abs(by_year["2020"]["rank_ic"]) < 0.08


def test_a_copy_of_a_known_style_is_nothing_new(panel, data):
    values = ff.evaluate(["TS_STDDEV(RET, 60, min_periods=20)"], panel)[0]
    left = study(values, data).figures["residual"]
    assert math.isnan(left["rank_ic"]) or abs(left["rank_ic"]) < 0.1
    whole = np.nanmean(np.abs(rank_ic(values, ff.forward_returns(panel))))
    assert whole > 0.0


def test_rows_limit_what_is_summarised_not_what_is_held(data, returns):
    found = study(returns, data, rows=slice(100, 150))
    assert figure(found, 1)["n_days"] == 50
    assert found.figures["long_short"]["n_days"] == 50
    assert found.daily["rank_ic"].shape == (T,)
    assert sum(m["n_days"] for m in found.figures["by_month"]) == 50


def test_what_the_data_lacks_is_said_not_made_up(panel):
    bare = Panel(panel.dates, panel.symbols, {"CLOSE": panel["CLOSE"]})
    figures = study(np.random.default_rng(3).normal(size=(T, N)), StudyData.from_panel(bare)).figures
    assert "by_sector" not in figures
    assert "capacity" not in figures
    assert figures["not_supplied"] == {
        "by sector": "the data has no group field SECTOR or INDUSTRY or SUBINDUSTRY",
        "by liquidity": "the data has no VOLUME",
        "capacity": "the data has no VOLUME",
    }
    assert figures["residual"]["after"] == ["momentum", "reversal", "volatility"]


def test_the_finest_sector_at_hand_is_used(panel, data):
    values = np.random.default_rng(6).normal(size=(T, N))
    sector = panel.group("SECTOR")
    renamed = Panel(panel.dates, panel.symbols, {"CLOSE": panel["CLOSE"]}, groups={"INDUSTRY": sector})
    found = study(values, StudyData.from_panel(renamed)).figures
    assert found["by_sector"] == study(values, data).figures["by_sector"]
    other = StudyData.from_panel(renamed, StudySettings(group="sector"))
    assert other.not_supplied["by sector"] == "the data has no group field SECTOR"


def test_arrays_alone_are_enough(panel, data, returns):
    alone = StudyData.from_returns(panel.dates, panel.symbols, returns, labels={5: ff.forward_returns(panel, 5)})
    values = np.random.default_rng(4).normal(size=(T, N))
    found, whole = study(values, alone), study(values, data)
    assert [h["horizon"] for h in found.figures["horizons"]] == [1, 5]
    assert figure(found, 5)["rank_ic"] == figure(whole, 5)["rank_ic"]
    assert found.figures["long_short"] == whole.figures["long_short"]
    assert found.figures["not_supplied"]["horizon 10"] == "no labels of that horizon were given"


def test_a_library_is_its_factors_and_how_they_relate(panel, data):
    texts = ["-TS_RETURNS(CLOSE, 5)", "RANK(-TS_RETURNS(CLOSE, 5))", "TS_STDDEV(RET, 20)"]
    values = ff.evaluate(texts, panel)
    found = study_library(zip(texts, values, strict=True), data, signs=[1, -1, 1])
    assert found.names == tuple(texts)
    assert found.studies[1].figures == study(values[1], data, sign=-1).figures
    assert found.correlations.matrix[0, 1] == pytest.approx(-1.0, abs=1e-9)
    assert found.correlations.cluster[0] == found.correlations.cluster[1] != found.correlations.cluster[2]
    daily = np.stack([s.daily["long_short"] for s in found.studies], axis=1)
    assert found.overfitting == overfitting_probability(np.nan_to_num(daily))
    json.dumps(found.as_dict())  # plain data
    earned = np.nan_to_num(daily)
    sharpes = earned.mean(axis=0) / earned.std(axis=0, ddof=1)
    expected = deflated_sharpe(earned[:, sharpes.argmax()], trials=3, variance=sharpes.var(ddof=1))
    assert found.deflated_sharpe == pytest.approx(expected)


def test_columns_of_a_long_frame(panel, data):
    values = ff.evaluate(["-TS_RETURNS(CLOSE, 5)"], panel)[0]
    t, n = panel.shape
    frame = pl.DataFrame(
        {
            "date": np.repeat(panel.dates, n),
            "symbol": np.tile(panel.symbols.astype(str), t),
            "close": panel["CLOSE"].ravel(),
            "volume": panel["VOLUME"].ravel(),
            "sector": np.tile(np.array(["alpha", "beta", "gamma"])[np.arange(n) % 3], t),
            "reversal": values.ravel(),
            "tomorrow": ff.forward_returns(panel).ravel(),
        }
    ).with_columns(pl.col("reversal", "tomorrow").fill_nan(None))
    found = study_frame(frame, ["reversal"])
    expected = study(values, data)
    assert found.studies[0].figures["horizons"] == expected.figures["horizons"]
    assert found.studies[0].figures["by_sector"] == expected.figures["by_sector"]
    bare = frame.select("date", "symbol", "reversal", "tomorrow", "sector")
    ready = study_frame(bare, ["reversal"], forward_return="tomorrow")
    assert ready.studies[0].figures["long_short"] == expected.figures["long_short"]
    assert ready.studies[0].figures["not_supplied"]["residual"] == "style controls need prices"
    with pytest.raises(UnknownName, match="REVERSE"):
        study_frame(frame, ["REVERSE"])


def test_one_factor_has_nothing_to_choose_from(data, returns):
    found = study_library([("one", returns)], data)
    assert found.overfitting is None
    assert "strategies" in found.not_supplied["overfitting"]
    with pytest.raises(DataError, match="at least one factor"):
        study_library([], data)


def test_wrong_use_is_refused(data, returns):
    with pytest.raises(ConfigError, match="must be 1 or -1"):
        study(returns, data, sign=0)
    with pytest.raises(DataError, match="values have shape"):
        study(returns[:, :5], data)
    with pytest.raises(ConfigError, match="horizons must be"):
        StudySettings(horizons=())
    with pytest.raises(ConfigError, match="entry lag"):
        StudySettings(entry_lag=-1)


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_do_not_depend_on_threads(panel, threads, returns):
    values = np.random.default_rng(5).normal(size=(T, N)) + returns
    one = study(values, StudyData.from_panel(panel, threads=threads))
    assert one.figures == study(values, StudyData.from_panel(panel, threads=2)).figures


def test_a_factor_of_two_values_is_studied_and_its_empty_buckets_are_said(data, returns):
    signs = np.sign(np.where(np.isnan(returns), np.arange(N) - 4.5, returns - np.nanmedian(returns)))
    found = study(signs, data).figures
    means = [q["annual_return"] for q in found["quantiles"]]
    assert means[0] < 0 < means[4]
    assert all(math.isnan(m) for m in means[1:4])
    assert found["quantiles"][0]["annual_excess"] < 0 < found["quantiles"][4]["annual_excess"]
    for name in ("long_short", "long_short_neutral"):
        assert found[name]["n_days"] >= T - 3
        assert found[name]["costs"][0]["annual_return"] > 0
    said = found["not_supplied"]["quantiles"]
    assert said.startswith(f"on {T} of {T} dates the factor has fewer than 5 different values (down to 2)")
    assert "quantiles" not in study(returns, data).figures["not_supplied"]
    three = study(signs, data, rows=slice(0, 30)).figures["not_supplied"]["quantiles"]
    assert "30 of 30 dates" in three
    flat = study(np.ones((T, N)), data).figures
    assert all(math.isnan(q["annual_return"]) for q in flat["quantiles"])
    assert "down to 1" in flat["not_supplied"]["quantiles"]


def test_what_groups_explain_leaves_nothing_to_correlate(data, panel):
    codes = np.asarray(panel.group("SECTOR").codes) * 0.1 + 1e6
    left = study(codes, data).figures["residual"]
    assert math.isnan(left["rank_ic"])


def test_pieces_of_the_splits_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from fama_fast.evaluation import overfitting

    daily = np.random.default_rng(12).normal(size=(120, 9))
    whole = overfitting.overfitting_probability(daily, blocks=8)
    monkeypatch.setattr(overfitting, "_CELLS", 50)
    assert overfitting.overfitting_probability(daily, blocks=8).as_dict() == pytest.approx(whole.as_dict())

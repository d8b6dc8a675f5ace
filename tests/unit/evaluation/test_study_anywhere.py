"""A study of values of any origin is the study of their array; alphalens's `factor_data` in and out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, forward_returns, simulate
from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation import StudyData, StudySettings, rank_ic, study_library
from fama_fast.evaluation.alphalens import read_factor_data
from fama_fast.library.factor import Factor
from tests.unit.test_notebook import words

TEXT = "-RANK(DELTA(CLOSE, 5))"
SETTINGS = StudySettings(horizons=(1, 5), resamples=50)


@pytest.fixture(scope="module")
def panel() -> ff.Panel:
    made = simulate(SimulationSpec(n_symbols=30, n_dates=120, seed=3, late_listing=0.2, missing=0.02))
    return ff.load_market_data(made.to_polars())


@pytest.fixture(scope="module")
def data(panel: ff.Panel) -> StudyData:
    return StudyData.from_panel(panel, SETTINGS)


@pytest.fixture(scope="module")
def array(panel: ff.Panel) -> Any:
    return ff.compile(TEXT).evaluate(panel)


@pytest.fixture(scope="module")
def expected(array: Any, data: StudyData) -> dict[str, Any]:
    return study_library([("value", array)], data).studies[0].figures


KINDS: dict[str, Any] = {
    "array": lambda p, a: a,
    "list": lambda p, a: a.tolist(),
    "long": lambda p, a: p.to_polars(a),
    "lazy": lambda p, a: p.to_polars(a).lazy(),
    "shuffled": lambda p, a: p.to_polars(a).sample(fraction=1.0, shuffle=True, seed=1),
    "arrow": lambda p, a: p.to_polars(a).to_arrow(),
    "wide": lambda p, a: p.to_polars(a, wide=True),
    "wide of pandas": lambda p, a: p.to_pandas(a, wide=True),
    "wide without names": lambda p, a: p.to_pandas(a, wide=True).rename_axis(None).rename_axis(columns=None),
    "columns in another order": lambda p, a: p.to_pandas(a, wide=True).iloc[:, ::-1],
    "long of pandas": lambda p, a: p.to_pandas(a),
    "series": lambda p, a: p.to_pandas(a)["value"],
    "series without names": lambda p, a: p.to_pandas(a)["value"].rename(None).swaplevel().rename_axis([None, None]),
    "by name": lambda p, a: {"value": a},
    "frames by name": lambda p, a: {"value": p.to_pandas(a, wide=True)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_values(
    kind: str, panel: ff.Panel, array: Any, data: StudyData, expected: dict[str, Any]
) -> None:
    found = ff.study(KINDS[kind](panel, array), data)
    assert found.names == ("value",)
    np.testing.assert_equal(found.studies[0].figures, expected)
    assert not any("all values" in what for what in found.not_supplied)


def test_what_they_are_measured_against(panel: ff.Panel, array: Any, expected: dict[str, Any]) -> None:
    for data in (panel, panel.to_polars(), panel.to_pandas(), panel.to_polars().to_arrow()):
        found = ff.study(array, data, settings=SETTINGS)
        np.testing.assert_equal(found.studies[0].figures, expected)


def test_expressions(panel: ff.Panel, expected: dict[str, Any]) -> None:
    alpha = ff.compile(TEXT)
    factor = Factor(TEXT, alpha.canonical, alpha.fingerprint)
    for values in (TEXT, alpha, [TEXT], (alpha,), ff.FactorSet([factor])):
        found = ff.study(values, panel, settings=SETTINGS)
        assert found.names == (TEXT,)
        np.testing.assert_equal(found.studies[0].figures, expected)
    turned = ff.study(TEXT, panel, settings=SETTINGS, signs=[-1])
    assert turned.table()["rank_ic"][0] == pytest.approx(
        -ff.study(TEXT, panel, settings=SETTINGS).table()["rank_ic"][0]
    )
    assert ff.study("Mean($close, 5)", panel, settings=SETTINGS, dialect="qlib").names == ("Mean($close, 5)",)


def test_several_factors_and_names_that_are_fields_elsewhere(panel: ff.Panel, array: Any, data: StudyData) -> None:
    both = {"vol": array, "close": -array}
    one = ff.study(both, data)
    for values in (panel.to_polars(both), panel.to_pandas(both)):
        found = ff.study(values, data)
        assert found.names == ("vol", "close")
        np.testing.assert_equal([s.figures for s in found.studies], [s.figures for s in one.studies])
    table = one.table()
    assert table["factor"].to_list() == ["vol", "close"]
    series = rank_ic(array, forward_returns(panel))
    assert table["rank_ic"][0] == pytest.approx(np.nanmean(series))
    assert table["rank_ic"].sum() == pytest.approx(0.0)
    assert repr(one) == "LibraryStudy(2 factors: vol, close)"
    assert repr(one.studies[0]).startswith("FactorStudy(sign +1, RankIC ")
    assert repr(data) == "StudyData(120 dates x 30 symbols, horizons 1, 5)"
    said = words(one)
    assert "Study of 2 factors" in said
    assert "sum of daily RankIC so far" in said
    assert f"{table['rank_ic'][0]:+.4f}" in said
    assert words(ff.study({"<b>&": array}, data)).count("<b>&") == 1


def test_values_outside_the_data_are_counted(panel: ff.Panel, array: Any, data: StudyData) -> None:
    frame = panel.to_polars(array)
    extra = frame.head(3).with_columns(symbol=pl.lit("elsewhere"))
    early = frame.head(2).with_columns(date=pl.lit("1999-01-04").str.to_date())
    found = ff.study(pl.concat([frame, extra, early]), data)
    assert found.not_supplied["all values of value"] == "1 dates and 1 symbols of the values are not in the data"
    # What is absent is missing.
    half = ff.study(frame.filter(pl.col("date") < panel.dates[60].item()), data)
    blank = array.copy()
    blank[60:] = np.nan
    np.testing.assert_equal(half.studies[0].figures, ff.study(blank, data).studies[0].figures)


def test_what_cannot_be_studied(panel: ff.Panel, array: Any, data: StudyData) -> None:
    with pytest.raises(
        DataError, match=r"have shape \(3, 2\), not \(dates, symbols\) = \(120, 30\) of the data; a frame"
    ):
        ff.study(np.ones((3, 2)), data)
    with pytest.raises(DataError, match=r"value: factor values are an array .*, not 3"):
        ff.study(3, data)
    with pytest.raises(ConfigError, match=r"give the market data .*: study\(values, data\)"):
        ff.study(array)
    with pytest.raises(ConfigError, match=r"expressions are computed on a panel"):
        ff.study(TEXT, data)
    with pytest.raises(ConfigError, match=r"a StudyData has its settings"):
        ff.study(array, data, settings=SETTINGS)
    with pytest.raises(ConfigError, match=r"there are 2 signs for 1 factors"):
        ff.study(array, data, signs=[1, 1])
    frame = panel.to_polars(array)
    with pytest.raises(DataError, match=r"share no date with the data: they are of 1999-01-04 to"):
        ff.study(frame.with_columns(date=pl.lit("1999-01-04").str.to_date()).unique("symbol"), data)
    with pytest.raises(DataError, match=r"share no symbol with the data"):
        ff.study(frame.with_columns(symbol="X" + pl.col("symbol")), data)
    with pytest.raises(DataError, match=r"there is no column of numbers"):
        ff.study(frame.select("date", "symbol"), data)
    with pytest.raises(DataError, match=r"there is no date column"):
        ff.study(frame.drop("date"), data)
    with pytest.raises(DataError, match=r"a: the frame has 2 columns of numbers"):
        ff.study({"a": panel.to_polars({"x": array, "y": array})}, data)
    with pytest.raises(ff.UnknownName):
        ff.study("RANK(NOTHING_LIKE_IT)", panel)


# alphalens


def test_factor_data_comes_back_as_the_same_study(panel: ff.Panel, array: Any) -> None:
    table = ff.to_alphalens(array, panel, periods=[1])
    assert table.index.names == ["date", "asset"]
    assert table.columns.tolist() == ["1D", "factor", "factor_quantile"]
    assert not table.isna().any().any()
    same_close = StudySettings(horizons=(1,), entry_lag=0, resamples=50)
    own = ff.study(array, panel, settings=same_close)
    back = ff.study(table, settings=same_close)
    names = ("rank_ic", "ic", "rank_ic_t", "hit_rate", "n_days")
    for name in names:
        assert back.table()[name][0] == pytest.approx(own.table()[name][0], rel=1e-12), name
    for values in (panel.to_polars(array), panel.to_pandas(array), panel.to_pandas(array, wide=True).iloc[:, ::-1]):
        pd.testing.assert_frame_equal(ff.to_alphalens(values, panel, periods=[1]), table)
    # Beside the data of a panel, the factor alone is taken.
    assert ff.study(table, panel, settings=same_close).names == ("factor",)


def test_factor_data_against_a_slow_definition(panel: ff.Panel, array: Any) -> None:
    """Returns, quantiles and rows as alphalens's own code makes them, with pandas, date by date."""
    table = ff.to_alphalens(array, panel, periods=(1, 5), quantiles=4, group="SECTOR")
    assert table.columns.tolist() == ["1D", "5D", "factor", "group", "factor_quantile"]
    close = panel.to_pandas(panel["CLOSE"], wide=True)
    for h in (1, 5):
        slow = (close.shift(-h) / close - 1.0).stack()
        slow.index.names = ["date", "asset"]
        pd.testing.assert_series_equal(
            table[f"{h}D"], slow.loc[table.index], check_names=False, check_index_type=False, rtol=1e-12
        )
    whole = pd.concat(
        [panel.to_pandas(array)["value"], *((close.shift(-h) / close - 1.0).stack() for h in (1, 5))], axis=1
    ).dropna()
    assert len(whole) == len(table)
    untied = 0
    for _, day in table.groupby(level="date"):
        if day["factor"].is_unique:
            untied += 1
            assert day["factor_quantile"].tolist() == (pd.qcut(day["factor"], 4, labels=False) + 1).tolist()
    assert untied > 50
    labels = panel.group("SECTOR").labels
    assert set(table["group"]) <= set(labels)
    values, data = read_factor_data(table)
    assert data.groups is not None
    assert data.settings.horizons == (1, 5)
    assert np.isfinite(values).sum() == len(table)
    assert "by_sector" in ff.study(table, settings=SETTINGS).studies[0].figures


def test_factor_data_as_alphalens_itself_writes_it(panel: ff.Panel, array: Any) -> None:
    table = ff.to_alphalens(array, panel, periods=(1, 5))
    reference = ff.study(table, settings=SETTINGS).studies[0].figures
    zoned = table.copy()
    zoned.index = zoned.index.set_levels(zoned.index.levels[0].tz_localize("UTC"), level="date")
    for other in (zoned, table.reset_index(), pl.from_pandas(table.reset_index())):
        np.testing.assert_equal(ff.study(other, settings=SETTINGS).studies[0].figures, reference)


def test_factor_data_that_cannot_be_used(panel: ff.Panel, array: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ff.to_alphalens(array, panel, periods=(1, 5))
    with pytest.raises(DataError, match=r"no returns of one day"):
        ff.study(table.drop(columns="1D"))
    with pytest.raises(DataError, match=r"returns over 30min cannot be studied"):
        ff.study(table.rename(columns={"5D": "30min"}))
    with pytest.raises(DataError, match=r"has the columns factor, factor_quantile and periods such as 1D, not columns"):
        read_factor_data(table.drop(columns="factor"))
    with pytest.raises(DataError, match=r"have shape"):
        ff.to_alphalens(array[:5], panel)
    with pytest.raises(DataError, match=r"factor_data is of one factor, and there are 2: a, b"):
        ff.to_alphalens({"a": array, "b": array}, panel)
    with pytest.raises(ConfigError, match=r"periods must be days of at least 1, such as \(1, 5\), not '1D'"):
        ff.to_alphalens(array, panel, periods="1D")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a period"):
        ff.to_alphalens(array, panel, periods=[0])
    with pytest.raises(ff.UnknownName):
        ff.to_alphalens(array, panel, group="NONE")
    with pytest.raises(DataError, match=r"no date with values, returns and buckets"):
        ff.to_alphalens(np.full(panel.shape, np.nan), panel)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pandas is not installed"):
        ff.to_alphalens(array, panel)

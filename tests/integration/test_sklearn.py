"""AlphaTransformer: scikit-learn's own checks, frames of both libraries, panels, pipelines."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate, to_frame
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.panel import Panel

ALPHAS = {"reversal": "-RANK(DELTA(CLOSE, 5))", "calm": "RANK(TS_STDDEV(RET, 10))"}

# One symbol's rows as a table of numbers: what scikit-learn's checks can feed.
CELLS = ff.AlphaTransformer(["X0", "TANH(X0) + 1"], date=None, symbol=None)
WINDOWS = ff.AlphaTransformer({"mean": "TS_MEAN(X0, 3, min_periods=1)"}, date=None, symbol=None)


def cannot_hold(estimator: Any) -> dict[str, str]:
    if estimator is not WINDOWS and "mean" not in estimator.alphas:
        return {}
    return {
        "check_methods_sample_order_invariance": "a window reads the rows before: their order is time",
        "check_methods_subset_invariance": "rows transformed one at a time have no history",
    }


@parametrize_with_checks([CELLS, WINDOWS], expected_failed_checks=cannot_hold)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_a_long_frame_is_no_table_of_numbers() -> None:
    """Scikit-learn's other checks feed arrays of numbers, in which there is no date: the tag says so."""
    from sklearn.utils import get_tags

    assert not get_tags(ff.AlphaTransformer(ALPHAS)).input_tags.two_d_array
    assert get_tags(CELLS).input_tags.two_d_array


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate(SimulationSpec(n_symbols=8, n_dates=60, seed=2))


@pytest.fixture(scope="module")
def frame(panel: Panel) -> pl.DataFrame:
    return ff.complete_grid(to_frame(panel))


def expected(panel: Panel) -> np.ndarray:
    return np.stack([v.ravel() for v in ff.evaluate(list(ALPHAS.values()), panel)], axis=1)


def test_a_panel_gives_a_row_for_each_cell(panel: Panel) -> None:
    transformer = ff.AlphaTransformer(ALPHAS).fit(panel)
    assert np.array_equal(transformer.transform(panel), expected(panel), equal_nan=True)
    assert transformer.get_feature_names_out().tolist() == ["reversal", "calm"]
    assert transformer.lookback_ == 10


def test_frames_of_any_kind_and_order_keep_their_rows(panel: Panel, frame: pl.DataFrame) -> None:
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    order = np.argsort(np.lexsort((shuffled["symbol"].to_numpy(), shuffled["date"].to_numpy())))
    want = expected(panel)[order]
    pandas = shuffled.to_pandas()
    tables = (shuffled, shuffled.lazy(), pandas, pandas.set_index(["date", "symbol"]))
    for table in tables:
        transformer = ff.AlphaTransformer(ALPHAS)
        assert np.array_equal(transformer.fit_transform(table), want, equal_nan=True)
        assert transformer.n_features_in_ == len(transformer.feature_names_in_)


def test_set_output(frame: pl.DataFrame) -> None:
    transformer = ff.AlphaTransformer(ALPHAS)
    as_polars = transformer.set_output(transform="polars").fit_transform(frame)
    assert isinstance(as_polars, pl.DataFrame)
    assert as_polars.columns == ["reversal", "calm"]
    indexed = frame.to_pandas().set_index(["date", "symbol"])
    as_pandas = transformer.set_output(transform="pandas").fit_transform(indexed)
    assert isinstance(as_pandas, pd.DataFrame)
    assert as_pandas.index.equals(indexed.index)


def test_columns_universe_and_coverage(frame: pl.DataFrame, panel: Panel) -> None:
    named = frame.with_columns(member=pl.col("symbol") != frame["symbol"][0]).rename({"close": "px", "date": "day"})
    transformer = ff.AlphaTransformer(
        ["RANK(TS_MEAN(CLOSE, 4))"], date="day", columns={"CLOSE": "px"}, universe="member", min_coverage=0.5
    )
    mask = np.broadcast_to(panel.symbols != frame["symbol"][0], panel.shape)
    members = panel.replace(universe=mask)
    want = ff.evaluate(["RANK(TS_MEAN(CLOSE, 4))"], members, min_coverage=0.5)[0]
    assert np.array_equal(transformer.fit_transform(named)[:, 0], want.ravel(), equal_nan=True)


def test_in_a_pipeline_cloned_and_pickled(panel: Panel, frame: pl.DataFrame) -> None:
    labels = np.nan_to_num(ff.forward_returns(panel).ravel())
    transformer = ff.AlphaTransformer(ALPHAS)
    model = make_pipeline(transformer, SimpleImputer(), LinearRegression())
    first = model.fit(frame, labels).predict(frame)
    assert first.shape == (frame.height,)
    again = clone(model)
    assert again.get_params()["alphatransformer__alphas"] == ALPHAS
    assert np.array_equal(again.fit(frame, labels).predict(frame), first)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(frame), first)
    model.set_params(alphatransformer__alphas=["RANK(CLOSE)"])
    assert model[:-1].fit_transform(frame).shape == (frame.height, 1)


def test_one_symbol_as_a_table_of_numbers() -> None:
    table = pd.DataFrame({"close": np.arange(1.0, 7.0), "size": np.ones(6)})
    transformer = ff.AlphaTransformer(["TS_MEAN(CLOSE, 2) + SIZE"], date=None, symbol=None)
    assert transformer.fit_transform(table)[1:, 0].tolist() == [2.5, 3.5, 4.5, 5.5, 6.5]
    array = ff.AlphaTransformer(["X0 / X1"], date=None, symbol=None).fit_transform(np.array([[1.0, 2.0], [3.0, 0.0]]))
    assert array[0, 0] == 0.5
    assert np.isnan(array[1, 0])


def test_wrong_use_is_said(frame: pl.DataFrame, panel: Panel) -> None:
    wrong: list[tuple[type[Exception], str, dict[str, Any], Any]] = [
        (ConfigError, "no alphas", {}, frame),
        (ConfigError, "both", {"alphas": "CLOSE", "symbol": None}, frame),
        (UnknownName, "CLOSE", {"alphas": "CLOZE"}, frame),
        (UnknownName, "no field 'SPREAD'", {"alphas": "SPREAD"}, frame),
        (UnknownName, "no field 'SPREAD'", {"alphas": "SPREAD"}, panel),
        (UnknownName, "X1", {"alphas": "X1", "date": None, "symbol": None}, np.ones((3, 1))),
        (ConfigError, "RANK compares", {"alphas": "RANK(X0)", "date": None, "symbol": None}, np.ones((3, 1))),
        (DataError, "no column 'day'", {"alphas": "CLOSE", "date": "day"}, frame),
        (DataError, "no column 'px' for CLOSE", {"alphas": "CLOSE", "columns": {"CLOSE": "px"}}, frame),
        (DataError, "date=None, symbol=None", {"alphas": "CLOSE"}, np.ones((3, 2))),
    ]
    for error, message, options, table in wrong:
        with pytest.raises(error, match=message):
            ff.AlphaTransformer(**options).fit(table)
    with pytest.raises(NotFittedError):
        ff.AlphaTransformer("CLOSE").transform(frame)
    twice = pl.concat([frame, frame.head(1)])
    assert len(ff.AlphaTransformer("CLOSE").fit_transform(twice)) == len(twice)  # the same row once more
    twice = pl.concat([frame, frame.head(1).with_columns(pl.col("close") + 1.0)])
    with pytest.raises(DataError, match="more than one row"):
        ff.AlphaTransformer("CLOSE").fit_transform(twice)

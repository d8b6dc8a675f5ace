"""Every operator inside a user's own lazy query, and the Polars namespace."""

from __future__ import annotations

import functools

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
import fama_fast.polars_namespace
from fama_fast import ops
from fama_fast.data import SimulationSpec, simulate
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.panel import GroupField, Panel
from tests.unit.ops.test_operators import long_frame

SPECS = {spec.name: spec for spec in ops.specs()}


@functools.cache
def market() -> Panel:
    """Fields and groups that the examples name, with holes; returns supplied, so that all see the same."""
    panel = simulate(SimulationSpec(n_symbols=9, n_dates=300, seed=4))
    rng = np.random.default_rng(4)
    fields = {name: np.where(rng.random(panel.shape) < 0.02, np.nan, panel[name]) for name in panel.supplied_fields}
    fields["CAP"] = panel["CLOSE"] * rng.integers(10, 99, panel.shape[1])
    codes = np.broadcast_to(np.arange(9) % 3, panel.shape).astype(float).copy()
    codes[:, 8] = np.nan
    groups = {name: GroupField(codes, ("a", "b", "c")) for name in ("SECTOR", "INDUSTRY", "SUBINDUSTRY")}
    return Panel(panel.dates, panel.symbols, fields, groups=groups)


@functools.cache
def frame() -> pl.DataFrame:
    return long_frame(market()).sort("row").drop("row")


def dense(column: pl.Series) -> np.ndarray:
    return column.to_numpy().reshape(market().shape)


@pytest.mark.parametrize("name", SPECS)
def test_every_operator_in_a_users_lazy_query(name: str) -> None:
    """The user's own columns, a filter and an aggregation around it; rows in another order than date and symbol."""
    text = SPECS[name].example
    alpha = ff.compile(text, groups=market().groups)
    query = (
        frame()
        .lazy()
        .sort("volume", descending=True)
        .with_columns((pl.col("close") * 2).alias("mine"), ff.alpha_expr(alpha).alias("alpha"))
        .sort("date", "symbol")
    )
    out = query.collect()
    assert out.schema["alpha"] == pl.Float64
    assert out["mine"].equals((frame()["close"] * 2).alias("mine"))
    expected = alpha.evaluate(market())
    assert np.isfinite(expected).any(), f"{text} has no value on this market"
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(dense(out["alpha"]), expected, rtol=1e-8, atol=1e-9 * scale)
    last = query.filter(pl.col("date") == pl.col("date").max()).group_by("mine").agg(pl.col("alpha").sum()).collect()
    assert np.isclose(last["alpha"].sum(), np.nansum(expected[-1]), rtol=1e-6, atol=1e-6 * scale)


def test_frames_get_columns_by_name() -> None:
    alphas = {"reversal": "-RANK(DELTA(CLOSE, 5))", "calm": "TS_STDDEV(RET, 20)"}
    eager, lazy = frame().fama.with_alphas(alphas), frame().lazy().fama.with_alphas(alphas)  # type: ignore[attr-defined]
    assert isinstance(lazy, pl.LazyFrame)
    assert eager.equals(lazy.collect())
    assert eager.columns == [*frame().columns, "reversal", "calm"]
    few = frame().fama.select_alphas(["RANK(CLOSE)", ff.compile("RANK(VOLUME)")])  # type: ignore[attr-defined]
    assert few.columns == ["date", "symbol", "RANK(CLOSE)", "RANK(VOLUME)"]
    assert dense(eager["reversal"])[-1].tolist() == ff.compile(alphas["reversal"]).evaluate(market())[-1].tolist()


def test_an_expression_stands_for_x() -> None:
    mid = (pl.col("high") + pl.col("low")) / 2
    out = frame().select(mid.fama.alpha("TS_MEAN(X, 5) / CLOSE"), pl.col("open").fama.alpha("RANK(X)"))  # type: ignore[attr-defined]
    assert out.columns == ["high", "open"]
    both = frame().with_columns(mid.alias("mid")).select(ff.alpha_expr("TS_MEAN(MID, 5) / CLOSE"))
    assert out["high"].equals(both["factor"])
    mapped = frame().select(ff.alpha_expr("RANK(PX)", columns={"PX": "open"}))
    assert out["open"].equals(mapped["factor"])


def test_panels_and_grids() -> None:
    assert frame().lazy().fama.to_panel().shape == market().shape  # type: ignore[attr-defined]
    holed = frame().slice(1)
    assert holed.fama.complete_grid().height == frame().height  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="complete it first"):
        holed.fama.with_alphas("RANK(CLOSE)")  # type: ignore[attr-defined]


def test_mistakes_show_before_the_query_runs() -> None:
    with pytest.raises(UnknownName, match="TS_MEAN"):
        frame().lazy().fama.with_alphas({"a": "TS_MAEN(CLOSE, 5)"})  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="no alphas"):
        frame().fama.with_alphas({})  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="two alphas"):
        frame().fama.with_alphas(["RANK(CLOSE)", "RANK(CLOSE)"])  # type: ignore[attr-defined]


def test_the_namespace_is_there_once() -> None:
    assert fama_fast.polars_namespace.FrameNamespace is type(frame().fama)  # type: ignore[attr-defined]
    assert ff.compile("RANK(CLOSE)") is ff.compile("RANK(CLOSE)")

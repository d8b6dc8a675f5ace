"""The Polars expression as someone embeds it: names, order, grids, nested windows, universes, outside operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast import ops
from fama_fast.backends.polars_expr import complete_grid, to_expr
from fama_fast.errors import DataError
from fama_fast.ir import Node, const, field
from fama_fast.lang import parse
from fama_fast.ops.spec import OpSpec, series
from fama_fast.panel import Panel
from fama_fast.types import Family
from tests.support.oracle import CASES, evaluate_oracle
from tests.unit.ops.test_operators import assert_equal, long_frame, node_of, on_numba, on_polars, panel_of

DAYS, NAMES = 30, ("A", "B", "C", "D", "E")


@pytest.fixture
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(4)
    n = DAYS * len(NAMES)
    close = 50 + rng.normal(size=n).cumsum()
    return pl.DataFrame(
        {
            "date": np.repeat(np.datetime64("2020-03-02") + np.arange(DAYS), len(NAMES)),
            "symbol": NAMES * DAYS,
            "high": close + 1.0,
            "low": close - 1.0,
            "close": close,
            "volume": rng.integers(1_000, 9_000, n),
            "sector": ["tech", "energy", "tech", "energy", None] * DAYS,
        }
    )


def panel(frame: pl.DataFrame) -> Panel:
    names = ("high", "low", "close", "volume")
    dense = {n.upper(): frame[n].to_numpy().reshape(DAYS, -1) for n in names}
    return Panel(frame["date"].unique(maintain_order=True).to_numpy(), NAMES, dense)


def values(frame: pl.DataFrame, expr: pl.Expr) -> Any:
    return frame.select(expr).to_series().to_numpy().reshape(DAYS, -1)


@pytest.mark.parametrize(
    "text",
    [
        "TS_MEAN(RANK(DELTA(CLOSE, 1)), 3)",
        "RANK(TS_STDDEV(RANK(CLOSE) * CLOSE, 5))",
        "CORREL(RANK(CLOSE), RANK(VOLUME), 6)",
        "DELTA(RANK(DELTA(CLOSE * RANK(DELTA(CLOSE, 1)), 2)), 1)",
        "RET > 0 ? VWAP : ADV5",
        "RANK(ADV10) - TS_RANK(RET * VOLUME, 4)",
    ],
)
def test_nested_windows_and_derived_fields(frame: pl.DataFrame, text: str) -> None:
    node = parse(text)
    assert_equal(values(frame, to_expr(node)), evaluate_oracle(node, panel(frame)), 1e-3)


def test_result_keeps_the_rows_order_and_the_other_columns(frame: pl.DataFrame) -> None:
    expr = to_expr(parse("RANK(DELTA(CLOSE, 5)) * -1"))
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    out = shuffled.with_columns(expr)
    assert out.columns == [*frame.columns, "factor"]
    assert out.drop("factor").equals(shuffled)
    assert out.sort("date", "symbol").equals(frame.with_columns(expr).sort("date", "symbol"))


def test_lazy_frames_filter_after_the_history_was_used(frame: pl.DataFrame) -> None:
    expr = to_expr(parse("TS_MEAN(CLOSE, 10)")).alias("mean")
    last = frame["date"].max()
    lazy = frame.lazy().with_columns(expr).filter(pl.col("date") == last).select("symbol", "mean").collect()
    eager = frame.with_columns(expr).filter(pl.col("date") == last).select("symbol", "mean")
    assert lazy.equals(eager)
    assert eager["mean"].null_count() == 0


def test_columns_and_groups_are_mapped(frame: pl.DataFrame) -> None:
    node = parse("GROUP_MEAN(RET, SECTOR) + CLOSE", groups=["SECTOR"])
    renamed = frame.rename({"close": "px_last", "sector": "gics"})
    mapped = to_expr(node, columns={"CLOSE": "px_last"}, groups={"sector": "gics"})
    assert np.array_equal(values(renamed, mapped), values(frame, to_expr(node)), equal_nan=True)
    with_returns = frame.with_columns(pl.lit(0.25).alias("my_ret"))
    read = values(with_returns, to_expr(parse("RET"), columns={"RET": "my_ret"}))
    assert (read == 0.25).all()


def test_a_missing_column_is_named(frame: pl.DataFrame) -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="open"):
        frame.with_columns(to_expr(parse("OPEN / CLOSE")))


def test_a_hole_in_the_grid_is_an_error_that_says_what_to_do(frame: pl.DataFrame) -> None:
    expr = to_expr(parse("DELAY(CLOSE, 1)"))
    for holed in (frame.slice(1), frame.lazy().slice(1)):
        with pytest.raises(DataError, match=r"30 dates x 5 symbols need 150 rows, it has 149.*complete_grid"):
            holed.lazy().with_columns(expr).collect()
    with pytest.raises(DataError, match="1 rows repeat"):
        frame.vstack(frame.tail(1)).with_columns(expr)
    with pytest.raises(DataError, match="no date or no symbol"):
        frame.with_columns(pl.lit(None, pl.Date).alias("date")).with_columns(expr)
    unchecked = to_expr(parse("DELAY(CLOSE, 1)"), check_grid=False)
    assert frame.slice(1).with_columns(unchecked)["factor"].null_count() == len(NAMES)


def test_complete_grid_adds_the_missing_rows(frame: pl.DataFrame) -> None:
    holed = frame.filter(~((pl.col("symbol") == "B") & pl.col("close").is_not_null().cum_count().is_in([7, 12])))
    eager, lazy = complete_grid(holed), complete_grid(holed.lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert eager.equals(lazy.collect())
    assert eager.columns == frame.columns
    assert eager.height == frame.height > holed.height
    assert eager["close"].null_count() == frame.height - holed.height
    out = eager.with_columns(to_expr(parse("DELAY(CLOSE, 1)")))
    assert out.filter(pl.col("symbol") == "B")["factor"].null_count() == 1 + frame.height - holed.height
    with pytest.raises(DataError, match="lacks symbol"):
        complete_grid(frame.drop("symbol"))


def test_an_empty_frame_gives_an_empty_column(frame: pl.DataFrame) -> None:
    out = frame.clear().with_columns(to_expr(parse("RANK(TS_MEAN(CLOSE, 3))")))
    assert out.height == 0
    assert out["factor"].dtype == pl.Float64


@pytest.mark.parametrize("name", [s.name for s in ops.specs()])
def test_no_rows_give_no_rows_for_every_operator(name: str) -> None:
    none = long_frame(panel_of("plain")).clear()
    for params in CASES[name]:
        expr = to_expr(node_of(name, params))
        for out in (none.select(expr), none.lazy().select(expr).collect(), none.group_by("symbol").agg(expr)):
            assert out.height == 0
        assert none.select(expr).schema == {"factor": pl.Float64}


# What an alpha sees inside a window or a group: one part of the frame at a time.
IN_PARTS: dict[str, Callable[[pl.DataFrame, pl.Expr, str], Any]] = {
    "over": lambda f, e, key: f.with_columns(e.over(key)),
    "over, lazily": lambda f, e, key: f.lazy().with_columns(e.over(key)).collect(),
    "over, streaming": lambda f, e, key: f.lazy().with_columns(e.over(key)).collect(engine="streaming"),
    "group_by": lambda f, e, key: f.group_by(key).agg(e),
    "group_by, lazily": lambda f, e, key: f.lazy().group_by(key).agg(e).collect(),
    "group_by, streaming": lambda f, e, key: f.lazy().group_by(key).agg(e).collect(engine="streaming"),
    "map_groups": lambda f, e, key: f.group_by(key).map_groups(lambda part: part.with_columns(e)),
    "partition_by": lambda f, e, key: [part.with_columns(e) for part in f.partition_by(key)],
    "filter": lambda f, e, key: f.lazy().filter(pl.col(key) == pl.col(key).min()).with_columns(e).collect(),
}


@pytest.mark.parametrize("how", IN_PARTS)
@pytest.mark.parametrize("text", ["RANK(CLOSE)", "RET - GROUP_MEAN(RET, SECTOR)", "TS_MEAN(SCALE(CLOSE), 2)"])
def test_one_symbol_of_many_is_refused_where_symbols_are_compared(frame: pl.DataFrame, text: str, how: str) -> None:
    kinds = (DataError, pl.exceptions.ComputeError) if how == "map_groups" else DataError
    with pytest.raises(
        kinds, match=r"compares the symbols of a date.*one symbol alone \(.\).*\.over.*allow_single=True"
    ):
        IN_PARTS[how](frame, to_expr(parse(text, groups=["SECTOR"])), "symbol")


@pytest.mark.parametrize("how", IN_PARTS)
@pytest.mark.parametrize("text", ["DELTA(CLOSE, 1)", "RANK(RET)", "TS_MEAN(CLOSE, 3, min_periods=1)"])
def test_one_date_of_many_is_refused_where_the_alpha_looks_back(frame: pl.DataFrame, text: str, how: str) -> None:
    kinds = (DataError, pl.exceptions.ComputeError) if how == "map_groups" else DataError
    with pytest.raises(kinds, match=r"looks back, and was given one date alone \(2020-.*\.over.*allow_single=True"):
        IN_PARTS[how](frame, to_expr(parse(text)), "date")


def test_windows_over_dates_show_one_date_at_first(frame: pl.DataFrame) -> None:
    expr = to_expr(parse("DELTA(CLOSE, 1)"))
    with pytest.raises(DataError, match="one date alone"):
        frame.rolling("date", period="3d").agg(expr)
    with pytest.raises(DataError, match="one date alone"):
        frame.select(expr.rolling("date", period="3d"))
    with pytest.raises(DataError, match="one symbol alone"):
        frame.sort("symbol", "date").rolling("date", period="3d", group_by="symbol").agg(to_expr(parse("RANK(CLOSE)")))
    with pytest.raises(DataError, match="one symbol alone"):
        frame.group_by_dynamic("date", every="3d", group_by="symbol").agg(to_expr(parse("RANK(CLOSE)")))


def test_parts_that_are_markets_of_their_own_are_computed_as_such(frame: pl.DataFrame) -> None:
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=7)
    over_time, by_date = to_expr(parse("TS_MEAN(DELTA(CLOSE, 1), 3)")), to_expr(parse("RANK(CLOSE)"))
    assert shuffled.select(over_time.over("symbol")).equals(shuffled.select(over_time))
    assert shuffled.select(by_date.over("date")).equals(shuffled.select(by_date))
    assert shuffled.select(to_expr(parse("CLOSE * 2")).over("symbol")).to_series().equals(shuffled["close"] * 2)
    sectors = shuffled.drop_nulls("sector")
    ranked = sectors.with_columns(to_expr(parse("RANK(DELTA(CLOSE, 1))")).over("sector").alias("out"))
    for (_,), part in ranked.group_by("sector"):
        assert part["out"].equals(part.select(to_expr(parse("RANK(DELTA(CLOSE, 1))"))).to_series().alias("out"))
    moving = frame.with_columns(pl.col("sector").shuffle(seed=1))
    with pytest.raises(DataError, match="not a complete grid"):
        moving.with_columns(by_date.over("sector"))


def test_a_single_symbol_or_date_is_taken_where_it_is_said_to_be_all(frame: pl.DataFrame) -> None:
    one = frame.filter(symbol="A")
    node = parse("RANK(CLOSE) + 0 * TS_MEAN(CLOSE, 2)")
    out = one.select(to_expr(node, allow_single=True)).to_series()
    assert out.to_list() == [None, *[1.0] * (DAYS - 1)]
    assert one.select(ff.compile("DELTA(CLOSE, 1)").to_polars()).to_series().null_count() == 1
    day = frame.filter(date=frame["date"].min())
    assert day.select(ff.compile("RET").to_polars(allow_single=True)).to_series().null_count() == len(NAMES)
    assert day.select(ff.compile("RET").to_polars({"RET": "close"})).to_series().equals(day["close"].alias("factor"))
    assert one.select(ff.alpha_expr("RANK(CLOSE)", allow_single=True)).to_series().to_list() == [1.0] * DAYS
    with pytest.raises(DataError, match="one symbol alone"):
        one.select(to_expr(parse("RANK(CLOSE)"), check_grid=False))


def test_streaming_and_what_stands_around_the_step_change_nothing(frame: pl.DataFrame) -> None:
    expr = to_expr(parse("RANK(DELTA(CLOSE, 1))")).alias("out")
    whole = frame.with_columns(expr)
    assert frame.lazy().with_columns(expr).collect(engine="streaming").equals(whole)
    after: list[Callable[[pl.LazyFrame], pl.LazyFrame]] = [
        lambda f: f.filter(pl.col("symbol") == "B"),
        lambda f: f.slice(7, 40),
        lambda f: f.tail(6),
        lambda f: f.sort("out", "date", "symbol", nulls_last=True).head(9),
        lambda f: f.group_by("symbol", maintain_order=True).agg(pl.col("out").max()),
    ]
    for step in after:
        lazy = step(frame.lazy().with_columns(expr))
        for engine in ("in-memory", "streaming"):
            assert lazy.collect(engine=engine).equals(step(whole.lazy()).collect()), (step, engine)


@pytest.mark.parametrize("symbol_type", [pl.Categorical, pl.String, pl.Int64])
def test_kinds_of_keys(frame: pl.DataFrame, symbol_type: Any) -> None:
    keyed = frame.with_columns(pl.col("symbol").replace_strict(dict(zip(NAMES, "39584", strict=True))))
    keyed = keyed.with_columns(pl.col("symbol").cast(symbol_type), pl.col("date").cast(pl.Datetime("us")))
    expr = to_expr(parse("RANK(DELTA(CLOSE, 2))"))
    assert keyed.select(expr).equals(frame.select(expr))


def test_missing_in_any_form_is_null_out(frame: pl.DataFrame) -> None:
    bad = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 4 == 0)
        .then(pl.lit(float("inf")))
        .when(pl.int_range(pl.len()) % 4 == 1)
        .then(pl.lit(float("nan")))
        .otherwise(pl.col("close"))
        .alias("close")
    )
    out = bad.with_columns(to_expr(parse("CLOSE + 0")))["factor"]
    assert out.null_count() == sum(i % 4 < 2 for i in range(bad.height))
    assert out.drop_nulls().is_finite().all()
    inside = bad.with_columns(to_expr(parse("IS_NAN(1 / (CLOSE - CLOSE))")))["factor"]
    assert (inside == 1.0).all()


def test_the_universe_is_seen_by_cross_sections_only() -> None:
    members = panel_of("universe")
    for text in ("RANK(TS_MEAN(X, 3))", "TS_MEAN(RANK(X), 2, min_periods=1)", "DEMEAN(X * Y)", "TS_MEAN(X, 3)"):
        node = parse(text)
        assert_equal(on_polars(node, members), evaluate_oracle(node, members), 1.0)
    assert members.universe is not None
    outside = on_polars(parse("RANK(X)"), members)[~members.universe]
    assert np.isnan(outside).all()
    nulls = long_frame(members).with_columns(pl.when("in_universe").then(True).alias("in_universe"))
    ranked = nulls.sort("row").select(to_expr(parse("RANK(X)"), universe="in_universe")).to_series()
    assert np.array_equal(
        ranked.to_numpy().reshape(members.shape), on_polars(parse("RANK(X)"), members), equal_nan=True
    )


def test_constants_alone_and_missing_constants(frame: pl.DataFrame) -> None:
    assert (values(frame, to_expr(ops.build("TS_SUM", const(2.0), 3)))[2:] == 6.0).all()
    assert frame.with_columns(to_expr(const(float("nan"))))["factor"].null_count() == frame.height


@pytest.fixture
def outside_operator() -> Iterator[OpSpec]:
    spec = ops.register(
        OpSpec(
            name="OUTSIDE_MEAN",
            family=Family.CROSS_SECTION,
            parameters=(series(),),
            doc="The mean of three days, by the kernel of another operator.",
            example="OUTSIDE_MEAN(CLOSE)",
            source="a test",
            kernel="ts_moments.mean",
            polars=lambda ctx, x: ctx.kernel("TS_MEAN", [x], (3, None)),
        )
    )
    yield spec
    ops.unregister(spec.name)


def test_an_operator_from_outside_may_use_a_kernel(frame: pl.DataFrame, outside_operator: OpSpec) -> None:
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=2)
    ours = shuffled.select(to_expr(parse("RANK(OUTSIDE_MEAN(CLOSE))"))).to_series()
    native = shuffled.select(to_expr(parse("RANK(TS_MEAN(CLOSE, 3))"))).to_series()
    np.testing.assert_allclose(ours.to_numpy(), native.to_numpy(), rtol=1e-12)


# --- random expressions -----------------------------------------------------------------------------

# Operators whose answer jumps when a rounding error breaks a tie stand at the bottom only, on raw data.
_SMOOTH = (
    "ADD SUB MUL MIN MAX TANH ABS NEG TS_MEAN TS_SUM TS_STDDEV TS_ZSCORE DECAY_LINEAR EMA DELTA DELAY TS_MIN "
    "TS_MEDIAN CORREL TS_COVARIANCE Z_SCORE DEMEAN SCALE WINSORIZE GROUP_NEUTRALIZE GROUP_MEAN BACKFILL"
)
_STEPS = ["RANK", "TS_RANK", "TS_ARGMAX", "SIGN", "GT", "GROUP_RANK", "IS_NAN"]


def random_node(rng: np.random.Generator, depth: int) -> Node:
    if depth == 0:
        return field(str(rng.choice(["X", "Y"])))
    name = str(rng.choice(_STEPS if depth == 1 else _SMOOTH.split()))
    spec = ops.get(name)
    arguments: list[Any] = []
    for p in spec.parameters:
        if p.kind.value == "group":
            arguments.append(parse("GROUP_MEAN(X, SECTOR)", groups=["SECTOR"]).args[1])
        elif p.kind.is_operand:
            arguments.append(random_node(rng, depth - int(rng.integers(1, 3)) if depth > 1 else 0))
        elif p.required:
            arguments.append(int(rng.integers(2, 8)))
    minimum = {"min_periods": 2} if spec.windowed and rng.random() < 0.5 else {}
    return ops.build(name, *arguments, **minimum)


@pytest.mark.parametrize("seed", range(40))
def test_random_expressions_agree(seed: int) -> None:
    node = random_node(np.random.default_rng(seed), 4)
    for name in ("missing", "universe"):
        expected = evaluate_oracle(node, panel_of(name))
        scale = float(np.nanmax(np.abs(expected), initial=1.0))
        for backend in (on_polars, on_numba):
            assert_equal(backend(node, panel_of(name)), expected, scale)

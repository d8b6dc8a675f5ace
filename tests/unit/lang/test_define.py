"""Operators from outside the package: defined in the language, lowered in Python, or with a kernel of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import lang, ops, passes
from fama_fast.errors import ArgumentError, FamaError, ParseError, UnknownName, WindowError
from fama_fast.ops.spec import MIN_PERIODS, OpSpec, series, window
from fama_fast.types import Family, Kind
from tests.unit.ops.test_operators import on_numba, on_polars, panel_of


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    before = {s.name for s in ops.specs()}
    yield
    for spec in list(ops.specs()):
        if spec.name not in before:
            ops.unregister(spec.name)


def agree(text: str, other: str, **names: Any) -> None:
    """Both texts have the same bits in both back ends, over awkward panels."""
    for panel_name in ("missing", "ties", "universe", "one_row"):
        panel = panel_of(panel_name)
        for backend in (on_numba, on_polars):
            mine, theirs = (
                backend(passes.canonicalise(lang.parse(t, groups=["SECTOR"])), panel) for t in (text, other)
            )
            assert np.array_equal(mine, theirs, equal_nan=True), (text, panel_name)


def test_a_composite_defined_in_the_language() -> None:
    spec = ff.define("TS_SPREAD(x, d) = TS_MAX(x, d) - TS_MIN(x, d)", aliases=["spread"])
    assert spec is ops.get("Spread")
    assert spec.signature == "TS_SPREAD(x, d)"
    assert spec.family is Family.TIME_SERIES
    assert spec.own_lookback((7,)) == 6
    assert spec.example == "TS_SPREAD(CLOSE, 20)"
    agree("RANK(TS_SPREAD(X, 5))", "RANK(TS_MAX(X, 5) - TS_MIN(X, 5))")
    alpha = ff.compile("spread(DELTA(close, 2), 5)")
    assert (alpha.canonical, alpha.lookback) == ("TS_SPREAD(DELTA(CLOSE, 2), 5)", 6)
    with pytest.raises(WindowError, match="at least 1"):
        ff.compile("TS_SPREAD(CLOSE, 0)")


def test_kinds_follow_from_use() -> None:
    spec = ff.define(
        "MIXED(x, y, g, d, n=3, q=0.25, min_periods=NONE) = "
        "GROUP_NEUTRALIZE(CORREL(x, RANK(y), 2 * d - 1, min_periods=min_periods), g) + TS_QUANTILE(x, n + 2, q) * n"
    )
    kinds = [p.kind for p in spec.parameters]
    assert kinds == [
        Kind.SERIES, Kind.SERIES, Kind.GROUP, Kind.WINDOW, Kind.WINDOW, Kind.NUMBER, Kind.WINDOW,
    ]  # fmt: skip
    d, n, q = spec.statics[:3]
    assert (d.minimum, d.maximum) == (2, 5000)
    assert (n.minimum, n.default) == (1, 3)
    assert (q.minimum, q.maximum, q.default) == (0.0, 1.0, 0.25)
    assert spec.parameters[-1] is MIN_PERIODS
    assert spec.windowed
    assert spec.family is Family.GROUP
    agree(
        "MIXED(X, Y, SECTOR, 3, min_periods=2)",
        "GROUP_NEUTRALIZE(CORREL(X, RANK(Y), 5, min_periods=2), SECTOR) + TS_QUANTILE(X, 5, 0.25) * 3",
    )


def test_definitions_build_on_each_other_and_on_fields() -> None:
    ff.define("TS_SPREAD(x, d=5) = TS_MAX(x, d) - TS_MIN(x, d)")
    spec = ff.define("RELATIVE(x, d) = TS_SPREAD(x, d) / TS_MEAN(Y, d)")
    assert spec.own_lookback((4,)) == 3
    agree("RELATIVE(X, 4)", "(TS_MAX(X, 4) - TS_MIN(X, 4)) / TS_MEAN(Y, 4)")
    agree("TS_SPREAD(X)", "TS_MAX(X, 5) - TS_MIN(X, 5)")
    assert ff.define("RET_GAP(x) = x - RET").own_lookback(()) == 1
    assert ff.compile("RET_GAP(CLOSE)").required_fields == ("CLOSE",)
    assert ff.define("HIGHER(x, y) = x > y").boolean


@pytest.mark.parametrize(
    ("text", "error", "message", "column"),
    [
        ("BAD(x) == x", ParseError, "a definition reads", 1),
        ("BAD x = x", ParseError, "a definition reads", 1),
        ("BAD(x) = x +", ParseError, "ends too early", 13),
        ("BAD(x) = TS_MAEN(x, 3)", UnknownName, "TS_MEAN", 10),
        ("BAD(x) = CLOZE * x", UnknownName, "CLOSE", 10),
        ("BAD(x, d) = TS_MEAN(x)", ArgumentError, "d is not used", 8),
        ("BAD(x, y) = x", ArgumentError, "y is not used", 8),
        ("BAD(d, x) = TS_MEAN(x, d)", ArgumentError, "must come before", 8),
        ("BAD(x, x) = x", ArgumentError, "given twice", 8),
        ("BAD(nan) = nan", ArgumentError, "cannot be a parameter", 5),
        ("BAD(x + 1) = x", ArgumentError, "a parameter is a name", 5),
        ("BAD(x, d=2.5) = TS_MEAN(x, d)", ArgumentError, "must be a whole number", 10),
        ("BAD(x, d) = TS_MEAN(x, d / 2)", WindowError, "not every d", 13),
        ("BAD(x, d) = TS_MEAN(x, -1 * d)", WindowError, "look ahead", 24),
        ("BAD(g, x) = GROUP_MEAN(x, g) + g", ArgumentError, "something else", 5),
        ("BAD() = CLOSE", ArgumentError, "needs an operand", 1),
        ("RANK(x) = x", ArgumentError, "is taken", 1),
        ("BAD(x) = BAD(x)", UnknownName, "unknown operator", 10),
    ],
)
def test_a_wrong_definition_says_where(text: str, error: type[Exception], message: str, column: int) -> None:
    with pytest.raises(error) as caught:
        ff.define(text)
    assert isinstance(caught.value, FamaError)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (1, column)  # type: ignore[attr-defined]
    assert ops.find("BAD") is None


def test_replacing_forgets_what_was_compiled() -> None:
    panel = panel_of("plain")
    ff.define("SHIFTED(x) = x + 1")
    first = ff.compile("SHIFTED(X)").evaluate(panel)
    with pytest.raises(ArgumentError, match="is taken"):
        ff.define("SHIFTED(x) = x + 2")
    ff.define("SHIFTED(x) = x + 2", replace=True)
    assert np.allclose(ff.compile("SHIFTED(X)").evaluate(panel), first + 1)
    with pytest.raises(ArgumentError, match="is taken"):
        ff.define("TS_MEAN(x) = x", replace=True)
    ops.unregister("SHIFTED")
    with pytest.raises(UnknownName):
        ff.compile("SHIFTED(X)")


def test_an_operator_from_outside_in_ten_lines() -> None:
    ops.register(
        OpSpec(
            name="TS_SPREAD",
            family=Family.TIME_SERIES,
            parameters=(series(), window()),
            doc="The highest minus the lowest value of the past d days.",
            example="TS_SPREAD(CLOSE, 20)",
            source="a test",
            lookback=lambda p: p["d"] - 1,
            lower=lambda x, d: ops.build("SUB", ops.build("TS_MAX", x, d), ops.build("TS_MIN", x, d)),
        )
    )
    agree("RANK(TS_SPREAD(X, 5))", "RANK(TS_MAX(X, 5) - TS_MIN(X, 5))")


def test_an_operator_from_outside_with_its_own_kernel() -> None:
    def polars(ctx: Any, x: Any, d: int) -> Any:
        return ctx.kernel("TS_UP_DAYS", [x], (d,))

    ops.register(
        OpSpec(
            name="TS_UP_DAYS",
            family=Family.TIME_SERIES,
            parameters=(series(), window()),
            doc="How many of the past d days had a positive value.",
            example="TS_UP_DAYS(RET, 10)",
            source="a test",
            missing="a missing day is not positive",
            lookback=lambda p: p["d"] - 1,
            kernel="tests.support.outside_kernels:up_days",
            polars=polars,
        )
    )
    agree("TS_UP_DAYS(X, 4) + 0", "TS_SUM(NAN_TO(X > 0, 0), 4)")
    alpha = ff.compile("RANK(TS_UP_DAYS(DELTA(X, 1), 4))")
    panel = panel_of("missing")
    stream = alpha.stream(panel.slice_dates(0, 20))
    row = stream.push(panel.dates[20], {"X": panel["X"][20]})
    assert np.array_equal(row, alpha.evaluate(panel)[20], equal_nan=True)

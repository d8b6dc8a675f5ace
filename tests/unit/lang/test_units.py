"""Units through the tree, mixed ones as warnings or errors, and which alphas hang on an arbitrary price level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import ops, passes
from fama_fast.cli import main
from fama_fast.errors import ArgumentError
from fama_fast.ir import Node
from fama_fast.lang import parse, to_text
from fama_fast.mining.proposers.palette import usage
from fama_fast.ops import OpSpec, UnitRule, specs
from fama_fast.ops.spec import series, window
from fama_fast.passes.price_level import depends_on_level
from fama_fast.passes.units import Unit, UnitError, infer_units
from fama_fast.types import Family
from tests.unit.ops.test_random_expressions import random_alphas, random_panel

UNITS = {
    "CLOSE": "price",
    "VOLUME": "volume",
    "CAP": "money",
    "ADV20": "money",
    "RET": "return",
    "5": "number",
    "PE_RATIO": "unknown",
    "CLOSE * VOLUME": "money",
    "CLOSE / OPEN": "ratio",
    "CLOSE / DELAY(CLOSE, 5) - 1": "return",
    "TS_RETURNS(CLOSE, 5)": "return",
    "CLOSE * 2 + 1": "price",
    "1 / CLOSE": "price^-1",
    "CLOSE ^ 2": "price^2",
    "SQRT(HIGH * LOW)": "price",
    "HIGH * LOW / CLOSE": "price",
    "CAP / CLOSE": "volume",
    "CLOSE / VOLUME": "price volume^-1",
    "TS_VAR(CLOSE, 5)": "price^2",
    "TS_STDDEV(CLOSE, 5)": "price",
    "TS_COVARIANCE(CLOSE, VOLUME, 5)": "money",
    "CORREL(CLOSE, VOLUME, 5)": "dimensionless",
    "DELTA(TS_MEAN(CLOSE, 5), 3)": "price",
    "RANK(CLOSE)": "dimensionless",
    "DEMEAN(CLOSE)": "price",
    "GROUP_MEAN(VOLUME, SECTOR)": "volume",
    "GROUP_RANK(VOLUME, SECTOR)": "dimensionless",
    "CLOSE > OPEN": "boolean",
    "!(CLOSE > OPEN)": "boolean",
    "CLOSE > OPEN ? HIGH : LOW": "price",
    "MAX(HIGH, 0)": "price",
    "CLIP(VOLUME, 0, 100)": "volume",
    "LOG(CLOSE)": "dimensionless",
    "SIGN(DELTA(CLOSE, 1))": "dimensionless",
    "PE_RATIO + CLOSE": "price",
    "CLOSE * PE_RATIO": "unknown",
    "TS_REGRESSION(CLOSE, VOLUME, 10, 0, 2)": "price volume^-1",
    "TS_REGRESSION(CLOSE, VOLUME, 10, 0, 0)": "price",
}


@pytest.mark.parametrize(("text", "unit"), UNITS.items())
def test_units_of_what_goes_together(text: str, unit: str) -> None:
    alpha = ff.compile(text)
    assert alpha.unit == unit
    assert alpha.warnings == ()
    assert ff.compile(text, strict_units=True) is alpha


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("CLOSE + VOLUME", "CLOSE + VOLUME adds a price and a volume"),
        ("RANK(CLOSE - VOLUME)", "CLOSE - VOLUME subtracts a price and a volume"),
        ("CLOSE > VOLUME", "compares a volume and a price"),
        ("RET + CLOSE", "adds a price and a return"),
        ("MAX(CLOSE, VOLUME)", "takes the larger of a price and a volume"),
        ("RET > 0 ? CLOSE : VOLUME", "puts together a price and a volume"),
        ("CLOSE * CLOSE + CLOSE", "adds a price^2 and a price"),
        ("CLOSE ^ RANK(VOLUME)", "raises a price to a power that varies"),
        ("TS_MEAN(ADV20 + VOLUME, 5)", "adds a money and a volume"),
    ],
)
def test_mixed_units_warn_by_default_and_fail_under_strict_units(text: str, warning: str) -> None:
    alpha = ff.compile(text)
    (found,) = alpha.warnings
    assert warning in found or _swapped(warning) in found
    with pytest.raises(UnitError) as caught:
        ff.compile(text, strict_units=True)
    assert isinstance(caught.value, ArgumentError)
    assert caught.value.text == text


def _swapped(warning: str) -> str:
    """The canonical form may have turned the operands round."""
    words = warning.split(" ")
    words[-1], words[-4] = words[-4], words[-1]
    return " ".join(words)


def test_each_mistake_is_named_once() -> None:
    alpha = ff.compile("(CLOSE + VOLUME) / DELAY(CLOSE + VOLUME, 1) + RANK(CLOSE + VOLUME)")
    assert len(alpha.warnings) == 1


def test_what_is_inside_a_composite_is_not_the_users_doing() -> None:
    assert infer_units(parse("CLIP(CLOSE, 0, 5)")).warnings == ()
    assert infer_units(parse("ADV20")).unit == Unit("money", Unit("x", 1, 1).price, Unit("x", 1, 1).volume)


def test_every_operator_with_a_kernel_has_a_rule() -> None:
    assert not {s.name for s in specs() if s.kernel is not None and s.unit is None}


def outside(**more: Any) -> OpSpec:
    return OpSpec(
        **{
            "name": "FROM_OUTSIDE",
            "family": Family.TIME_SERIES,
            "parameters": (series(), window()),
            "doc": "A trial.",
            "example": "FROM_OUTSIDE(CLOSE, 3)",
            "source": "a test",
            "lookback": lambda p: p["d"] - 1,
            "polars": lambda ctx, x, d: x,
            "kernel": "tests.support.outside_kernels:up_days",
            **more,
        }
    )


@pytest.fixture
def _no_trial() -> Iterator[None]:
    yield
    if ops.find("FROM_OUTSIDE"):
        ops.unregister("FROM_OUTSIDE")


@pytest.mark.usefixtures("_no_trial")
def test_an_operator_from_outside_declares_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    ops.register(outside(unit=UnitRule.SAME))
    alpha = ff.compile("FROM_OUTSIDE(CLOSE, 3) + VOLUME")
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3)").unit == "price"
    assert alpha.warnings == ("FROM_OUTSIDE(CLOSE, 3) + VOLUME adds a price and a volume",)
    with pytest.raises(UnitError, match="adds a price and a volume"):
        ff.compile("FROM_OUTSIDE(CLOSE, 3) + VOLUME", strict_units=True)
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3)").level_dependence == "FROM_OUTSIDE(CLOSE, 3)"
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3) / CLOSE").level_dependence is None
    assert main(["check", "FROM_OUTSIDE(CLOSE, 3) + VOLUME"]) == 0
    assert "adds a price and a volume" in "".join(capsys.readouterr())
    assert main(["check", "--strict-units", "FROM_OUTSIDE(CLOSE, 3) + VOLUME"]) == 2


@pytest.mark.usefixtures("_no_trial")
def test_a_unit_may_follow_from_the_static_parameters() -> None:
    ops.register(outside(unit=lambda p: UnitRule.SQUARE if p["d"] == 2 else UnitRule.FREE))
    assert ff.compile("FROM_OUTSIDE(CLOSE, 2)").unit == "price^2"
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3)").unit == "dimensionless"


@pytest.mark.usefixtures("_no_trial")
def test_without_a_unit_a_kernels_result_goes_with_any_and_hangs_on_the_level() -> None:
    ops.register(outside())
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3)").unit == "unknown"
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3) + VOLUME", strict_units=True).warnings == ()
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3) / CLOSE").level_dependence == "FROM_OUTSIDE(CLOSE, 3)"
    ops.unregister("FROM_OUTSIDE")
    ops.register(outside(unit=UnitRule.LOG))
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3)").unit == "dimensionless"
    assert ff.compile("FROM_OUTSIDE(CLOSE, 3) - LOG(OPEN)").level_dependence is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": UnitRule.PRODUCT}, "the unit rule product is of 2 operands"),
        ({"unit": UnitRule.FILL, "family": Family.ELEMENT, "parameters": (series(),)}, "is of a static parameter"),
        ({"usage": -1}, "usage is a count"),
    ],
)
def test_a_unit_that_the_signature_cannot_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outside(**changes)


def test_usage_decides_how_often_an_operator_is_drawn() -> None:
    rare, common = outside(), outside(usage=7)
    assert usage([rare, common])[1] == usage([rare])[0] + 7


FREE_OF_LEVEL = [
    "RET",
    "VOLUME",
    "CAP",
    "CLOSE / DELAY(CLOSE, 5)",
    "RANK(CLOSE / OPEN)",
    "LOG(CLOSE) - LOG(DELAY(CLOSE, 1))",
    "LOG(CLOSE / OPEN)",
    "TS_STDDEV(LOG(CLOSE), 20)",
    "TS_RANK(CLOSE, 10)",
    "TS_ZSCORE(CLOSE * VOLUME, 10)",
    "CORREL(CLOSE, VOLUME, 10)",
    "SIGN(DELTA(CLOSE, 1)) * VOLUME",
    "(CLOSE - OPEN) / (HIGH - LOW + 0.001)",
    "CLOSE > OPEN",
    "CLOSE > OPEN ? VOLUME : RET",
    "SQRT(HIGH * LOW) / VWAP",
    "NAN_TO(CLOSE, 0) / OPEN",
    "TS_REGRESSION(CLOSE, OPEN, 10, 0, 2)",
    "EXP(LOG(CLOSE) - LOG(OPEN))",
    "-1 * LOG(OPEN) + LOG(CLOSE)",
    "5",
]
HANG_ON_LEVEL = {
    "CLOSE": "CLOSE",
    "RANK(CLOSE)": "RANK(CLOSE)",
    "DELTA(CLOSE, 5)": "DELTA(CLOSE, 5)",
    "RANK(DELTA(CLOSE, 5)) * -1": "RANK(DELTA(CLOSE, 5))",
    "CLOSE * VOLUME": "CLOSE * VOLUME",
    "ADV20": "ADV20",
    "LOG(CLOSE)": "LOG(CLOSE)",
    "CLOSE > 5": "5 < CLOSE",
    "CLOSE / OPEN + CLOSE": "CLOSE + CLOSE / OPEN",
    "RET + RANK(LOW)": "RANK(LOW)",
    "TS_RANK(RANK(LOW), 9)": "RANK(LOW)",
    "GROUP_NEUTRALIZE(VWAP, SECTOR) / VWAP": "GROUP_NEUTRALIZE(VWAP, SECTOR)",
    "TANH(CLOSE)": "TANH(CLOSE)",
    "NAN_TO(CLOSE, 1)": "NAN_TO(CLOSE, 1)",
    "CLOSE + 1": "CLOSE + 1",
}
# Columns that hold the adjustment, or other prices.
OTHER_PRICES = ("FACTOR", "ADJ_CLOSE", "PRE_CLOSE")


@pytest.mark.parametrize("text", FREE_OF_LEVEL)
def test_free_of_the_price_level(text: str) -> None:
    assert ff.compile(text).level_dependence is None


@pytest.mark.parametrize("name", OTHER_PRICES)
def test_the_adjustment_and_other_prices_move_with_the_level(name: str) -> None:
    fields = ("CLOSE", "VOLUME", name, "PE")
    assert ff.compile(f"RANK({name})", fields=fields).level_dependence == f"RANK({name})"
    assert ff.compile(f"RANK(CLOSE / {name})", fields=fields).level_dependence is None
    assert ff.compile("RANK(PE)", fields=fields).level_dependence is None


@pytest.mark.parametrize(("text", "part"), HANG_ON_LEVEL.items())
def test_hanging_on_the_price_level(text: str, part: str) -> None:
    assert ff.compile(text).level_dependence == part


def _orders(node: Node, panel: ff.Panel) -> np.ndarray:
    values = ff.compile(to_text(passes.canonicalise(node))).evaluate(panel)
    return np.argsort(np.argsort(np.round(values, 9), axis=1, kind="stable"), axis=1)


@pytest.mark.parametrize("seed", range(2))
def test_scaling_each_symbols_prices_leaves_the_order_where_nothing_is_reported(seed: int) -> None:
    panel = random_panel(2 * seed)
    rng = np.random.default_rng(seed)
    # Powers of two: the scaled arithmetic is exact.
    factors = 2.0 ** rng.integers(-3, 4, panel.symbols.size)
    prices = {n: panel[n] * factors for n in ("OPEN", "HIGH", "LOW", "CLOSE")}
    scaled = panel.replace(fields=prices)
    checked = reported = 0
    for alpha in random_alphas(150, 70 + seed):
        if depends_on_level(alpha.node) is not None:
            reported += 1
            continue
        checked += 1
        a, b = alpha.evaluate(panel), alpha.evaluate(scaled)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=alpha.canonical)
    assert checked > 15
    assert reported > 15


def test_what_is_reported_changes_order_when_prices_are_scaled() -> None:
    panel = random_panel(0)
    factors = 2.0 ** (4 - np.arange(panel.symbols.size))
    prices = {n: panel[n] * factors for n in ("OPEN", "HIGH", "LOW", "CLOSE")}
    scaled = panel.replace(fields={**prices, "CAP": panel["VOLUME"]})
    panel = panel.replace(fields={"CAP": panel["VOLUME"]})
    for text in HANG_ON_LEVEL:
        assert not np.array_equal(_orders(parse(text), panel), _orders(parse(text), scaled)), text


def test_the_check_command_reports_both(capsys: pytest.CaptureFixture[str]) -> None:
    from fama_fast.cli import main

    assert main(["check", "CLOSE + VOLUME", "CLOSE / OPEN"]) == 0
    first, second = capsys.readouterr().out.split("expression   CLOSE / OPEN")
    assert "warning      CLOSE + VOLUME adds a price and a volume" in first
    assert "price level, which is arbitrary" in first
    assert "warning" not in second
    assert "unit         ratio" in second
    assert main(["check", "--strict-units", "CLOSE + VOLUME"]) == 2
    assert "adds a price and a volume" in capsys.readouterr().err


def test_the_gate_stops_mixed_units_when_asked_to() -> None:
    from tests.unit.mining.test_gates import context, text_gate

    assert text_gate("CLOSE + VOLUME", context()).gate != "arguments"
    stopped = text_gate("CLOSE + VOLUME", context(strict_units=True))
    assert stopped.gate == "arguments"
    assert "adds a price and a volume" in (stopped.reason or "")

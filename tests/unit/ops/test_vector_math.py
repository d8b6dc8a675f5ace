"""Vectorised exponentials, logarithms and powers against extended precision, over their whole range."""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.backends.numba_vm.single import apply
from tests.support.oracle import Array as FloatArray

EXTENDED = np.finfo(np.longdouble).nmant > 60
needs_extended = pytest.mark.skipif(not EXTENDED, reason="long double is a double here: nothing to compare with")


def ulps(got: FloatArray, exact: np.ndarray) -> float:
    """Largest error in units of the last place of the exact value."""
    spacing = np.spacing(np.abs(exact).astype(np.float64)).astype(np.longdouble)
    return float(np.max(np.abs(got.astype(np.longdouble) - exact) / spacing))


def column(values: FloatArray) -> FloatArray:
    return np.ascontiguousarray(values.reshape(-1, 1))


def draw(low: float, high: float, rng: np.random.Generator) -> FloatArray:
    """Numbers of all sizes: even in the exponent, both near the ends and in between."""
    size = np.exp(rng.uniform(np.log(low), np.log(high), 20_000))
    return np.concatenate((size, [low, high, 1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 2.0, 0.5]))


@needs_extended
@pytest.mark.parametrize(
    ("operator", "exact", "low", "high", "signs"),
    [
        ("EXP", np.exp, 1e-12, 709.0, True),
        ("LOG", np.log, 5e-324, 1.7e308, False),
        ("LOG1P", np.log1p, 1e-300, 1e300, False),
        ("TANH", np.tanh, 1e-300, 1e3, True),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-x)), 1e-12, 700.0, True),
    ],
)
def test_error_below_four_units_in_the_last_place(
    operator: str, exact: object, low: float, high: float, signs: bool
) -> None:
    x = draw(low, high, np.random.default_rng(1))
    if signs:
        x = np.concatenate((x, -x))
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.longdouble))  # type: ignore[operator]
    got = apply(operator, [column(x)]).ravel()
    normal = np.abs(want) > np.finfo(np.float64).tiny
    assert ulps(got[normal], want[normal]) < 4.0


@needs_extended
def test_powers_to_the_last_places() -> None:
    rng = np.random.default_rng(2)
    size = draw(1e-300, 1e300, rng)
    exponent = rng.uniform(-8.0, 8.0, size.size)
    with np.errstate(all="ignore"):
        want = size.astype(np.longdouble) ** exponent.astype(np.longdouble)
    inside = (want > np.finfo(np.float64).tiny) & (want < np.finfo(np.float64).max)
    got = apply("POWER", [column(size), column(exponent)]).ravel()
    assert ulps(got[inside], want[inside]) < 2.0
    assert np.isnan(got[want > np.finfo(np.float64).max]).all()


def test_powers_of_whole_numbers_are_whole() -> None:
    base, exponent = (a.ravel().astype(float) for a in np.meshgrid(np.arange(-12, 13), np.arange(0, 13)))
    got = apply("POWER", [column(base), column(exponent)]).ravel()
    np.testing.assert_array_equal(got, base**exponent)


def test_the_edges() -> None:
    x = column(np.array([0.0, -1.0, np.nan, 710.0, -800.0, 5e-324]))
    assert np.isnan(apply("LOG", [x]).ravel()[:3]).all()
    np.testing.assert_array_equal(apply("EXP", [x]).ravel(), [1.0, np.exp(-1.0), np.nan, np.nan, 0.0, 1.0])
    base = column(np.array([0.0, 0.0, 0.0, -8.0, -2.0, -2.0, np.nan, 1.0]))
    exponent = column(np.array([2.0, 0.0, -1.0, 1.0 / 3.0, 3.0, 4.0, 0.0, np.nan]))
    got = apply("POWER", [base, exponent]).ravel()
    np.testing.assert_array_equal(got, [0.0, 1.0, np.nan, np.nan, -8.0, 16.0, np.nan, np.nan])
    got = apply("SIGNED_POWER", [base, exponent]).ravel()
    np.testing.assert_array_equal(got[[0, 4, 5, 6, 7]], [0.0, -8.0, -16.0, np.nan, np.nan])
    assert got[3] == pytest.approx(-2.0, rel=1e-15)

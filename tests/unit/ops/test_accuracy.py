"""Windowed statistics on hard series against extended precision: relative error at most 1e-9, and no traces.

A window of mean m and deviation s cannot be told better than its data are given: one rounding of a value at level m is
2^-53 |m|. So series with a large level have steps that are exact at that level, and errors are those of the method.
"""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.backends.numba_vm.single import apply
from tests.support.oracle import Array

LIMIT = 1e-9
DATES = 1200

needs_extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 60, reason="long double is a double here: nothing to compare with"
)


def far_level(rng: np.random.Generator) -> Array:
    """1e12 with unit noise."""
    return 1e12 + rng.normal(0.0, 1.0, DATES)


def jumps(rng: np.random.Generator) -> Array:
    """Noise that jumps by 1e10 and back."""
    x = rng.normal(0.0, 1.0, DATES)
    for start in range(100, DATES, 230):
        x[start : start + 60] += 1e10
    return x


def constant_then_noise(rng: np.random.Generator) -> Array:
    """Stretches without any change, then noise."""
    x = 3.7 + rng.normal(0.0, 1.0, DATES)
    for start in range(0, DATES, 300):
        x[start : start + 140] = 7.1e5
    return x


def denormals(rng: np.random.Generator) -> Array:
    """Numbers so small that their squares vanish, beside ordinary stretches."""
    x = rng.normal(0.0, 1.0, DATES)
    x[200:500] *= 5e-310
    x[700:900] *= 1e-160
    return x


def all_sizes(rng: np.random.Generator) -> Array:
    """Signs and sizes from 1e-8 to 1e8 at random."""
    return rng.choice([-1.0, 1.0], DATES) * np.exp(rng.uniform(-18.0, 18.0, DATES))


SERIES = [far_level, jumps, constant_then_noise, denormals, all_sizes]


def moments(x: np.ndarray, y: np.ndarray) -> dict[str, np.longdouble]:
    """The statistics of one window in extended precision, by two passes."""
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    n = np.longdouble(len(a))
    da, db = a - a.sum() / n, b - b.sum() / n
    xx, yy, xy = (da * da).sum(), (db * db).sum(), (da * db).sum()
    return {
        "TS_SUM": a.sum(),
        "TS_MEAN": a.sum() / n,
        "TS_VAR": xx / (n - 1),
        "TS_STDDEV": np.sqrt(xx / (n - 1)),
        "COVARIANCE": xy / (n - 1),
        "CORREL": xy / (np.sqrt(xx) * np.sqrt(yy)) if xx > 0 and yy > 0 else np.longdouble(np.nan),
        # What an error is measured by: sums and covariances may cancel to nothing by themselves.
        "size": np.abs(a).sum(),
        "spread": np.sqrt(xx) * np.sqrt(yy) / (n - 1),
    }


def holed(x: Array, rng: np.random.Generator) -> Array:
    x = x.copy()
    x[rng.random(DATES) < 0.02] = np.nan
    return x


@needs_extended
@pytest.mark.parametrize("d", [2, 10, 60, 500])
@pytest.mark.parametrize("make", SERIES, ids=lambda make: make.__name__)
def test_relative_error(make, d) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(5)
    series, partner = make(rng), make(rng)
    # Lanes see the same rows, some with holes: strict windows on the first, relaxed ones on both.
    whole, gaps = np.stack([series] * 8, axis=1), np.stack([holed(series, rng) for _ in range(8)], axis=1)
    other = np.stack([partner] * 8, axis=1)
    least = max(2, d - d // 4)
    checked = range(d - 1, DATES, 7)
    for x, minimum, lane in ((whole, None, 0), (gaps, least, 3)):
        got = {
            name: apply(name, [x, other] if name in ("COVARIANCE", "CORREL") else [x], (d, minimum))[:, lane]
            for name in ("TS_SUM", "TS_MEAN", "TS_VAR", "TS_STDDEV", "COVARIANCE", "CORREL")
        }
        for t in checked:
            window, beside = x[t - d + 1 : t + 1, lane], other[t - d + 1 : t + 1, lane]
            present = np.isfinite(window)
            if present.sum() < least:
                assert all(np.isnan(v[t]) for v in got.values())
                continue
            want = moments(window[present], beside[present])
            scale = {
                "TS_SUM": want["size"],
                "TS_MEAN": want["size"] / present.sum(),
                "TS_VAR": want["TS_VAR"],
                "TS_STDDEV": want["TS_STDDEV"],
                "COVARIANCE": want["spread"],
                "CORREL": np.longdouble(1.0),
            }
            for name, value in got.items():
                # Below the smallest normal number there are no nine digits to be had.
                if 0 < scale[name] * scale[name] < 1e-290 or (name == "CORREL" and 0 < want["spread"] < 1e-290):
                    continue
                if np.isnan(want[name]):
                    assert np.isnan(value[t]), (name, d, t)
                    continue
                error = abs(np.longdouble(value[t]) - want[name])
                assert error <= LIMIT * scale[name], (name, d, t, value[t], want[name])


@pytest.mark.parametrize("d", [2, 5, 20, 60, 500])
@pytest.mark.parametrize("guest", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_what_has_left_the_window_leaves_no_trace(guest: float, d: int) -> None:
    """Before it came and from `d` days after it on, every bit is as if it had never been there."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(50.0, 1.0, (DATES, 8)), rng.normal(0.0, 1.0, (DATES, 8))
    at = 500  # where blocks of many widths begin: what a window is measured from must not leak either
    visited = x.copy()
    visited[at, :5] = guest
    for name in ("TS_SUM", "TS_MEAN", "TS_VAR", "TS_STDDEV", "TS_ZSCORE", "COVARIANCE", "CORREL", "DECAY_LINEAR"):
        operands = (x, y) if name in ("COVARIANCE", "CORREL") else (x,)
        for minimum in (None, d - d // 4):
            params = (d, True, minimum) if name == "DECAY_LINEAR" else (d, minimum)
            clean = apply(name, list(operands), params)
            after = apply(name, [visited, *operands[1:]], params)
            away = np.r_[0:at, at + d : DATES]
            np.testing.assert_array_equal(after[away], clean[away], err_msg=f"{name} {params}")
            np.testing.assert_array_equal(after[:, 5:], clean[:, 5:], err_msg=f"{name} {params}, other symbols")

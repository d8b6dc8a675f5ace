"""The engine's sort of a row beside NumPy's stable one, where its keys are short of bits, and the sink's ties."""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.engine import daily_rank_ic
from fama_fast.evaluation import rank_ic
from fama_fast.evaluation.rows import SortedRows
from fama_fast.panel import Panel

WIDTHS = (1, 2, 7, 64, 500, 1023, 1500)
TINY, HUGE = 5e-324, 1.7e308


def rows_of(width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(width)
    normal = rng.normal(size=width)
    pool = np.array([-HUGE, HUGE, -TINY, TINY, -0.0, 0.0, 1.0, np.nextafter(1.0, 2.0), -1.0, 1e-308, -3e-310])
    return {
        "around zero": normal,
        "one side": np.exp(4.0 * normal),
        "other side": -np.exp(0.1 * normal),
        "a far one": np.where(np.arange(width) == width // 2, 1e300, 1e-3 * normal),
        "far ones": np.where(np.arange(width) % 50 == 0, HUGE * np.sign(normal), normal),
        "tiny": TINY * np.round(20 * normal),
        "extremes": rng.choice(pool, width),
        "next to each other": 1.0 + np.spacing(1.0) * rng.integers(0, 40, width),
        "around zero, next to each other": np.where(normal > 0, -1.0, np.spacing(1.0) * rng.integers(0, 40, width)),
        "few": np.sign(normal),
        "same": np.full(width, -2.5),
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_are_sorted_as_a_stable_sort_does(width: int) -> None:
    rng = np.random.default_rng(0)
    for name, row in rows_of(width).items():
        for share in (0.0, 0.1, 1.0):
            values = np.where(rng.random(width) < share, np.nan, row)
            found = SortedRows.of(values[None])
            present = np.flatnonzero(values == values)
            expected = present[np.argsort(values[present], kind="stable")]
            assert found.count[0] == present.size, name
            np.testing.assert_array_equal(found.order[0, : present.size], expected, name)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_the_sink_has_the_bits_of_rank_ic(tied: bool, rounded: bool) -> None:
    """Labels missing and equal on some dates, values missing and equal on others."""
    rng = np.random.default_rng(3)
    t, n = 60, 130
    values, labels = rng.normal(size=(t, n)), rng.normal(size=(t, n))
    values = np.round(values, 1) if rounded else values
    labels[::2] = np.round(labels[::2], 1) if tied else labels[::2]
    values[rng.random((t, n)) < 0.1] = np.nan
    labels[rng.random((t, n)) < 0.2] = np.nan
    labels[5], values[7], labels[9] = np.nan, np.nan, 1.0
    dates = np.datetime64("2020-01-01") + np.arange(t)
    panel = Panel(dates, range(n), {"CLOSE": values})
    figures, counts = daily_rank_ic(["CLOSE", "-CLOSE", "RANK(CLOSE)"], panel, SortedRows.of(labels))  # type: ignore[arg-type]
    expected = rank_ic(values, labels)
    np.testing.assert_array_equal(figures[0], expected)
    np.testing.assert_array_equal(figures[1], -expected)
    np.testing.assert_array_equal(figures[2], expected)
    np.testing.assert_array_equal(counts[0], (values == values).sum(axis=1))
    assert np.isnan(expected[[5, 7, 9]]).all()

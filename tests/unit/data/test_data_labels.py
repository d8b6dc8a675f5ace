"""Forward returns and date splits: nothing reaches where it must not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama_fast.data import date_splits, forward_returns
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.panel import Panel


def panel_of(close: object) -> Panel:
    values = np.asarray(close, dtype=float)
    days = np.datetime64("2020-01-01") + np.arange(values.shape[0])
    return Panel(days, [f"S{i}" for i in range(values.shape[1])], {"CLOSE": values})


def test_forward_returns_by_hand() -> None:
    panel = panel_of([[100.0], [110.0], [121.0], [np.nan], [242.0], [0.0], [5.0]])
    expected = [0.1, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(forward_returns(panel)[:, 0], expected)
    expected = [0.21, np.nan, 1.0, np.nan, -1.0 + 5 / 242, np.nan, np.nan]
    np.testing.assert_allclose(forward_returns(panel, horizon=2, entry_lag=0)[:, 0], expected)


def test_forward_returns_match_ret_two_days_on() -> None:
    rng = np.random.default_rng(0)
    panel = panel_of(np.exp(rng.normal(size=(30, 4)).cumsum(axis=0)))
    np.testing.assert_allclose(forward_returns(panel)[:-2], panel["RET"][2:])


@pytest.mark.parametrize(("horizon", "entry_lag"), [(5, 1), (3, 0), (1, 7), (10_000, 1)])
def test_short_panels_have_no_labels(horizon: int, entry_lag: int) -> None:
    labels = forward_returns(panel_of([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]), horizon, entry_lag)
    assert labels.shape == (3, 2)
    assert np.isnan(labels).all()


@pytest.mark.parametrize("arguments", [{"horizon": 0}, {"horizon": 1.5}, {"horizon": True}, {"entry_lag": -1}])
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"must be a whole number of days"):
        forward_returns(panel_of([[1.0], [2.0]]), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"must be a whole number of days"):
        date_splits(1000, **arguments)  # type: ignore[arg-type]


def test_without_closes() -> None:
    panel = Panel(np.array(["2020-01-01"], dtype="datetime64[D]"), ["A"], {"OPEN": [[1.0]]})
    with pytest.raises(UnknownName, match=r"CLOSE"):
        forward_returns(panel)


@given(
    n=st.integers(1, 600),
    horizon=st.integers(1, 20),
    lag=st.integers(0, 3),
    embargo=st.integers(0, 10),
    cut=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
)
def test_no_label_reaches_into_a_later_split(
    n: int, horizon: int, lag: int, embargo: int, cut: tuple[int, int, int]
) -> None:
    total = sum(cut)
    fractions = (cut[0] / total, cut[1] / total, cut[2] / total)
    try:
        s = date_splits(n, horizon=horizon, entry_lag=lag, fractions=fractions, embargo=embargo)
    except DataError as error:
        least = int(str(error).rpartition("at least ")[2].split()[0])
        assert least > n
        date_splits(least, horizon=horizon, entry_lag=lag, fractions=fractions, embargo=embargo)
        return
    assert s.purge == horizon + lag
    assert s.train.start == 0
    assert s.test.stop == n
    for earlier, later in ((s.train, s.valid), (s.valid, s.test)):
        assert earlier.stop - earlier.start >= 2
        assert earlier.stop - 1 + horizon + lag < later.start - embargo
    # The test split has labels too.
    assert s.test.stop - s.test.start - s.purge >= 2


def test_splits_cover_the_fractions() -> None:
    s = date_splits(1000)
    assert (s.train, s.valid, s.test) == (slice(0, 598), slice(600, 798), slice(800, 1000))
    assert s.as_dict() == {"train": (0, 598), "valid": (600, 798), "test": (800, 1000)}
    assert s.describe(np.arange(1000)).startswith("train 0..597 (598 days), valid 600..797")
    assert date_splits(1000, embargo=5).valid == slice(605, 798)


def test_too_few_dates_give_the_least_number() -> None:
    with pytest.raises(DataError, match=r"1 dates are too few .* at least 19 are needed"):
        date_splits(1)
    date_splits(19)


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.6, 0.4), (1.2, -0.1, -0.1)])
def test_wrong_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"sum to 1"):
        date_splits(1000, fractions=fractions)  # type: ignore[arg-type]

"""One date at a time gives the bits of the batch: over the whole registry, over nested expressions, after a restore."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate
from fama_fast.engine import Alpha, Stream
from fama_fast.errors import DataError, StoreError, UnknownName
from fama_fast.ir import Node
from fama_fast.panel import Panel
from tests.support.oracle import CASES, Array
from tests.unit.ops.test_operators import SPECS, node_of, panel_of


def rows_of(panel: Panel, t: int, stream: Stream) -> dict[str, Any]:
    """Everything of one date, as `push` takes it."""
    labels = {}
    for name in stream.required_groups:
        group = panel.group(name)
        labels[name] = [None if c != c else group.labels[int(c)] for c in group.codes[t]]
    return {
        "date": panel.dates[t],
        "fields": {name: panel[name][t] for name in panel.supplied_fields},
        "universe": None if panel.universe is None else panel.universe[t],
        "groups": labels,
    }


def same_bits(a: Array, b: Array) -> bool:
    """Bit for bit, but for the sign of zero and the bits of NaN."""
    return np.array_equal(a, b, equal_nan=True)


def assert_streams(alpha: Alpha, panel: Panel, starts: tuple[int, ...], restore_every: int = 0) -> None:
    batch = alpha.evaluate(panel)
    for start in starts:
        stream = alpha.stream(panel.slice_dates(0, start))
        for t in range(start, len(panel.dates)):
            if restore_every and t % restore_every == 0:
                stream = Stream.restore(stream.state())
            values = stream.push(**rows_of(panel, t, stream))
            assert same_bits(values, batch[t]), f"{alpha.text} from {start}, date {t}: {values} and not {batch[t]}"
        assert stream.n_dates == len(panel.dates)
        assert stream.date == panel.dates[-1]


def alpha_of(node: Node) -> Alpha:
    return Alpha(repr(node), "fama", node)


@pytest.mark.parametrize("name", SPECS)
def test_every_operator_streams_the_bits_of_the_batch(name: str) -> None:
    for params in CASES[name]:
        for panel_name in ("missing", "universe", "offset"):
            assert_streams(alpha_of(node_of(name, params)), panel_of(panel_name), (1, 17))


@pytest.fixture(scope="module")
def market() -> Panel:
    return simulate(SimulationSpec(n_symbols=13, n_dates=110, seed=1))


NESTED = (
    "RANK(DELTA(CLOSE, 5)) * -1",
    "CORREL(RANK(CLOSE), TS_MEAN(RET, 7), 10)",
    "RANK(TS_STDDEV(RANK(CLOSE) * VOLUME / TS_MEAN(VOLUME, 33), 12)) + VWAP",
    "GROUP_NEUTRALIZE(TS_MEAN(GROUP_RANK(TS_RANK(RET, 9), SECTOR), 4), SECTOR)",
    "TS_MEAN(CLOSE, 9, min_periods=3) + TS_SUM(TS_ARGMAX(CLOSE, 4, min_periods=1), 6)",
    "TS_KURT(DECAY_LINEAR(RET, 6), 15) - DELAY(TS_QUANTILE(VOLUME, 11, 0.3), 3)",
    "ADV20 / VOLUME",
    "RET",
    "CLOSE > DELAY(CLOSE, 1) ? 1 : TS_SUM(2, 3)",
)


@pytest.mark.parametrize("text", NESTED)
def test_nested_expressions_and_states(text: str, market: Panel) -> None:
    assert_streams(ff.compile(text), market, (1, 4, 70), restore_every=7)


def test_a_changing_universe_and_relaxed_windows() -> None:
    panel = panel_of("universe")
    alpha = ff.compile("TS_MEAN(RANK(TS_SUM(X, 5)), 6)")
    batch = ff.evaluate([alpha], panel, min_coverage=0.5)[0]
    stream = alpha.stream(panel.slice_dates(0, 3), min_coverage=0.5)
    for t in range(3, len(panel.dates)):
        stream = Stream.restore(stream.state())
        assert same_bits(stream.push(**rows_of(panel, t, stream)), batch[t])


def test_what_is_kept_does_not_grow(market: Panel) -> None:
    stream = ff.compile("RANK(TS_MEAN(RANK(DELTA(CLOSE, 3)), 10))").stream(market.slice_dates(0, 40))
    kept = []
    rng = np.random.default_rng(0)
    for i in range(200):
        stream.push(market.dates[-1] + 1 + i, {"CLOSE": rng.normal(size=13)})
        kept.append(sum(h.rows.size for h in stream._histories.values()))
    assert set(kept) == {13 * (3 + 9)}


def test_members_and_groups_stay_unless_given(market: Panel) -> None:
    alpha = ff.compile("GROUP_MEAN(CLOSE, SECTOR)")
    panel = market.replace(universe=np.arange(13) + np.zeros(market.shape) != 5)
    stream, other = (alpha.stream(panel.slice_dates(0, 10)) for _ in range(2))
    close = {"close": panel["CLOSE"][10]}
    full = rows_of(panel, 10, stream)
    assert same_bits(stream.push(panel.dates[10], close), other.push(**full))
    moved = stream.push(
        panel.dates[11], close, universe=np.ones(13, bool), groups={"sector": [*["new"] * 3, None, *["old"] * 9]}
    )
    assert np.allclose(moved[:3], close["close"][:3].mean())
    assert np.isnan(moved[3])
    assert np.allclose(moved[4:], close["close"][4:].mean())


def test_wrong_rows_are_refused_and_nothing_is_taken(market: Panel) -> None:
    alpha = ff.compile("RANK(TS_MEAN(VWAP, 3))")
    stream = alpha.stream(market.slice_dates(0, 10))
    rows = {name: market[name][10] for name in ("HIGH", "LOW", "CLOSE")}
    assert set(stream.required_fields) == set(rows)
    before = stream.state()
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (DataError, "lack LOW", {"fields": {"HIGH": rows["HIGH"], "CLOSE": rows["CLOSE"]}}),
        (DataError, r"shape \(12,\)", {"fields": {**rows, "LOW": rows["LOW"][1:]}}),
        (DataError, "is not after", {"date": market.dates[9]}),
        (UnknownName, "no field 'CLOZE'", {"fields": {**rows, "CLOZE": rows["CLOSE"]}}),
        (UnknownName, "reads no group", {"groups": {"SECTOR": [None] * 13}}),
        (DataError, "no universe", {"universe": np.ones(13, bool)}),
    ]
    for error, message, changes in wrong:
        with pytest.raises(error, match=message):
            stream.push(**{"date": market.dates[10], "fields": rows, **changes})
    assert stream.state() == before
    assert same_bits(stream.push(market.dates[10], rows), alpha.evaluate(market)[10])


def test_a_state_that_is_none_is_refused(market: Panel) -> None:
    state = ff.compile("TS_MEAN(CLOSE, 3)").stream(market).state()
    for bad in (b"", b"nonsense", state[: len(state) // 2]):
        with pytest.raises(StoreError, match="not the state"):
            Stream.restore(bad)


def test_a_constant_streams(market: Panel) -> None:
    stream = ff.compile("1 + 1").stream(market.slice_dates(0, 3))
    assert (stream.push(market.dates[3], {}) == 2.0).all()

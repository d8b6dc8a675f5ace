"""The simulator: plausible bars, nothing to find in noise, and planted signals with the RankIC stated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, forward_returns, simulate
from fama_fast.data.simulator.martingale import draw_martingale
from fama_fast.data.simulator.planting import standardised_ranks
from fama_fast.errors import ConfigError, ExpressionError
from fama_fast.panel import Panel

NAMES = ("reversal", "momentum", "volume", "range", "sign", "sector")


def oracle(names: Sequence[str], panel: Panel) -> list[np.ndarray]:
    """Plain versions of a few factors, by name."""
    c, v = panel["CLOSE"], panel["VOLUME"]

    def lagged(days: int) -> np.ndarray:
        out = np.full(c.shape, np.nan)
        out[days:] = c[days:] / c[:-days] - 1.0
        return out

    with np.errstate(invalid="ignore", divide="ignore"):
        made = {
            "reversal": -lagged(5),
            "momentum": lagged(20),
            "volume": np.log(v),
            "range": (c - panel["LOW"]) / (panel["HIGH"] - panel["LOW"]),
            "sign": np.sign(lagged(1)),
            "sector": panel.group("SECTOR").codes,
            "nothing": np.full(c.shape, np.nan),
        }
    return [made[n] for n in names]


def rank_ics(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    both = np.isfinite(values) & np.isfinite(labels)
    x = standardised_ranks(np.where(both, values, np.nan))
    y = standardised_ranks(np.where(both, labels, np.nan))
    n = both.sum(axis=1)
    return np.divide((x * y).sum(axis=1), n, where=n > 2, out=np.full(len(n), np.nan))[n > 2]


def planted(*signals: tuple[str, float], **options: int | float) -> SimulationSpec:
    return SimulationSpec(signals=tuple(PlantedSignal(*s) for s in signals), **options)  # type: ignore[arg-type]


def test_equal_specs_equal_data_and_other_seeds_differ() -> None:
    spec = SimulationSpec(n_symbols=20, n_dates=50, seed=4)
    assert simulate(spec).data_hash == simulate(spec).data_hash
    assert simulate(SimulationSpec(n_symbols=20, n_dates=50, seed=5)).data_hash != simulate(spec).data_hash


def test_bars_are_possible() -> None:
    panel = simulate(SimulationSpec(n_symbols=80, n_dates=300, seed=1, late_listing=0.2, missing=0.02))
    o, h, low, c, v = (panel[n] for n in ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"))
    present = np.isfinite(c)
    for field in (o, h, low, v):
        np.testing.assert_array_equal(np.isfinite(field), present)
    ok = present
    assert (low[ok] > 0).all()
    assert (low[ok] <= np.minimum(o, c)[ok]).all()
    assert (np.maximum(o, c)[ok] <= h[ok]).all()
    assert (v[ok] >= 1).all()
    assert (v[ok] == np.rint(v[ok])).all()
    # Every date exists, about a fifth list late, about 2% of the rest is missing, ends are there.
    assert present[:, 0].all()
    first = present.argmax(axis=0)
    assert 5 <= (first > 0).sum() <= 30
    assert first.max() < 0.6 * 300
    inside = np.arange(300)[:, None] >= first
    assert 0.01 < 1 - present.sum() / inside.sum() < 0.03
    assert present[-1].all()
    assert panel.dates[0] == np.datetime64("2015-01-01")
    assert np.is_busday(panel.dates).all()
    assert panel.groups == ("SECTOR", "INDUSTRY")
    # Industries lie inside sectors.
    pairs = {(panel.group("SECTOR").codes[-1, i], panel.group("INDUSTRY").codes[-1, i]) for i in range(80)}
    assert len(pairs) == len({industry for _, industry in pairs})


def test_stylised_facts() -> None:
    panel = simulate(SimulationSpec(n_symbols=60, n_dates=1500, seed=2, late_listing=0.0, missing=0.0))
    ret, volume = panel["RET"][1:], np.log(panel["VOLUME"][1:])
    size = np.abs(ret)

    def mean_correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(a.shape[1])]))

    assert mean_correlation(size[1:], size[:-1]) > 0.05
    assert abs(mean_correlation(ret[1:], ret[:-1])) < 0.02
    assert mean_correlation(size, volume) > 0.3
    sector = panel.group("SECTOR").codes[0]
    own = ret - ret.mean(axis=1, keepdims=True)
    matrix = np.corrcoef(own.T)
    same = (sector[:, None] == sector) & ~np.eye(60, dtype=bool)
    assert matrix[same].mean() > matrix[sector[:, None] != sector].mean() + 0.03
    assert 0.1 < size.std() * np.sqrt(252) < 0.6


def test_noise_has_nothing_to_find() -> None:
    scores = []
    for seed in range(10):
        panel = simulate(SimulationSpec(n_symbols=150, n_dates=250, seed=seed))
        labels = forward_returns(panel)
        daily = [rank_ics(v, labels) for v in oracle(NAMES, panel)]
        scores.append([d.mean() / d.std() * np.sqrt(d.size) for d in daily])
    t = np.asarray(scores)
    # Ten seeds of a t-statistic: their mean is N(0, 1/10).
    assert np.abs(t.mean(axis=0) * np.sqrt(len(t))).max() < 3.5
    assert np.abs(t).max() < 4.5


@pytest.mark.parametrize(
    "signals",
    [
        (("reversal", 0.05),),
        (("volume", -0.03),),
        (("momentum", 0.3),),
        (("reversal", 0.04), ("sign", 0.05), ("range", -0.06)),
    ],
    ids=str,
)
def test_planted_rank_ic_is_as_stated(signals: tuple[tuple[str, float], ...]) -> None:
    spec = planted(*signals, n_symbols=500, n_dates=1000, seed=11)
    panel = simulate(spec, evaluate=oracle, lookback=20)
    labels = forward_returns(panel)
    for (name, stated), values in zip(signals, oracle([s[0] for s in signals], panel), strict=True):
        daily = rank_ics(values, labels)
        assert abs(daily.mean() - stated) <= 0.01, name
        # It varies from day to day as a real one does, rather than being dealt out evenly.
        assert daily.std() > 0.03


def test_planting_moves_no_earlier_return_and_only_the_day_it_should() -> None:
    noise = simulate(SimulationSpec(n_symbols=300, n_dates=400, seed=5, missing=0.0, late_listing=0.0))
    panel = simulate(
        planted(("sign", 0.1), n_symbols=300, n_dates=400, seed=5, missing=0.0, late_listing=0.0),
        evaluate=oracle,
        lookback=1,
    )
    # One day of history, then two of delay.
    np.testing.assert_array_equal(panel["CLOSE"][:3], noise["CLOSE"][:3])
    assert (panel["CLOSE"][3] != noise["CLOSE"][3]).any()
    # A day's returns are the same ones, dealt out anew.
    np.testing.assert_allclose(np.sort(panel["RET"][1:]), np.sort(noise["RET"][1:]), atol=1e-9)
    (values,) = oracle(["sign"], panel)
    same_close = forward_returns(panel, horizon=1, entry_lag=0)
    assert abs(rank_ics(values, same_close).mean()) < 0.03


def test_a_window_gives_what_the_whole_history_gives() -> None:
    spec = planted(("momentum", 0.1), n_symbols=40, n_dates=90, seed=6)
    whole = simulate(spec, evaluate=oracle)
    assert simulate(spec, evaluate=oracle, lookback=20).data_hash == whole.data_hash


def test_engine_plants_an_expression() -> None:
    engine = pytest.importorskip("fama_fast.engine")
    text = "RANK(DELTA(CLOSE, 5) / DELAY(CLOSE, 5)) * -1"
    panel = simulate(planted((text, 0.08), n_symbols=200, n_dates=260, seed=8))
    assert text in panel.source
    (values,) = engine.evaluate([text], panel)
    assert abs(rank_ics(values, forward_returns(panel)).mean() - 0.08) <= 0.02
    with pytest.raises(ExpressionError, match=r"VOLUM"):
        simulate(planted(("RANK(VOLUM)", 0.1), n_symbols=20, n_dates=30))


def test_signals_that_cannot_be_planted() -> None:
    with pytest.raises(ConfigError, match=r"'?nothing'? has no values"):
        simulate(planted(("nothing", 0.1), n_symbols=20, n_dates=40), evaluate=oracle)
    with pytest.raises(ConfigError, match=r"overlap too much"):
        simulate(planted(("reversal", 0.2), ("reversal", -0.2), n_symbols=50, n_dates=100), evaluate=oracle, lookback=5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_symbols": 0},
        {"n_dates": 1.5},
        {"seed": -1},
        {"sectors": 0},
        {"missing": 1.0},
        {"late_listing": -0.1},
        {"kind": "martingales"},
    ],
)
def test_wrong_specs(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SimulationSpec(**wrong)  # type: ignore[arg-type]


def test_wrong_signals() -> None:
    with pytest.raises(ConfigError, match=r"between -1 and 1"):
        PlantedSignal("CLOSE", 1.0)
    with pytest.raises(ConfigError, match=r"needs an expression"):
        PlantedSignal(" ", 0.1)


@pytest.mark.parametrize(("n_symbols", "n_dates"), [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_panels(n_symbols: int, n_dates: int) -> None:
    spec = SimulationSpec(
        n_symbols=n_symbols, n_dates=n_dates, late_listing=0.5, missing=0.5, start=dt.date(2020, 2, 1)
    )
    panel = simulate(spec)
    assert panel.shape == (n_dates, n_symbols)
    assert panel.dates[0] == np.datetime64("2020-02-03")
    assert np.isfinite(panel["CLOSE"]).any(axis=1).all()


def test_standardised_ranks_average_ties() -> None:
    ranks = standardised_ranks(np.array([[3.0, 1.0, 1.0, np.nan], [np.nan] * 4, [2.0, 2.0, 2.0, 2.0]]))
    np.testing.assert_allclose(ranks[0], [np.sqrt(2), -np.sqrt(0.5), -np.sqrt(0.5), 0.0])
    assert not ranks[1:].any()


def test_a_martingale_pays_nothing_though_its_median_returns_can_be_ranked() -> None:
    panel = simulate(SimulationSpec(n_symbols=400, n_dates=1500, seed=6, kind="martingale", late_listing=0.0))
    close = panel["CLOSE"]
    with np.errstate(invalid="ignore"):
        returns = close[1:] / close[:-1] - 1.0
    assert np.nanmin(returns) > -0.9
    known, later = returns[:750], returns[750:]
    # Volatility and skewness as known half-way; what is earned in the other half.
    scale = np.nanstd(known, axis=0)
    skewness = np.nanmean((known - np.nanmean(known, axis=0)) ** 3, axis=0) / scale**3
    assert np.nanstd(later, axis=0)[scale > np.median(scale)].mean() > 1.3 * np.nanstd(later, axis=0).min()
    for trait in (scale, skewness):
        high, low = trait > np.quantile(trait, 0.8), trait < np.quantile(trait, 0.2)
        daily = np.nanmean(later[:, high], axis=1) - np.nanmean(later[:, low], axis=1)
        t = daily.mean() / daily.std(ddof=1) * np.sqrt(len(daily))
        assert abs(t) < 2.5
        medians = np.nanmedian(later[:, high] - np.nanmedian(later, axis=1)[:, None], axis=0)
        others = np.nanmedian(later[:, low] - np.nanmedian(later, axis=1)[:, None], axis=0)
        apart = medians.mean() - others.mean()
        assert apart < -4.0 * np.sqrt(medians.var() / high.sum() + others.var() / low.sum())
    assert simulate(SimulationSpec(n_symbols=20, n_dates=50, kind="martingale")).source.endswith(
        "20 symbols x 50 days, skewed martingales, pure noise)"
    )


def test_every_shock_of_a_martingale_has_mean_zero_given_its_scale() -> None:
    total = np.zeros(4)
    square = np.zeros(4)
    for seed in range(30):
        market = draw_martingale(np.random.default_rng(seed), 200, 40, 4, 2)
        ordered = np.argsort(market.vol, axis=1)
        daily = np.take_along_axis(market.noise, ordered, axis=1)
        # Within a date, by quarters of the volatility that is known the day before, less the date's mean.
        quarters = (daily - daily.mean(axis=1, keepdims=True)).reshape(200, 4, 10).mean(axis=2)
        total += quarters.sum(axis=0)
        square += (quarters**2).sum(axis=0)
    assert (np.abs(total) < 3.5 * np.sqrt(square)).all()

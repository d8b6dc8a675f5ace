"""The noise returns of a simulated market, and the price bars that follow from given returns.

Returns = beta x market + sector + own part, each symmetric about zero with clustered volatility: by
symmetry the expected RankIC of anything known beforehand is exactly zero. It knows nothing of signals,
dates or missing rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.types import FloatArray

_MARKET_VOL = 0.008  # daily
_SECTOR_VOL = 0.005
_OWN_VOL = 0.016  # of the median symbol
_GARCH_SHOCK, _GARCH_MEMORY = 0.10, 0.87
_TAIL = 5.0  # degrees of freedom of the shocks
_LARGEST = 0.4  # no day moves further


@dataclass(frozen=True)
class SimulatedMarket:
    """All random draws of a market of T dates x N symbols.

    `noise` (T, N) are simple returns without signals, `vol` (T, N) their scale; `gap`, `up`, `down`, `flow`
    (T, N) are the draws behind open, high, low and volume; `sector`, `industry` (N,) are group codes.
    """

    noise: FloatArray
    vol: FloatArray
    gap: FloatArray
    up: FloatArray
    down: FloatArray
    flow: FloatArray
    price: FloatArray
    turnover: FloatArray
    sector: NDArray[np.int64]
    industry: NDArray[np.int64]


@dataclass(frozen=True)
class Weather:
    """The draws that all symbols of a date share: `weather` (T, 1) volatility, `market` (T, 1) and `sectoral`
    (T, sectors) returns; and what symbols are: their `beta`, `sector` and `industry` (N,).
    """

    weather: FloatArray
    market: FloatArray
    sectoral: FloatArray
    beta: FloatArray
    sector: NDArray[np.int64]
    industry: NDArray[np.int64]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, n_dates: int, n_symbols: int, sectors: int, industries_per_sector: int
    ) -> Weather:
        """Draw what all symbols share, the first draws of a market."""
        industry = rng.permutation(np.arange(n_symbols) % (sectors * industries_per_sector))
        weather = np.exp(memory_path(rng.normal(0.0, 0.12, (n_dates, 1)), 0.97))
        market = _MARKET_VOL * weather * rng.normal(size=(n_dates, 1))
        sectoral = _SECTOR_VOL * np.sqrt(weather) * rng.normal(size=(n_dates, sectors))
        beta = np.clip(rng.normal(1.0, 0.25, n_symbols), 0.2, 2.0)
        return cls(weather, market, sectoral, beta, industry // industries_per_sector, industry)

    @staticmethod
    def shocks(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
        """Draw Student-t shocks of unit variance, which follow the first draws."""
        drawn: FloatArray = rng.standard_t(_TAIL, size=shape) / np.sqrt(_TAIL / (_TAIL - 2.0))
        return drawn

    @staticmethod
    def level(rng: np.random.Generator, n_symbols: int) -> FloatArray:
        """Draw long-run variances (N,), which follow the shocks."""
        variances: FloatArray = (_OWN_VOL * np.exp(rng.normal(0.0, 0.35, n_symbols))) ** 2
        return variances


def noise_rows(
    weather: Weather, start: int, stop: int, own: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Noise returns and their scale on rows [start, stop), from the symbols' own returns and variances there."""
    rows = slice(start, stop)
    clouds = weather.weather[rows]
    own = own * np.sqrt(clouds)
    noise = np.clip(
        weather.beta * weather.market[rows] + weather.sectoral[rows][:, weather.sector] + own, -_LARGEST, _LARGEST
    )
    return noise, np.sqrt(variances * clouds + (_MARKET_VOL * clouds) ** 2 + _SECTOR_VOL**2)


def draw_market(
    rng: np.random.Generator, n_dates: int, n_symbols: int, sectors: int, industries_per_sector: int
) -> SimulatedMarket:
    """Draws a market: GARCH(1,1) own volatility, log-AR(1) market volatility, Student-t shocks."""
    shape = (n_dates, n_symbols)
    weather = Weather.draw(rng, n_dates, n_symbols, sectors, industries_per_sector)
    shocks = weather.shocks(rng, shape)
    level = weather.level(rng, n_symbols)
    own, own_variance, _ = garch_rows(shocks, level, level)
    noise, vol = noise_rows(weather, 0, n_dates, own, own_variance)
    return draw_observed(rng, noise, vol, weather)


def draw_observed(rng: np.random.Generator, noise: FloatArray, vol: FloatArray, weather: Weather) -> SimulatedMarket:
    """A market of these returns and their scale, both (T, N), with the draws behind its bars, the last of all."""
    shape, n_symbols = noise.shape, noise.shape[1]
    return SimulatedMarket(
        noise=noise,
        vol=vol,
        gap=rng.normal(0.0, 0.35, shape),
        up=np.abs(rng.normal(0.0, 0.4, shape)),
        down=np.abs(rng.normal(0.0, 0.4, shape)),
        flow=memory_path(rng.normal(0.0, 0.25, shape), 0.7),
        price=np.exp(rng.normal(3.7, 0.6, n_symbols)),
        turnover=np.exp(rng.normal(13.5, 1.0, n_symbols)),
        sector=weather.sector,
        industry=weather.industry,
    )


def bars(
    market: SimulatedMarket,
    start: int,
    stop: int,
    returns: FloatArray,
    before: FloatArray,
    growth: FloatArray | None = None,
) -> dict[str, FloatArray]:
    """OPEN, HIGH, LOW, CLOSE and VOLUME of rows [start, stop), each (stop - start, N).

    Args:
        returns: (stop - start, N) close-to-close returns of these rows.
        before: (N,) closes of the row before them, `market.price` for the first.
        growth: (N,) product of 1 + returns from `before` to these rows, where it lies further back.
    """
    rows = slice(start, stop)
    vol = market.vol[rows]
    factors = 1.0 + returns
    if growth is not None:
        factors[0] *= growth
    close = before * np.cumprod(factors, axis=0)
    # A third of the day's move happens overnight, with some noise of its own.
    opened = close / (1.0 + returns) * np.exp(0.3 * np.log1p(returns) + market.gap[rows] * vol)
    high = np.maximum(opened, close) * np.exp(market.up[rows] * vol)
    low = np.minimum(opened, close) * np.exp(-market.down[rows] * vol)
    size = np.log1p(np.abs(returns) / vol)
    volume = np.rint(market.turnover * np.exp(0.8 * size + market.flow[rows])) + 1.0
    return {"OPEN": opened, "HIGH": high, "LOW": low, "CLOSE": close, "VOLUME": volume}


def memory_path(shocks: FloatArray, memory: float) -> FloatArray:
    """AR(1) paths along dates that begin as they go on: x_t = memory x_(t-1) + shock_t."""
    out: FloatArray = np.empty_like(shocks)
    last: Any = shocks[0] / np.sqrt(1.0 - memory**2)
    out[0] = last
    for t in range(1, len(shocks)):
        last = memory * last + shocks[t]
        out[t] = last
    return out


def garch_rows(
    shocks: FloatArray, level: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """GARCH(1,1) returns and variances with long-run variance `level` (N,), from the first row's `variance` (N,) on;
    and the variance of the row after the last."""
    out: FloatArray = np.empty_like(shocks)
    variances: FloatArray = np.empty_like(shocks)
    for t in range(len(shocks)):
        variances[t] = variance
        out[t] = np.sqrt(variance) * shocks[t]
        new = (1.0 - _GARCH_SHOCK - _GARCH_MEMORY) * level + _GARCH_SHOCK * out[t] ** 2 + _GARCH_MEMORY * variance
        # One wild shock must not blow a symbol up for good.
        variance = np.minimum(new, 25.0 * level)
    return out, variances, variance

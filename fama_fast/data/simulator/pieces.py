"""A simulated market without signals, some dates at a time: bit-identical to `simulate`, in bounded memory.

`simulate` draws each array of the market whole, one after the other, from one generator. Here a first pass draws them
row by row and throws them away, to learn the generator's state where each array begins; a second pass draws the rows of
all arrays side by side, each from its own copy of the generator.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.data.simulator.market import SimulatedMarket, Weather, bars, garch_rows, noise_rows
from fama_fast.data.simulator.simulate import SimulationSpec, symbol_names, weekdays
from fama_fast.errors import ConfigError
from fama_fast.panel import GroupField, Panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fama_fast.types import FloatArray

_ROWS = 64  # dates drawn at a time


class _Draws:
    """One (T, N) array of random draws, given in consecutive rows, from where it begins in the generator's stream."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], draw: Callable[..., FloatArray]) -> None:
        self._rng = copy.deepcopy(rng)
        self._draw, self._columns = draw, shape[1]
        for at in range(0, shape[0], _ROWS):
            draw(rng, (min(_ROWS, shape[0] - at), shape[1]))

    def rows(self, count: int) -> FloatArray:
        return self._draw(self._rng, (count, self._columns))


def simulate_pieces(spec: SimulationSpec, rows: int) -> Iterator[Panel]:
    """The panel of `simulate(spec)` as panels of `rows` dates that follow one another.

    Raises:
        ConfigError: a specification with planted signals, which need the whole market, or of another kind.
    """
    if spec.kind != "symmetric":
        raise ConfigError(f"a market of kind {spec.kind} is simulated whole: it must fit in memory")
    if spec.signals:
        raise ConfigError("a market with planted signals is simulated whole: it must fit in memory")
    shape = (spec.n_dates, spec.n_symbols)
    rng = np.random.default_rng(spec.seed)
    weather = Weather.draw(rng, spec.n_dates, spec.n_symbols, spec.sectors, spec.industries_per_sector)
    shocks = _Draws(rng, shape, weather.shocks)
    level = weather.level(rng, spec.n_symbols)
    gap = _Draws(rng, shape, lambda g, s: g.normal(0.0, 0.35, s))
    up = _Draws(rng, shape, lambda g, s: np.abs(g.normal(0.0, 0.4, s)))
    down = _Draws(rng, shape, lambda g, s: np.abs(g.normal(0.0, 0.4, s)))
    flow = _Draws(rng, shape, lambda g, s: g.normal(0.0, 0.25, s))
    price = np.exp(rng.normal(3.7, 0.6, spec.n_symbols))
    turnover = np.exp(rng.normal(13.5, 1.0, spec.n_symbols))
    late = rng.random(spec.n_symbols) < spec.late_listing
    first = np.where(late, (spec.n_dates * rng.uniform(0.05, 0.6, spec.n_symbols)).astype(np.int64), 0)
    first[0] = 0
    gone = _Draws(rng, shape, lambda g, s: g.random(s))

    dates, symbols = weekdays(spec), symbol_names(spec)
    sectors = tuple(f"S{k + 1:02d}" for k in range(spec.sectors))
    labels = {
        "SECTOR": (weather.sector, sectors),
        "INDUSTRY": (
            weather.industry,
            tuple(f"{s}-{j + 1}" for s in sectors for j in range(spec.industries_per_sector)),
        ),
    }
    variance, growth, last_flow = level, np.ones(spec.n_symbols), None
    for start in range(0, spec.n_dates, rows):
        stop = min(start + rows, spec.n_dates)
        own, variances, variance = garch_rows(shocks.rows(stop - start), level, variance)
        noise, vol = noise_rows(weather, start, stop, own, variances)
        flows, last_flow = _autoregress(flow.rows(stop - start), 0.7, last_flow)
        part = SimulatedMarket(
            noise=noise,
            vol=vol,
            gap=gap.rows(stop - start),
            up=up.rows(stop - start),
            down=down.rows(stop - start),
            flow=flows,
            price=price,
            turnover=turnover,
            sector=weather.sector,
            industry=weather.industry,
        )
        fields = bars(part, 0, stop - start, noise, price, growth)
        factors = 1.0 + noise
        factors[0] *= growth
        growth = np.cumprod(factors, axis=0)[-1]
        day = np.arange(start, stop)[:, None]
        absent = gone.rows(stop - start) < spec.missing
        absent[:, 0] = False
        absent[(day == first) | (day == spec.n_dates - 1)] = False
        present = (day >= first) & ~absent
        yield Panel(
            dates[start:stop],
            symbols,
            {name: np.where(present, values, np.nan) for name, values in fields.items()},
            groups={
                name: GroupField.view(
                    np.where(present, codes.astype(np.float64), np.nan), texts[: int(codes.max()) + 1]
                )
                for name, (codes, texts) in labels.items()
            },
            source=spec.source,
        )


def _autoregress(shocks: FloatArray, memory: float, last: Any) -> tuple[FloatArray, Any]:
    out = np.empty_like(shocks)
    for t in range(len(shocks)):
        last = shocks[t] / np.sqrt(1.0 - memory**2) if last is None else memory * last + shocks[t]
        out[t] = last
    return out, last

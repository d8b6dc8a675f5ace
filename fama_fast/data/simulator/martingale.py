"""A simulated market in which nothing pays: every return has mean zero given all that came before it, yet ranks differ.

Volatility and skewness differ by symbol and persist. Whose returns are skewed to the right has a median below zero and
so a low rank on most days, made up for by the few days on which it jumps. A RankIC finds that at once; no mean return
is to be had. It is the market that a verdict must not be taken in by.
"""

from __future__ import annotations

import numpy as np

from fama_fast.data.simulator.market import SimulatedMarket, Weather, draw_observed, memory_path

_LEVEL = 0.016  # own daily volatility of the median symbol
_LARGEST_SCALE = 0.06  # a shock is at most 8 times its scale, so no return comes near -1 and none need be cut
_LARGEST_WEATHER = 3.0
_SHAPE = 4.0  # a + b of the beta distribution that shocks are from
_MOST_SKEWED, _SYMMETRIC = 0.06, 0.5  # its mean: a skewness of 2.7, and of 0
_TO_THE_LEFT = 0.2  # share of symbols whose returns are skewed to the left


def draw_martingale(
    rng: np.random.Generator, n_dates: int, n_symbols: int, sectors: int, industries_per_sector: int
) -> SimulatedMarket:
    """Draw a market of martingales: beta x market + sector + own shock, whose scale is known the day before.

    The own shock is a beta variable less its mean, over its standard deviation, turned round for some symbols: exactly
    zero in expectation, bounded, and as skewed as the symbol is.
    """
    shape = (n_dates, n_symbols)
    drawn = Weather.draw(rng, n_dates, n_symbols, sectors, industries_per_sector)
    weather = np.minimum(drawn.weather, _LARGEST_WEATHER)
    shared = np.minimum(1.0, _LARGEST_WEATHER / drawn.weather)  # the draws were scaled by what was cut
    likeness = rng.random(n_symbols)  # 0: a lottery ticket; 1: symmetric
    mean = _MOST_SKEWED + (_SYMMETRIC - _MOST_SKEWED) * likeness
    side = np.where(rng.random(n_symbols) < _TO_THE_LEFT, -1.0, 1.0)
    shocks = rng.beta(mean * _SHAPE, (1.0 - mean) * _SHAPE, size=shape)
    unit = side * (shocks - mean) / np.sqrt(mean * (1.0 - mean) / (_SHAPE + 1.0))
    level = _LEVEL * np.exp(rng.normal(0.0, 0.35, n_symbols) + 0.6 * (0.5 - likeness))
    scale = np.minimum(
        level * np.exp(memory_path(rng.normal(0.0, 0.1, shape), 0.97)) * np.sqrt(weather), _LARGEST_SCALE
    )
    noise = drawn.beta * drawn.market * shared + (drawn.sectoral * np.sqrt(shared))[:, drawn.sector] + scale * unit
    return draw_observed(rng, noise, scale, drawn)

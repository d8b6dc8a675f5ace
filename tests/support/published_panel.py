"""A made market on which published libraries are computed by their own systems, and here.

Prices are whole 64ths and volumes whole numbers, so differences are exact and equal values are equal in every system.
No two versions of NumPy draw other numbers: the generator is written out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DATES, SYMBOLS = 2000, 16
SHORT = 400  # of these the last, for systems without memory of what was before
LATE_ROWS = tuple(range(1894, 2000, 15))
QLIB_ROWS = (2, 30, 61, 399)  # of the short market

Array = NDArray[np.float64]


def names() -> list[str]:
    """The symbols."""
    return [f"S{i:02d}" for i in range(SYMBOLS)]


def dates() -> NDArray[np.datetime64]:
    """The dates, every day."""
    return np.datetime64("1990-01-01") + np.arange(DATES)


def groups() -> dict[str, list[str]]:
    """The group of each symbol at each level, as a digit."""
    levels = {"sector": 2, "industry": 4, "subindustry": 4}
    return {level: [str(i % n) for i in range(SYMBOLS)] for level, n in levels.items()}


def market() -> dict[str, Array]:
    """(T, N) of open, high, low, close, volume and vwap, and of the index: index_open and index_close."""
    u = _uniform(9 * SYMBOLS, DATES).reshape(DATES, 9, SYMBOLS)
    g = u - 0.5
    steps = (g[:, 0] + g[:, 1] + g[:, 2]) * 0.06
    common = 0.5 * steps.mean(axis=1, keepdims=True)
    own = np.zeros((DATES, SYMBOLS))
    for t in range(1, DATES):
        own[t] = 0.97 * own[t - 1] + steps[t]
    close = _in_64ths(np.exp(own + 0.3 * np.cumsum(common, axis=0) + np.log(np.linspace(19, 23, SYMBOLS))))
    before = np.vstack([close[:1], close[:-1]])
    opened = _in_64ths(before * (1 + 0.02 * g[:, 3]))
    high = _in_64ths(np.maximum(opened, close) * (1 + 0.02 * u[:, 4]) + 1 / 64)
    low = _in_64ths(np.minimum(opened, close) * (1 - 0.02 * u[:, 5]) - 1 / 64)
    index = _in_64ths(1000 * np.exp(np.cumsum(common[:, 0])))
    index_open = _in_64ths(np.concatenate([index[:1], index[:-1]]) * (1 + 0.004 * g[:, 3, 0]))
    return {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": np.round(np.exp(9 + 2 * (g[:, 6] + g[:, 7]))),
        "vwap": np.round((low + (high - low) * u[:, 8]) * 1024) / 1024,
        "index_open": np.repeat(index_open[:, None], SYMBOLS, axis=1),
        "index_close": np.repeat(index[:, None], SYMBOLS, axis=1),
    }


def _in_64ths(x: Array) -> Array:
    return np.round(x * 64) / 64


def _uniform(columns: int, rows: int) -> Array:
    """Numbers in (0, 1) of congruential generators, one a column."""
    state = np.arange(1, columns + 1, dtype=np.int64) * 7919 + 12345
    out = np.empty((rows, columns))
    for t in range(-20, rows):
        state = (state * 1103515245 + 12345) % 2147483648
        if t >= 0:
            out[t] = (state + 0.5) / 2147483648
    return out

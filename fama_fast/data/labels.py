"""What a factor is asked to predict: the return earned after it is known.

A factor known at the close of day t is traded at the close of day t + entry_lag and left at the close
`horizon` days later. `entry_lag=1` leaves a day to act on the value; 0 is the convention of the FAMA paper,
which enters at the very close that the value was computed from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray


def check_days(value: object, name: str, minimum: int) -> int:
    """`value` as a whole number of days.

    Raises:
        ConfigError: not a whole number, or below `minimum`.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or int(value) < minimum:  # type: ignore[call-overload]
        raise ConfigError(f"{name} must be a whole number of days, at least {minimum}, not {value!r}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def forward_returns(panel: Panel, horizon: int = 1, entry_lag: int = 1) -> FloatArray:
    """Forward returns: row t holds close[t + entry_lag + horizon] / close[t + entry_lag] - 1.

    Args:
        panel: T dates x N symbols with the field CLOSE. Days are rows, that is market days.
        horizon: days held, at least 1. entry_lag: days between knowing and entering, at least 0.

    Returns:
        (T, N) float64, simple returns (0.01 is one percent); NaN where either close is missing, where the
        entry price is zero, and in the last entry_lag + horizon rows.

    Raises:
        ConfigError: a horizon or lag that is not a whole number in its range.
        UnknownName: the data has no CLOSE.
    """
    held = check_days(horizon, "horizon", 1)
    lag = check_days(entry_lag, "entry_lag", 0)
    close = panel["CLOSE"]
    n_dates = panel.shape[0]
    out = np.full(panel.shape, np.nan)
    n_known = n_dates - lag - held
    if n_known > 0:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            out[:n_known] = close[lag + held :] / close[lag : lag + n_known] - 1.0
        out[~np.isfinite(out)] = np.nan
    return out

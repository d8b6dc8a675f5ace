"""Residual RankIC of a factor: after size, momentum, reversal, volatility and sector.

Values and controls enter as centred cross-sectional ranks, so no outlier steers the fit. It knows arrays and panels,
no expression of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers
from fama_fast.evaluation.portfolios import codes_of
from fama_fast.evaluation.rows import matrix, over_rows, same_shape, sorted_rows

if TYPE_CHECKING:
    from fama_fast.evaluation.portfolios import Groups
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

# In the alpha language: what is known about a stock without any research. Each is used where the data has its fields.
SIZE = ("CAP", "CAP")
LIQUIDITY = ("size (dollar volume stands in)", "TS_MEAN(CLOSE * VOLUME, 20, min_periods=10)")
STYLES: tuple[tuple[str, str], ...] = (
    ("momentum", "DELAY(CLOSE, 20) / DELAY(CLOSE, 250) - 1"),
    ("reversal", "TS_RETURNS(CLOSE, 20)"),
    ("volatility", "TS_STDDEV(RET, 60, min_periods=20)"),
)


def style_formulas(panel: Panel) -> dict[str, str]:
    """Formula of each style that the panel's fields allow, by name. Size is CAP, or else mean dollar volume."""
    out: dict[str, str] = {}
    if "CAP" in panel:
        out["size"] = SIZE[1]
    elif "CLOSE" in panel and "VOLUME" in panel:
        out[LIQUIDITY[0]] = LIQUIDITY[1]
    if "CLOSE" in panel:
        out.update(STYLES)
    return out


def style_controls(panel: Panel, *, threads: int | None = None) -> tuple[tuple[str, ...], FloatArray]:
    """Names and centred ranks (K, T, N) in [-0.5, 0.5] of the styles; a missing one counts as the middle, zero.

    (Momentum needs 250 days: without the zero, a young stock would drop out of every control.)
    """
    from fama_fast.engine import evaluate

    formulas = style_formulas(panel)
    texts = [f"RANK({text})" for text in formulas.values()]
    ranks = evaluate(texts, panel, threads=threads) if texts else []
    stacked = np.stack([np.nan_to_num(r - 0.5, nan=0.0) for r in ranks]) if texts else np.empty((0, *panel.shape))
    return tuple(formulas), stacked


def average_ranks(values: Any, *, threads: int | None = None) -> FloatArray:
    """(T, N) cross-sectional ranks r/n in (0, 1], average ties, NaN elsewhere, of values or a `SortedRows` of them."""
    from fama_fast.backends.numba_vm import rank_loops

    x = sorted_rows(values, threads=threads)
    out = np.empty(x.values.shape)
    over_rows(lambda a, b: rank_loops.average_ranks(x.values, x.order, x.count, a, b, out), x.values.shape, threads)
    return out


def residual_values(
    values: Any,
    controls: Any,
    groups: Groups | None = None,
    *,
    threads: int | None = None,
) -> FloatArray:
    """(T, N) residuals of a daily cross-sectional regression of `values` on controls, intercept and group dummies.

    Cells with a missing value, control or group are missing. Give ranks (`average_ranks`) to be safe from
    outliers.

    Args:
        values: (T, N). controls: (K, T, N). groups: a dummy for each label, or None for one intercept.

    Raises:
        DataError: shapes differ.

    Source: Fama and MacBeth (1973), the daily cross-section; dummies are partialled out by the theorem of Frisch,
    Waugh and Lovell.
    """
    from fama_fast.backends.numba_vm import portfolio_loops

    y = matrix(values)
    x = numbers(controls, "controls", ndim=3)
    same_shape(x, (x.shape[0], *y.shape), "controls")
    codes, n = codes_of(groups, y.shape)
    out = np.empty(y.shape)
    over_rows(lambda a, b: portfolio_loops.residuals(y, x, codes, n, a, b, out), y.shape, threads)
    return out

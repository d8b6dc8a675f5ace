"""Figures as people read them, on the command line, in reports and on the dashboard: one way to write each kind.

What is missing or not finite is a dash. It imports nothing of the package.
"""

from __future__ import annotations

import math
from typing import Any

DASH = "–"


def is_known(value: Any) -> bool:
    """Whether it is a number that can be shown: neither None nor NaN nor infinite."""
    return value is not None and not isinstance(value, str) and math.isfinite(value)


def decimal(value: Any, decimals: int = 2) -> str:
    """`1,234.50`; `∞` for a number without bound."""
    if isinstance(value, float) and value == math.inf:
        return "∞"
    return f"{value:,.{decimals}f}" if is_known(value) else DASH


def signed(value: Any, decimals: int = 4) -> str:
    """`+0.0312`, as a RankIC is written."""
    return f"{value:+.{decimals}f}" if is_known(value) else DASH


def typeset(value: Any, decimals: int = 4) -> str:
    """`signed`, with a minus sign in place of the hyphen."""
    return signed(value, decimals).replace("-", "\u2212")


def percent(value: Any, decimals: int = 1) -> str:
    """A share as `+12.3%`."""
    return f"{value:+.{decimals}%}" if is_known(value) else DASH


def p_value(value: Any) -> str:
    """Three decimals, or the power of ten where it is small: `0.012`, `3.1e-07`."""
    if not is_known(value):
        return DASH
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def number(value: Any) -> str:
    """Whole numbers whole, others to four places, tiny ones by their power of ten."""
    if not is_known(value):
        return DASH
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1e}" if value != 0.0 and abs(value) < 0.0001 else f"{value:.4f}"


def cell(value: Any, decimals: int = 4) -> str:
    """A cell of a table on a terminal, which may be piped: plain digits, `-` for what is missing, text as it is."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)

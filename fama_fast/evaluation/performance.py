"""Performance of a series of portfolio returns: Sharpe ratio, drawdown, costs and the break-even cost.

Series are simple returns a day on one unit of capital, in date order; missing days (NaN) are dropped. It knows series
only: no weights, no factor.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import real, whole
from fama_fast.evaluation.inference import NAN, information_ratio, mean, present, std

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.types import FloatArray, Rows

DAYS_A_YEAR = 252
COSTS_BP = (0.0, 5.0, 10.0, 20.0)


def sharpe(returns: Any, *, days_a_year: int = DAYS_A_YEAR) -> float:
    """Annualised Sharpe ratio of daily returns, without a risk-free rate: mean / std (ddof 1) times sqrt(days a year).

    Source: Sharpe (1994), "The Sharpe Ratio"; square-root scaling takes days to be independent (Lo 2002).
    """
    return information_ratio(returns) * math.sqrt(whole(days_a_year, "days_a_year", 1))


def max_drawdown(returns: Any) -> float:
    """The deepest fall of compounded wealth below its highest level so far, as a share of it: 0.2 is 20 %.

    Wealth starts at 1, so a loss on the first day counts; it is 1 (all) once wealth is zero or below.
    """
    x = present(returns)
    if not x.size:
        return NAN
    wealth = np.concatenate(([1.0], np.cumprod(1.0 + x)))
    if float(wealth.min()) <= 0.0:
        return 1.0
    return float((1.0 - wealth / np.maximum.accumulate(wealth)).max())


@dataclass(frozen=True)
class CostLevel:
    """Performance of a portfolio net of one cost level.

    Attributes:
        cost_bp: basis points paid on each unit of weight bought or sold (one way).
        annual_return: mean daily net return times 252. sharpe, max_drawdown: of the net returns.
    """

    cost_bp: float
    annual_return: float
    annual_volatility: float
    sharpe: float
    max_drawdown: float


@dataclass(frozen=True)
class Performance:
    """Performance of a portfolio over some dates.

    Attributes:
        costs: one entry a cost level, rising.
        traded: mean weight bought and sold a day, as a share of capital (2: all replaced, long-only).
        break_even_bp: the one-way cost at which the mean net return is zero; below zero when it loses before costs.
        n_days: days with a return.
    """

    costs: tuple[CostLevel, ...]
    traded: float
    break_even_bp: float
    n_days: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Path:
    """Daily returns and trades of a portfolio: (T,) float64 each, NaN on days before it holds anything.

    Attributes:
        gross: return earned on the weights formed that day (it is earned `entry_lag` days later). traded: weight
            bought and sold to form them.
    """

    gross: FloatArray
    traded: FloatArray

    def net(self, cost_bp: float) -> FloatArray:
        """Returns (T,) after a one-way cost in basis points on everything traded."""
        out: FloatArray = self.gross - self.traded * (cost_bp * 1e-4)
        return out

    def performance(self, rows: Rows | None = None, costs_bp: Sequence[float] = COSTS_BP) -> Performance:
        """Figures over some rows (all by default) at each cost level."""
        part = slice(None) if rows is None else rows
        levels = []
        for cost in sorted(real(c, "costs_bp") for c in costs_bp):
            net = self.net(cost)[part]
            levels.append(
                CostLevel(
                    float(cost),
                    mean(net) * DAYS_A_YEAR,
                    std(net) * math.sqrt(DAYS_A_YEAR),
                    sharpe(net),
                    max_drawdown(net),
                )
            )
        gross, traded = self.gross[part], mean(self.traded[part])
        even = mean(gross) / traded * 1e4 if traded > 0.0 else NAN
        return Performance(tuple(levels), traded, even, int(np.count_nonzero(np.isfinite(gross))))

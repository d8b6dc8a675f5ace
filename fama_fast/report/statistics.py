"""The statistics of a factor that the report's table has a column for: `STATISTICS` is the whole list in its order.

To add one, write a function of `Measured` and add one entry; the page and the Markdown summary follow. A statistic sees
the dates that the report may show: those of validation, and of the test where the run itself opened it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fama_fast.number_text import decimal, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fama_fast.types import FloatArray


class Measured(NamedTuple):
    """The figures and series that a statistic is computed from.

    Attributes:
        figures: of the factor's study, as `evaluation.study` says. daily: its series over the D dates that the report
            is of, (D,) each: "rank_ic", "long_short" (gross return of a day), "turnover", "top_k".
        horizon: days of the label that the factor was chosen by.
    """

    figures: Mapping[str, Any]
    daily: Mapping[str, FloatArray]
    horizon: int


@dataclass(frozen=True)
class Statistic:
    """One column of the table.

    Attributes:
        title: its heading. of: the value; None or NaN is shown as a dash. decimals, sign: how it is written.
        in_summary: it is in the Markdown summary too.
    """

    title: str
    of: Callable[[Measured], float | None]
    decimals: int = 3
    sign: bool = False
    in_summary: bool = True

    def text(self, value: float | None) -> str:
        """A value as it is written."""
        write = signed if self.sign else decimal
        return write(value, self.decimals)


def t_of_rank_ic(measured: Measured) -> float | None:
    """Newey and West's t of the RankIC at the run's horizon."""
    t: float | None = next(h["rank_ic_t"] for h in measured.figures["horizons"] if h["horizon"] == measured.horizon)
    return t


def turnover(measured: Measured) -> float | None:
    """Share of the ranking that changes from one day to the next, the mean."""
    value: float | None = measured.figures["turnover"]
    return value


def half_life(measured: Measured) -> float | None:
    """Days until half of the RankIC is gone."""
    days: float | None = measured.figures["decay"]["half_life"]
    return days


def break_even_bp(measured: Measured) -> float | None:
    """The one-way cost in basis points at which the long-short portfolio earns nothing."""
    cost: float | None = measured.figures["long_short"]["break_even_bp"]
    return cost


def residual_rank_ic(measured: Measured) -> float | None:
    """RankIC of what size, momentum, reversal, volatility and sector leave of the factor."""
    rank_ic: float | None = measured.figures.get("residual", {}).get("rank_ic")
    return rank_ic


STATISTICS: tuple[Statistic, ...] = (
    Statistic("t", t_of_rank_ic, decimals=1, sign=True, in_summary=False),
    Statistic("turnover", turnover),
    Statistic("half-life", half_life, decimals=1),
    Statistic("break-even bp", break_even_bp, decimals=1),
    Statistic("residual", residual_rank_ic, decimals=4, sign=True, in_summary=False),
)

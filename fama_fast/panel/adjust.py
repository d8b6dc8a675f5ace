"""Adjusts prices for splits and dividends, by an adjusted close or by an adjustment factor.

With an adjusted close, CLOSE is that one and the other prices are multiplied by adjusted close / close, so that bars
stay bars. With a factor (Tushare's `adj_factor`) all prices are multiplied by it. Volumes and all other fields stay as
they are. It knows no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.errors import DataError
from fama_fast.panel.names import ADJUSTED_CLOSE, ADJUSTMENT_FACTOR
from fama_fast.types import PRICE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fama_fast.types import FloatArray

ADJUSTED_FIELDS = (*PRICE_FIELDS, "VWAP")


@dataclass(frozen=True)
class Adjustment:
    """The columns by which raw prices are adjusted.

    Attributes:
        by: column of the adjusted close, or of the factor. close: column of the raw close that the adjusted one is
            compared with; None where `by` is a factor, or the data have no raw close. factor: `by` is a factor.
    """

    by: str
    close: str | None
    factor: bool = False

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that the adjustment is computed from."""
        return (self.by,) if self.close is None else (self.by, self.close)

    def apply(self, name: str, values: FloatArray, by: FloatArray, close: FloatArray | None) -> FloatArray:
        """Values of the field `name`, adjusted; NaN where they cannot be.

        Args:
            values, by, close: float64 of one length: the raw values, and those of the columns of these names.
        """
        if name not in ADJUSTED_FIELDS:
            return values
        if not self.factor and name == "CLOSE":
            return by
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = by if close is None else by / close
            out: FloatArray = values * np.where(ratio > 0.0, ratio, np.nan)
        return out

    def described(self, fields: Iterable[str]) -> str:
        """A sentence that says which of these fields are adjusted, and which stay."""
        names = list(fields)
        prices = [f for f in names if f in ADJUSTED_FIELDS]
        others = [f for f in names if f not in ADJUSTED_FIELDS]
        stay = f"; {', '.join(others)} stay{'s' if len(others) == 1 else ''} as in the data" if others else ""
        how = "multiplied by" if self.factor else "adjusted by"
        return f"{', '.join(prices) or 'no field'} {'is' if len(prices) == 1 else 'are'} {how} {self.by!r}{stay}"


def adjustment_of(fields: Mapping[str, str], source: str) -> Adjustment:
    """The adjustment of the prices of data with these fields (name -> column).

    Raises:
        DataError: no adjusted close and no factor, or prices that cannot be adjusted for want of a raw close.
    """
    close = fields.get("CLOSE")
    if ADJUSTED_CLOSE in fields:
        by = fields[ADJUSTED_CLOSE]
        others = [f for f in ADJUSTED_FIELDS if f in fields and f != "CLOSE"]
        if close is None and others:
            raise DataError(
                f"{source}: {', '.join(others)} cannot be adjusted: there is {by!r}, but no raw close beside it"
            )
        return Adjustment(by, close)
    if ADJUSTMENT_FACTOR in fields:
        return Adjustment(fields[ADJUSTMENT_FACTOR], None, factor=True)
    hint = ""
    if "FACTOR" in fields:
        hint = (
            f"; {fields['FACTOR']!r} may be in the prices already, as in qlib's data: leave --adjusted out then, "
            f"and if it is not, name it: --columns adj_factor={fields['FACTOR']}"
        )
    raise DataError(
        f"{source}: there is no adjusted close to use (a column such as 'Adj Close', or a factor 'adj_factor'; one of "
        f"another name is named by --columns adj_close=COLUMN){hint}"
    )

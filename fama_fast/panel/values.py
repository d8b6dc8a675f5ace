"""Converts columns of a frame to numbers.

Text in place of numbers is refused, with its row and value; what is adjusted is adjusted here, for data in memory and
data that are read in parts alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError, quoted
from fama_fast.panel.columns import is_text
from fama_fast.panel.keys import Locate, plain_row
from fama_fast.panel.text_values import MISSING_TOKENS

if TYPE_CHECKING:
    from fama_fast.panel.columns import Columns
    from fama_fast.types import FloatArray

_WITH_COMMA = r"^[+-]?[\d.]*,\d*$"
_THOUSANDS = r"^[+-]?\d{1,3}([,'\u2019\s]\d{3})+([.,]\d*)?$"


def field_values(
    table: pl.DataFrame, columns: Columns, name: str, source: str, locate: Locate = plain_row
) -> FloatArray:
    """The values of field `name` (one a row of `table`) as float64, NaN for null, adjusted if that was asked for.

    Raises:
        DataError: a column of text; the message names the first row whose text is no number.
    """
    values = numbers(table[columns.fields[name]], source, locate)
    how = columns.adjustment
    if how is None:
        return values
    close = None if how.close is None else numbers(table[how.close], source, locate)
    return how.apply(name, values, numbers(table[how.by], source, locate), close)


def numbers(column: pl.Series, source: str, locate: Locate = plain_row) -> FloatArray:
    """A column as float64, NaN for null.

    Raises:
        DataError: a column of text; the message names the first row whose text is no number.
    """
    if is_text(column.dtype):
        raise DataError(_text_found(column, source, locate))
    return column.cast(pl.Float64).to_numpy()


def _text_found(column: pl.Series, source: str, locate: Locate) -> str:
    texts = column.cast(pl.String).str.strip_chars()
    # A word for "no value" is not what makes it a column of text.
    present = texts.is_not_null() & ~texts.is_in(MISSING_TOKENS)
    bad = present & texts.cast(pl.Float64, strict=False).is_null()
    row = next(iter((bad if bad.any() else texts.is_not_null()).arg_true().to_list()), 0)
    more = f"; {int(bad.sum()):,} values are not numbers" if bad.sum() > 1 else ""
    hint = ""
    if bad.any() and texts.filter(bad).str.contains(_WITH_COMMA).all():
        hint = "; if the comma is the decimal mark: --decimal , (in Python: decimal=',')"
    elif bad.any() and texts.filter(bad).str.contains(_THOUSANDS).all():
        hint = "; if what stands between the digits separates thousands: write the numbers without it"
    name, shown = quoted(column.name), quoted(column.cast(pl.String)[row])
    return f"{source}: column {name} holds text, not numbers: {locate(row)} is {shown}{more}{hint}"

"""Where a position can be entered: a condition on the bar of the entry, written as an expression or a named preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.engine.alpha import compile
from fama_fast.errors import UnknownName, nearest_name, quoted
from fama_fast.target import a_share
from fama_fast.target.formulas import Formulas

if TYPE_CHECKING:
    from fama_fast.engine.chunks import Loaded
    from fama_fast.panel.source import Source
    from fama_fast.types import BoolArray

A_SHARE = "a-share"


def is_preset(condition: str) -> bool:
    """Whether a condition is the name of a preset."""
    return condition.strip().casefold().replace("_", "-") == A_SHARE


@dataclass(frozen=True)
class Tradable:
    """A condition made ready for the names of some data.

    Attributes:
        formulas: of an expression; None of the preset. at_close: the position is entered at the close of its bar.
    """

    formulas: Formulas | None
    at_close: bool = False

    @classmethod
    def of(cls, condition: str, dialect: str, source: Source, *, at_close: bool = False) -> Tradable:
        """For these data.

        Raises:
            ExpressionError: it does not compile. DataError, UnknownName: the preset does not fit the data.
        """
        if is_preset(condition):
            a_share.check_fields(source)
            return cls(None, at_close)
        try:
            alpha = compile(condition, dialect=dialect, fields=source.fields, groups=source.groups)
        except UnknownName:
            near = nearest_name(condition.strip(), [A_SHARE])
            if near is None:
                raise
            raise UnknownName(f"tradable: there is no preset {quoted(condition)}", suggestion=near) from None
        return cls(Formulas.of([alpha], source))

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that it reads."""
        return a_share.FIELDS if self.formulas is None else self.formulas.fields

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that it reads."""
        return () if self.formulas is None else self.formulas.groups

    @property
    def lookback(self) -> int:
        """Rows before a bar that it looks at."""
        return a_share.LOOKBACK if self.formulas is None else self.formulas.rows_before

    @property
    def cell_bytes(self) -> int:
        """What computing it takes a cell."""
        return 8 * 8 if self.formulas is None else self.formulas.cell_bytes

    def bars(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> BoolArray:
        """(stop - start, N) whether the condition is true of each bar of the rows [start, stop)."""
        if self.formulas is None:
            begin = max(0, start - a_share.LOOKBACK)
            return a_share.tradable(loaded.rows(begin, stop), at_close=self.at_close)[start - begin :]
        (values,) = self.formulas.values(loaded, start, stop, threads)
        out: BoolArray = np.isfinite(values) & (values != 0.0)
        return out

"""An alpha as one Polars expression over a long frame: for someone's own query, and as the second opinion.

The expression takes the columns it needs, puts the rows in (symbol, date) order and evaluates the nodes
one by one as columns with native Polars (`.over` the symbol, `.over` the date), then answers in the
caller's row order. It runs in steps because Polars evaluates an `.over` nested in another inside the
outer one's groups: a rank by date within a window by symbol would silently rank each symbol against
itself. Every built-in operator has a native Polars form, so that this back end shares no arithmetic with
the numba one; an operator from outside may call its numba kernel instead (`PolarsContext.kernel`).

The one exception is MOD, whose Polars form is inexact: NumPy computes it. This package must not know tiles,
registers or the virtual machine.
"""

from fama_fast.backends.polars_expr.expression import to_expr
from fama_fast.backends.polars_expr.grid import complete_grid

__all__ = ["complete_grid", "to_expr"]

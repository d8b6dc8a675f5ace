"""An alpha as one Polars expression over a long frame: for someone's own query, and as the second opinion.

The expression takes the columns it needs, puts the rows in (symbol, date) order and evaluates the nodes
one by one as columns with native Polars (`.over` the symbol, `.over` the date), then answers in the
caller's row order. It runs in steps because Polars evaluates an `.over` nested in another inside the
outer one's groups: a rank by date within a window by symbol would silently rank each symbol against
itself. Every built-in operator has a native Polars form, so that this back end shares no arithmetic with
the numba one, with few exceptions: MOD and the gaussian quantile, for which Polars has no exact function, are NumPy's
and SciPy's, and rolling rank correlation and entropy call their numba kernels (`PolarsContext.kernel`), as an operator
from outside may.

This package must not know tiles, registers or the virtual machine.
"""

from fama_fast.backends.polars_expr.expression import to_expr
from fama_fast.backends.polars_expr.grid import complete_grid

__all__ = ["complete_grid", "to_expr"]

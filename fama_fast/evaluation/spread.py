"""What the outer tenths of a factor earn, and what holding them trades, date by date.

It knows arrays only: no panel, no expression, no split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import whole
from fama_fast.evaluation.ic import MIN_PAIRS, MOST_PAIRS
from fama_fast.evaluation.rows import over_rows, same_shape, sorted_rows

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

COST_BPS = 10.0  # of what is traded, by default: a broker's fee and half of a large stock's spread
BPS = 10_000.0


def spread_and_traded(
    values: Any,
    forward_returns: Any,
    *,
    universe: Any = None,
    span: int = 1,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Daily spread: mean label of the top tenth less that of the bottom tenth; and what holding these two trades.

    Tenths are by average rank among the symbols that have a value and a label on the date (`kernels.legs`); five such
    symbols are the fewest that have tenths. What is traded on date t is the sum over symbols of |w_t - w_(t - span)|,
    with w = +1 / size of the top tenth and -1 / size of the bottom one: 4 where both are wholly replaced. A label that
    is held for `span` rows is one of `span` books side by side, each of which is renewed every `span` rows.

    Args:
        values: (T, N), or a `SortedRows` (then its universe is already in it). forward_returns: (T, N), or sorted.
        universe: (T, N) bool, members only; None means every symbol.
        span: rows a label is held. min_pairs: fewer complete pairs on a date make it NaN.

    Returns:
        (T,) spread in the labels' unit, NaN where a tenth is empty; (T,) traded in 0..4, NaN also where the tenths of
        `span` rows before are not known. Turned round, a factor has exactly the negative of the spread.

    Raises:
        DataError: shapes differ or are not two-dimensional.

    Source: the top less the bottom decile, as in Jegadeesh and Titman (1993), Journal of Finance 48, whose
    overlapping portfolios the span is.
    """
    from fama_fast.backends.numba_vm import leg_loops

    fewest = max(2, whole(min_pairs, "min_pairs", 0, MOST_PAIRS))
    span = whole(span, "span", 1)
    x = sorted_rows(values, universe, threads=threads)
    y = sorted_rows(forward_returns, threads=threads, name="forward returns")
    shape = x.values.shape
    same_shape(y.values, shape, "forward returns")
    spread, traded = np.empty(shape[0]), np.empty(shape[0])
    legs = np.zeros((shape[0], 2, (shape[1] + 63) // 64), dtype=np.uint64)
    over_rows(
        lambda a, b: leg_loops.spread_rows(
            x.values, x.order, x.count, y.values, y.order, y.count, fewest, a, b, legs, spread
        ),
        shape,
        threads,
    )
    leg_loops.traded_rows(legs, span, 0, shape[0], traded)
    return spread, traded

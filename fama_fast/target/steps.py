"""What is done to the labels of one date: outliers held in, the market's part and that of controls taken out.

Each works on (T, N) labels, date by date, over the cells that are present; it knows arrays only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.arguments import frozen
from fama_fast.backends.numba_vm.sorted_rows import over_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.panel.groups import GroupField
    from fama_fast.types import FloatArray, IntArray


def winsorized(labels: FloatArray, share: float) -> FloatArray:
    """Labels held within the `share` and 1 - `share` quantiles of their date, linearly interpolated."""
    ordered = np.sort(labels, axis=1)  # missing ones last
    count: IntArray = np.count_nonzero(np.isfinite(labels), axis=1)
    low, high = (_quantile(ordered, count, q) for q in (share, 1.0 - share))
    out: FloatArray = np.minimum(np.maximum(labels, low[:, None]), high[:, None])
    return out


def _quantile(ordered: FloatArray, count: IntArray, q: float) -> FloatArray:
    place = q * np.maximum(count - 1, 0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(ordered))
    a, b = ordered[rows, below], ordered[rows, above]
    out: FloatArray = a + (b - a) * (place - below)
    return out


def beyond_market(labels: FloatArray, beta: FloatArray) -> FloatArray:
    """Labels less beta times the mean label of their date; missing where beta is."""
    present = np.isfinite(labels)
    count = np.maximum(np.count_nonzero(present, axis=1), 1)
    market = np.where(present, labels, 0.0).sum(axis=1) / count
    out: FloatArray = labels - beta * market[:, None]
    return out


def neutralized(
    labels: FloatArray, controls: Sequence[FloatArray], groups: Sequence[GroupField], threads: int | None = None
) -> FloatArray:
    """Residuals of each date's least-squares regression of labels on an intercept, group dummies and controls.

    Cells with a missing label, control or group are missing, and so are dates with no more cells than parameters.

    Args:
        labels: (T, N). controls: (T, N) each. groups: of these shapes; the one with most labels is partialled out
            (Frisch, Waugh and Lovell), of the others each label is a control.
    """
    from fama_fast.backends.numba_vm.residual_loops import orthogonal_residuals

    shape = labels.shape
    within = max(groups, key=lambda g: g.n, default=None)
    columns = list(controls)
    for group in groups:
        if group is not within:
            known = np.isfinite(group.codes)
            columns += [np.where(known, group.codes == code, np.nan) for code in range(group.n)]
    x = np.empty((len(columns), *shape))
    for i, column in enumerate(columns):
        x[i] = column
    codes = np.empty((0, 0)) if within is None else np.ascontiguousarray(within.codes)
    y, controls_, codes_ = frozen(np.ascontiguousarray(labels)), frozen(x), frozen(codes)
    n = 1 if within is None else within.n
    out = np.empty(shape)
    over_rows(lambda a, b: orthogonal_residuals(y, controls_, codes_, n, a, b, out), shape, threads)
    return out

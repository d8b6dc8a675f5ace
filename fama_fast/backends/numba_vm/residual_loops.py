"""Residuals of each row's least-squares regression by orthogonal columns: exact where controls are nearly alike.

Normal equations square the condition of the controls; here each control is made orthogonal to those before it, three
times over, so what is left of a row is orthogonal to every control to the rounding of a sum (Bjorck, Numerical Methods
for Least Squares Problems, 2.4; Giraud et al. 2005: twice is enough). It knows nothing of labels or dates.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.caching import njit_cached
from fama_fast.backends.numba_vm.kernels.correlation import shift_and_scale

_ROUNDING = 1e-24  # squares of what is left of a row, as a share of those of the row, that are rounding alone
_PASSES = 3


@njit_cached
def _demean(row, m, group, cells, total):  # type: ignore[no-untyped-def]
    """The first m entries less the means of their groups, twice; returns the sum of their squares before and after."""
    before = 0.0
    for j in range(m):
        before += row[j] * row[j]
    for _ in range(2):
        total[:] = 0.0
        for j in range(m):
            total[group[j]] += row[j]
        for j in range(m):
            row[j] -= total[group[j]] / cells[group[j]]
    after = 0.0
    for j in range(m):
        after += row[j] * row[j]
    return before, after


@njit_cached
def orthogonal_residuals(y, controls, codes, n_groups, start, stop, out):  # type: ignore[no-untyped-def]
    """Each row of y less its least-squares fit on the controls, an intercept, and a dummy for each group.

    y: (T, N). controls: (K, T, N). codes: (T, N) float64 group codes below n_groups, or (0, 0) for one intercept. Only
    cells with everything present are fitted; others are NaN in out (T, N), and so is a row with no more cells than the
    fit has parameters. A control that those before it explain, to 1e-12 of its size, adds nothing. What is but the
    rounding of a row is 0.
    """
    n_controls, _, n = controls.shape
    grouped = codes.shape[0] > 0
    groups = n_groups if grouped else 1
    x = np.empty((n_controls + 1, n))
    where = np.empty(n, np.int64)
    group = np.zeros(n, np.int64)
    total = np.empty(groups)
    cells = np.empty(groups, np.int64)
    used = np.empty(n_controls, np.bool_)
    for t in range(start, stop):
        out[t, :] = np.nan
        m = 0
        for i in range(n):
            complete = math.isfinite(y[t, i]) and (not grouped or math.isfinite(codes[t, i]))
            for c in range(n_controls):
                complete = complete and math.isfinite(controls[c, t, i])
            if complete:
                where[m] = i
                group[m] = np.int64(codes[t, i]) if grouped else 0
                x[n_controls, m] = y[t, i]
                for c in range(n_controls):
                    x[c, m] = controls[c, t, i]
                m += 1
        if m == 0:
            continue
        cells[:] = 0
        for j in range(m):
            cells[group[j]] += 1
        parameters = 0
        for g in range(groups):
            parameters += 1 if cells[g] > 0 else 0
        scale = whole = left = 1.0
        for c in range(n_controls + 1):
            low, high = np.inf, -np.inf
            for j in range(m):
                low, high = min(low, x[c, j]), max(high, x[c, j])
            shift, scale = shift_and_scale(low, high)  # the last ones are those of y
            for j in range(m):
                x[c, j] = (x[c, j] - shift) * scale
            whole, left = _demean(x[c], m, group, cells, total)
            if c < n_controls:
                used[c] = False
            if left <= _ROUNDING * whole:
                continue  # groups explain it
            after = left
            for _ in range(_PASSES):
                for b in range(c):
                    if used[b]:
                        dot = 0.0
                        for j in range(m):
                            dot += x[b, j] * x[c, j]
                        for j in range(m):
                            x[c, j] -= dot * x[b, j]
                # Of a control that is nearly explained the rounding of its means is no longer small.
                _, after = _demean(x[c], m, group, cells, total)
            if c < n_controls and after > _ROUNDING * left:
                used[c] = True
                parameters += 1
                length = math.sqrt(after)
                for j in range(m):
                    x[c, j] /= length
            left = after
        if m <= parameters:
            continue
        explained = left <= _ROUNDING * whole
        for j in range(m):
            out[t, where[j]] = 0.0 if explained else x[n_controls, j] / scale

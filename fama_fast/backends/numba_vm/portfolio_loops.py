"""Compiled loops behind portfolios and residuals of `fama_fast.evaluation`.

They walk the order that `stats.sort_rows` left, so a factor's rows are sorted once whatever is asked of them. As there,
each function works on rows [start, stop) and writes only those; `top_k` alone runs from the first row to the last,
because what it holds today depends on what it held yesterday. It knows nothing of expressions, dates or costs.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.caching import njit_cached
from fama_fast.backends.numba_vm.kernels.correlation import shift_and_scale

# Squares of what is left of a row, as a share of those of the row, that are rounding alone.
_ROUNDING = 1e-24


@njit_cached
def _group_of(codes, t, column):  # type: ignore[no-untyped-def]
    """The group of a cell, 0 without groups, -1 for none."""
    if codes.shape[0] == 0:
        return 0
    code = codes[t, column]
    return np.int64(code) if math.isfinite(code) else -1


@njit_cached
def quantile_buckets(values, order, count, codes, n_groups, buckets, start, stop, out):  # type: ignore[no-untyped-def]
    """Buckets 1..Q of each row's ordered cells by value, within groups when there are any; 0 elsewhere.

    codes: (T, N) float64 group codes below n_groups, or (0, 0) for none. out: (T, N) int8.
    The cell at place i of n (from 0, tied cells at the mean of their places) is in the least bucket b with
    i <= b (n - 1) / Q: the intervals that linear quantiles cut. The lowest value is always in bucket 1, the highest in
    bucket Q. A group with fewer than Q cells, or with one value alone, has no buckets.
    """
    size = np.zeros(n_groups, np.int64)
    place = np.zeros(n_groups, np.int64)
    tie = np.zeros(n_groups, np.int64)
    last = np.zeros(n_groups, np.float64)
    first = np.zeros(values.shape[1], np.int64)  # place of the first cell that has a cell's value
    for t in range(start, stop):
        out[t, :] = 0
        size[:] = 0
        for k in range(count[t]):
            i = order[t, k]
            g = _group_of(codes, t, i)
            if g < 0:
                continue
            if size[g] == 0 or values[t, i] != last[g]:
                tie[g] = size[g]
                last[g] = values[t, i]
            first[i] = tie[g]
            size[g] += 1
        place[:] = size
        for k in range(count[t] - 1, -1, -1):
            i = order[t, k]
            g = _group_of(codes, t, i)
            if g < 0 or size[g] < buckets:
                continue
            place[g] -= 1
            n = size[g] - 1
            if place[g] == n or values[t, i] != last[g]:
                tie[g] = place[g]  # of the last cell that has this value
                last[g] = values[t, i]
            if first[i] == 0 and tie[g] == n:
                continue
            if first[i] == 0:
                out[t, i] = 1
            elif tie[g] == n:
                out[t, i] = buckets
            else:
                out[t, i] = max(1, ((first[i] + tie[g]) * buckets + 2 * n - 1) // (2 * n))


@njit_cached
def distinct_values(values, order, count, start, stop, out):  # type: ignore[no-untyped-def]
    """How many different values each row's ordered cells have. out: (T,) int64."""
    for t in range(start, stop):
        found = 0
        for k in range(count[t]):
            if k == 0 or values[t, order[t, k]] != values[t, order[t, k - 1]]:
                found += 1
        out[t] = found


@njit_cached
def bucket_means(bucket, returns, start, stop, out):  # type: ignore[no-untyped-def]
    """Mean return of each bucket's cells that have one. out: (T, Q) float64, NaN where a bucket has none."""
    n_buckets = out.shape[1]
    total = np.zeros(n_buckets + 1)
    cells = np.zeros(n_buckets + 1, np.int64)
    for t in range(start, stop):
        total[:] = 0.0
        cells[:] = 0
        for i in range(bucket.shape[1]):
            b = bucket[t, i]
            r = returns[t, i]
            if b > 0 and math.isfinite(r):
                total[b] += r
                cells[b] += 1
        for b in range(1, n_buckets + 1):
            out[t, b - 1] = total[b] / cells[b] if cells[b] else np.nan


@njit_cached
def hold(weights, returns, start, stop, gross, traded):  # type: ignore[no-untyped-def]
    """Return earned on each row's weights, and the weight traded to reach them from yesterday's after they drifted.

    weights, returns: (T, N) float64; a missing return is zero (the position waits). gross, traded: (T,) out; a row
    whose weights are all zero has neither (NaN), but what was held before it is sold in it.
    """
    n = weights.shape[1]
    for t in range(start, stop):
        earned = 0.0
        held = 0.0
        for i in range(n):
            r = returns[t, i]
            held += abs(weights[t, i])
            if math.isfinite(r):
                earned += weights[t, i] * r
        grown = 1.0
        if t > 0:
            for i in range(n):
                r = returns[t - 1, i]
                if math.isfinite(r):
                    grown += weights[t - 1, i] * r
        moved = 0.0
        for i in range(n):
            before = 0.0
            if t > 0:
                r = returns[t - 1, i]
                before = weights[t - 1, i] * (1.0 + (r if math.isfinite(r) else 0.0)) / grown
            moved += abs(weights[t, i] - before)
        gross[t] = earned if held > 0.0 or moved > 0.0 else np.nan
        traded[t] = moved if held > 0.0 or moved > 0.0 else np.nan


@njit_cached
def wait_to_trade(weights, tradable, returns, last, out):  # type: ignore[no-untyped-def]
    """Weights (T, N) that are held where only names that can be traded are: the others keep what they had, drifted.

    weights, returns: (T, N) float64. tradable: (T, N) bool. last: (N,) the last row on which a name has a return;
    behind it nothing of it is held. The drift is that of `hold`, so what waits is not traded.
    """
    n_dates, n = out.shape
    for t in range(n_dates):
        grown = 1.0
        if t > 0:
            for i in range(n):
                r = returns[t - 1, i]
                if math.isfinite(r):
                    grown += out[t - 1, i] * r
        for i in range(n):
            if tradable[t, i]:
                out[t, i] = weights[t, i]
            elif t == 0 or t > last[i]:
                out[t, i] = 0.0
            else:
                r = returns[t - 1, i]
                out[t, i] = out[t - 1, i] * (1.0 + (r if math.isfinite(r) else 0.0)) / grown


@njit_cached
def top_k(order, count, k, n_drop, out):  # type: ignore[no-untyped-def]
    """Weights (T, N) of a portfolio that holds k names and replaces at most n_drop of them a day.

    Each day the best n_drop names that are not held stand against those held; of them all, the held ones among the
    n_drop worst are sold (a held name without a value is worse than any), and the best others are bought.
    """
    n_dates, n = out.shape
    held = np.zeros(n, np.bool_)
    rank = np.empty(n, np.int64)  # place by value today, from 0; -1 without one
    entrants = np.empty(n, np.int64)
    standing = np.empty(n, np.int64)
    n_held = 0
    for t in range(n_dates):
        rank[:] = -1
        for j in range(count[t]):
            rank[order[t, j]] = j
        wanted = n_drop + max(0, k - n_held)
        n_in = 0
        j = count[t] - 1
        while j >= 0 and n_in < wanted:
            if not held[order[t, j]]:
                entrants[n_in] = order[t, j]
                n_in += 1
            j -= 1
        # Held names and entrants from worst to best: those without a value, then by today's place.
        m = 0
        for i in range(n):
            if held[i] and rank[i] < 0:
                standing[m] = i
                m += 1
        for j in range(count[t]):
            i = order[t, j]
            chosen = held[i]
            for e in range(n_in):
                chosen = chosen or entrants[e] == i
            if chosen:
                standing[m] = i
                m += 1
        # Days without values leave the portfolio as it is.
        sold = 0
        if count[t] > 0:
            for j in range(min(n_drop, m)):
                if held[standing[j]]:
                    held[standing[j]] = False
                    sold += 1
        n_held -= sold
        for e in range(min(n_in, k - n_held)):
            held[entrants[e]] = True
        n_held = 0
        for i in range(n):
            n_held += held[i]
        for i in range(n):
            out[t, i] = 1.0 / n_held if held[i] else 0.0


@njit_cached
def residuals(y, controls, codes, n_groups, start, stop, out):  # type: ignore[no-untyped-def]
    """Each row of y less its least-squares fit on the controls, an intercept, and a dummy for each group.

    y: (T, N). controls: (K, T, N). codes: (T, N) float64, or (0, 0). Only cells with everything present are fitted;
    others are NaN in out (T, N). Group means are taken out first (Frisch, Waugh and Lovell), then the K x K normal
    equations are solved by Cholesky; a control that the ones before it explain adds nothing. Each is taken times the
    power of two that brings it near 1, which changes no digit and keeps squares in the range of numbers. What is but
    the rounding of a row is 0.
    """
    n_controls, _, n = controls.shape
    grouped = codes.shape[0] > 0
    groups = n_groups if grouped else 1
    x = np.empty((n_controls + 1, n))
    where = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    total = np.empty(groups)
    cells = np.empty(groups, np.int64)
    lower = np.empty((n_controls, n_controls))
    beta = np.empty(n_controls)
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
        if m <= n_controls + 1:
            continue
        cells[:] = 0
        for j in range(m):
            cells[group[j]] += 1
        scale = whole = 1.0
        for c in range(n_controls + 1):
            low, high = np.inf, -np.inf
            for j in range(m):
                low, high = min(low, x[c, j]), max(high, x[c, j])
            shift, scale = shift_and_scale(low, high)  # the last ones are those of y
            total[:] = 0.0
            before = 0.0
            for j in range(m):
                x[c, j] = (x[c, j] - shift) * scale
                before += x[c, j] * x[c, j]
                total[group[j]] += x[c, j]
            after = 0.0
            for j in range(m):
                x[c, j] -= total[group[j]] / cells[group[j]]
                after += x[c, j] * x[c, j]
            if after <= _ROUNDING * before:
                x[c, :m] = 0.0
            whole = before
        for a in range(n_controls):
            for b in range(a + 1):
                s = 0.0
                for j in range(m):
                    s += x[a, j] * x[b, j]
                lower[a, b] = s
            s = 0.0
            for j in range(m):
                s += x[a, j] * x[n_controls, j]
            beta[a] = s
        for a in range(n_controls):
            own = lower[a, a]
            for b in range(a):
                s = lower[a, b]
                for c in range(b):
                    s -= lower[a, c] * lower[b, c]
                lower[a, b] = s / lower[b, b] if lower[b, b] > 0.0 else 0.0
            s = own
            for c in range(a):
                s -= lower[a, c] * lower[a, c]
            lower[a, a] = math.sqrt(s) if s > 1e-10 * own else 0.0
        for a in range(n_controls):
            s = beta[a]
            for c in range(a):
                s -= lower[a, c] * beta[c]
            beta[a] = s / lower[a, a] if lower[a, a] > 0.0 else 0.0
        for a in range(n_controls - 1, -1, -1):
            s = beta[a]
            for c in range(a + 1, n_controls):
                s -= lower[c, a] * beta[c]
            beta[a] = s / lower[a, a] if lower[a, a] > 0.0 else 0.0
        left = 0.0
        for j in range(m):
            fit = 0.0
            for c in range(n_controls):
                fit += beta[c] * x[c, j]
            x[n_controls, j] -= fit
            left += x[n_controls, j] * x[n_controls, j]
        explained = left <= _ROUNDING * whole
        for j in range(m):
            out[t, where[j]] = 0.0 if explained else x[n_controls, j] / scale

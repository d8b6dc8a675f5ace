"""Kernels that end a program: they turn a factor's rows into figures per date, so that its values need not be kept."""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    COLUMNS,
    FIRST_DATE,
    ROWS,
    SCRATCH,
    WIDTH,
    address_of,
    as_doubles,
    as_small,
    as_unsigned,
)
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size


def rank_ic(slots, dims, params):
    """Spearman correlation with a label, and the number of values, per date.

    Slots: result (dates, 2); factor; label values (dates, symbols); columns of each date's labels in ascending order
    (dates, symbols) int32; their number (dates,) as float64. params[0]: fewest pairs.

    Ranks are doubled and centred, 2r - n - 1: whole numbers, whose sums are exact, so the result is the same to the bit
    as `evaluation.rank_ic`, whatever computes it.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    x_rank = as_doubles(dims[SCRATCH] + 8 * scratch_size(columns))
    for r in range(dims[ROWS]):
        date = dims[FIRST_DATE] + r
        row = as_doubles(address_of(x) + 8 * r * width)
        label = as_doubles(slots[2] + 8 * date * columns)
        label_order = as_small(slots[3] + 4 * date * columns)
        labels = int(as_doubles(slots[4])[date])
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        order = as_unsigned(order_at)
        out[2 * date + 1] = float(n)
        pairs = 0
        for i in range(n):
            # Keep in place those whose label is known.
            entry = order[i]
            value = label[np.int64(entry & mask)]
            order[pairs] = entry
            pairs += 1 if value == value else 0
        out[2 * date] = np.nan
        if pairs < params[0]:
            continue
        xx = 0.0
        start = 0
        while start < pairs:
            value = row[np.int64(order[start] & mask)]
            end = start + 1
            while end < pairs and row[np.int64(order[end] & mask)] == value:
                end += 1
            rank = float(start + end - pairs)
            for i in range(start, end):
                x_rank[np.int64(order[i] & mask)] = rank
            xx += rank * rank * (end - start)
            start = end
        found = 0
        known = as_small(order_at)
        for i in range(labels):
            c = label_order[i]
            known[found] = c
            found += 1 if row[c] == row[c] else 0
        xy, yy = 0.0, 0.0
        start = 0
        while start < pairs:
            value = label[known[start]]
            total = x_rank[known[start]]
            end = start + 1
            while end < pairs and label[known[end]] == value:
                total += x_rank[known[end]]
                end += 1
            rank = float(start + end - pairs)
            xy += rank * total
            yy += rank * rank * (end - start)
            start = end
        if xx > 0.0 and yy > 0.0:
            out[2 * date] = xy / math.sqrt(xx * yy)

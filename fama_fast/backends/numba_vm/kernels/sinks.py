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
    as_doubles,
    as_small,
    as_unsigned,
    helper,
    inlined,
    row_of,
)
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size, tie_end


@inlined
def _beside_distinct(x_rank, label_order, labels, pairs):
    """(sum of products, sum of squares of the labels' ranks) where no two labels are equal: the ranks are 1, 2, 3...

    A column without a pair adds 0 and does not move the rank on, so there is no branch to predict.
    """
    products, squares = np.int64(0), np.int64(0)
    rank = np.int64(1 - pairs)
    for i in range(labels):
        word = np.int64(x_rank[label_order[i]])
        products += rank * (word >> 1)
        rank += 2 * (word & 1)
    for k in range(pairs):
        squares += (2 * k + 1 - pairs) * (2 * k + 1 - pairs)
    return float(products), float(squares)


@inlined
def _beside_ties(x_rank, label, label_order, labels, pairs, known):
    """The same where labels may be equal; known: scratch for the labels' columns that have a pair."""
    found = 0
    for i in range(labels):
        c = label_order[i]
        known[found] = c
        found += x_rank[c] & 1
    products, squares = 0.0, 0.0
    start = 0
    while start < pairs:
        value = label[known[start]]
        total = x_rank[known[start]] >> 1
        end = start + 1
        while end < pairs and label[known[end]] == value:
            total += x_rank[known[end]] >> 1
            end += 1
        rank = float(start + end - pairs)
        products += rank * total
        squares += rank * rank * (end - start)
        start = end
    return products, squares


@inlined
def rank_ic_scratch(columns):
    """Doubles of scratch that `rank_ic_row` needs."""
    return scratch_size(columns) + 2 * columns


@helper
def rank_ic_row(row, columns, label, label_order, labels, tied, fewest, scratch):
    """(Spearman correlation of one date's values with its labels or missing, number of values).

    label_order: columns of the known labels in ascending order, `labels` of them. tied: whether some of them are equal.
    A label is known where it is finite. fewest: pairs below which nothing is said.

    Ranks are doubled and centred, 2r - n - 1: whole numbers, whose sums are exact, so the result is the same to the
    bit as that of `stats.rank_correlation`. What has no label is left out before the sort.
    """
    paired = as_doubles(scratch + 8 * scratch_size(columns))
    # A pair's rank, and behind it a bit that says that there is one.
    x_rank = as_small(scratch + 8 * (scratch_size(columns) + columns))
    present = 0
    for c in range(columns):
        v = row[c]
        present += 1 if v == v else 0
        paired[c] = v if label[c] - label[c] == 0.0 else np.nan
        x_rank[c] = 0
    pairs, order_at, mask = order_row(paired, columns, scratch)
    if pairs < fewest:
        return np.nan, present
    order = as_unsigned(order_at)
    xx = np.int64(0)
    start = 0
    while start < pairs:
        end = tie_end(paired, order, start, pairs, mask)
        rank = start + end - pairs
        for i in range(start, end):
            x_rank[np.int64(order[i] & mask)] = 2 * rank + 1
        xx += rank * rank * (end - start)
        start = end
    if tied:
        xy, yy = _beside_ties(x_rank, label, label_order, labels, pairs, as_small(order_at))
    else:
        xy, yy = _beside_distinct(x_rank, label_order, labels, pairs)
    return xy / math.sqrt(float(xx) * yy) if xx > 0 and yy > 0.0 else np.nan, present


def rank_ic(slots, dims, params):
    """Spearman correlation with a label, and the number of values, per date (`rank_ic_row`).

    Slots: result (dates, 2); factor; label values (dates, symbols); columns of each date's labels in ascending order
    (dates, symbols) int32; their number (dates,) as float64; whether some of them are equal (dates,), 0 or 1.
    params[0]: fewest pairs.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        date = dims[FIRST_DATE] + r
        out[2 * date], present = rank_ic_row(
            row_of(x, r, width),
            columns,
            as_doubles(slots[2] + 8 * date * columns),
            as_small(slots[3] + 4 * date * columns),
            int(as_doubles(slots[4])[date]),
            as_doubles(slots[5])[date] != 0.0,
            params[0],
            dims[SCRATCH],
        )
        out[2 * date + 1] = float(present)

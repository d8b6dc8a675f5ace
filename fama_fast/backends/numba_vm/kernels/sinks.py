"""Kernels that end a program: they turn a factor's rows into figures per date, so that its values need not be kept."""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    COLUMNS,
    DATES,
    FIRST_DATE,
    ROWS,
    SCRATCH,
    WIDTH,
    address_of,
    as_bytes,
    as_doubles,
    as_small,
    as_unsigned,
    helper,
    inlined,
    row_of,
)
from fama_fast.backends.numba_vm.kernels.correlation import pearson, pick_pairs
from fama_fast.backends.numba_vm.kernels.legs import in_bottom, in_top, leg_words, mark, spread_of
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size, tie_end


@inlined
def _beside_distinct(x_rank, labels, pairs):
    """(sum of products, sum of squares of the labels' ranks) where no two labels are equal: the ranks are 1, 2, 3...

    A label without a pair adds 0 and does not move the rank on, so there is no branch to predict.
    """
    products, squares = np.int64(0), np.int64(0)
    rank = np.int64(1 - pairs)
    for i in range(labels):
        word = np.int64(x_rank[i])
        products += rank * (word >> 1)
        rank += 2 * (word & 1)
    for k in range(pairs):
        squares += (2 * k + 1 - pairs) * (2 * k + 1 - pairs)
    return float(products), float(squares)


@inlined
def _beside_ties(x_rank, label, label_order, labels, pairs, known):
    """The same where labels may be equal; known: scratch for the places of the labels that have a pair."""
    found = 0
    for i in range(labels):
        known[found] = i
        found += x_rank[i] & 1
    products, squares = 0.0, 0.0
    start = 0
    while start < pairs:
        value = label[label_order[known[start]]]
        total = x_rank[known[start]] >> 1
        end = start + 1
        while end < pairs and label[label_order[known[end]]] == value:
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


@inlined
def _ranks_at(columns, scratch):
    """Where `_rank_pairs` leaves its ranks."""
    return as_small(scratch + 8 * (scratch_size(columns) + columns))


@inlined
def _rank_pairs(row, columns, label_order, labels, fewest, scratch):
    """Rank the values that have a label: (values, pairs, sum of squares of ranks, address of the order, its mask).

    They are taken in the order of their labels: what has none costs nothing, and the labels' ranks come one after the
    other. Behind the scratch of the order lie then these values, and for each label the doubled, centred rank of its
    value, and behind it a bit that says that there is one. Ranks are whole numbers, whose sums are exact.
    """
    paired, x_rank = as_doubles(scratch + 8 * scratch_size(columns)), _ranks_at(columns, scratch)
    present = 0
    for c in range(columns):
        present += 1 if row[c] == row[c] else 0
    for i in range(labels):
        paired[i] = row[label_order[i]]
        x_rank[i] = 0
    pairs, order_at, mask = order_row(paired, labels, scratch)
    xx = np.int64(0)
    if pairs >= fewest:
        order = as_unsigned(order_at)
        start = 0
        while start < pairs:
            end = tie_end(paired, order, start, pairs, mask)
            rank = start + end - pairs
            for i in range(start, end):
                x_rank[np.int64(order[i] & mask)] = 2 * rank + 1
            xx += rank * rank * (end - start)
            start = end
    return present, pairs, xx, order_at, mask


@inlined
def _rank_correlation(xx, order_at, columns, label, label_order, labels, tied, pairs, scratch):
    """Spearman's correlation from what `_rank_pairs` left; the order is lost."""
    x_rank = _ranks_at(columns, scratch)
    if tied:
        xy, yy = _beside_ties(x_rank, label, label_order, labels, pairs, as_small(order_at))
    else:
        xy, yy = _beside_distinct(x_rank, labels, pairs)
    return xy / math.sqrt(float(xx) * yy) if xx > 0 and yy > 0.0 else np.nan


@helper
def rank_ic_row(row, columns, label, label_order, labels, tied, fewest, scratch):
    """(Spearman correlation of one date's values with its labels or missing, number of values).

    label_order: columns of the known labels in ascending order, `labels` of them. tied: whether some of them are equal.
    A label is known where it is finite. fewest: pairs below which nothing is said.

    The result is the same to the bit as that of `stats.rank_correlation`. What has no label is left out before the
    sort.
    """
    present, pairs, xx, order_at, _ = _rank_pairs(row, columns, label_order, labels, fewest, scratch)
    if pairs < fewest:
        return np.nan, present
    return _rank_correlation(xx, order_at, columns, label, label_order, labels, tied, pairs, scratch), present


@inlined
def _legs_of(order_at, mask, pairs, columns, label_order, top, bottom, scratch):
    """Mark the outer tenths of what `_rank_pairs` ranked, in legs that are empty."""
    order, x_rank = as_unsigned(order_at), _ranks_at(columns, scratch)
    for i in range(pairs):
        place = np.int64(order[i] & mask)
        if not in_bottom(x_rank[place] >> 1, pairs):
            break
        mark(bottom, np.int64(label_order[place]))
    for i in range(pairs):
        place = np.int64(order[pairs - 1 - i] & mask)
        if not in_top(x_rank[place] >> 1, pairs):
            break
        mark(top, np.int64(label_order[place]))


@helper
def daily_row(row, columns, label, label_order, labels, tied, fewest, figures, scratch):
    """All figures of one date: RankIC, number of values, IC, spread, and the bits of the top and the bottom leg.

    They have the bits of `rank_ic_row`, `stats.correlation` and `leg_loops.spread_rows`; the values are in cache, and
    sorted once. Returns how many values were ranked, if all of them were; else 0.
    """
    words = leg_words(columns)
    top = as_unsigned(address_of(figures) + 32)
    bottom = as_unsigned(address_of(figures) + 32 + 8 * words)
    for w in range(words):
        top[w] = np.uint64(0)
        bottom[w] = np.uint64(0)
    present, pairs, xx, order_at, mask = _rank_pairs(row, columns, label_order, labels, fewest, scratch)
    figures[0], figures[1], figures[2], figures[3] = np.nan, float(present), np.nan, np.nan
    if pairs < fewest:
        return 0
    _legs_of(order_at, mask, pairs, columns, label_order, top, bottom, scratch)
    figures[3] = spread_of(top, bottom, words, label)
    figures[0] = _rank_correlation(xx, order_at, columns, label, label_order, labels, tied, pairs, scratch)
    # The order is of no use any more: pairs take its place.
    x, y = as_doubles(scratch), as_doubles(scratch + 8 * columns)
    lanes = as_doubles(scratch + 16 * columns)
    figures[2] = pearson(x, y, pick_pairs(row, label, columns, x, y), lanes)
    return pairs if pairs == present else 0


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


def daily(slots, dims, params):
    """RankIC, number of values, IC and spread with a label, and the two legs, per date (`daily_row`).

    Slots and params as of `rank_ic`; a row of the result has four figures, then the bits of the legs.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    results = 4 + 2 * leg_words(columns)
    for r in range(dims[ROWS]):
        date = dims[FIRST_DATE] + r
        daily_row(
            row_of(x, r, width),
            columns,
            as_doubles(slots[2] + 8 * date * columns),
            as_small(slots[3] + 4 * date * columns),
            int(as_doubles(slots[4])[date]),
            as_doubles(slots[5])[date] != 0.0,
            params[0],
            row_of(out, date, results),
            dims[SCRATCH],
        )


TOP_LEVEL = 63


@helper
def levels_row(row, columns, levels, scratch):
    """Ranks of one date's values in 8 bits, to `levels` (int8): 63 (2 r - n - 1) / n to the nearest whole number.

    r is the average rank among the n values; 0 where there is no value.
    """
    for c in range(columns):
        levels[c] = 0
    n, order_at, mask = order_row(row, columns, scratch)
    order = as_unsigned(order_at)
    start = 0
    while start < n:
        end = tie_end(row, order, start, n, mask)
        level = np.int8(np.rint(float(TOP_LEVEL * (start + end - n)) / float(n)))
        for i in range(start, end):
            levels[np.int64(order[i] & mask)] = level
        start = end


@helper
def levels_of_ranks(columns, label_order, labels, pairs, levels, scratch):
    """The same from the ranks that `daily_row` left, where it ranked all values there are."""
    x_rank = _ranks_at(columns, scratch)
    for c in range(columns):
        levels[c] = 0
    for i in range(labels):
        if x_rank[i] & 1:
            rank = np.int64(x_rank[i] >> 1)
            levels[np.int64(label_order[i])] = np.int8(np.rint(float(TOP_LEVEL * rank) / float(pairs)))


def daily_levels(slots, dims, params):
    """The figures of `daily`, and levels (`levels_row`) on sampled dates.

    Slots and params as of `daily`, then the place of each date among the sampled ones (dates,), as float64; below 0 of
    one that is not. The levels (sampled dates, symbols), int8, lie behind the figures of all dates.
    """
    out, x, place = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[6])
    width, columns = dims[WIDTH], dims[COLUMNS]
    results = 4 + 2 * leg_words(columns)
    for r in range(dims[ROWS]):
        date = dims[FIRST_DATE] + r
        label_order, labels = as_small(slots[3] + 4 * date * columns), int(as_doubles(slots[4])[date])
        ranked = daily_row(
            row_of(x, r, width),
            columns,
            as_doubles(slots[2] + 8 * date * columns),
            label_order,
            labels,
            as_doubles(slots[5])[date] != 0.0,
            params[0],
            row_of(out, date, results),
            dims[SCRATCH],
        )
        if place[date] >= 0.0:
            levels = as_bytes(slots[0] + 8 * dims[DATES] * results + np.int64(place[date]) * columns)
            if ranked > 0:
                levels_of_ranks(columns, label_order, labels, ranked, levels, dims[SCRATCH])
            else:
                levels_row(row_of(x, r, width), columns, levels, dims[SCRATCH])

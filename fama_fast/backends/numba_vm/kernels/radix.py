"""Sorting one date's values: radix passes over order-preserving integer keys, then a short insertion sort.

A float64's bits, with the sign handled, order like the number as an unsigned integer. Only the bits in which a date's
keys differ from the lowest one matter; two passes of 11 bits (of 9 on small universes, whose histograms must stay
smaller than the data) sort by the highest 22 (18) of them, and an insertion sort settles the rest, which is almost
sorted. Where many values agree in those bits, a heap sort of their run keeps the cost bounded. Every rank, quantile and
RankIC comes from here.

The insertion sort is what costs where those bits say little: exponents that no value has waste them. So the lowest key
is subtracted, and where values lie around 0 their distances from the lowest are sorted, unless a few far out leave
the others with few digits. Keys are made before digits are counted, so on vectors, and one table counts both digits.
Figures, and what was not done: docs/decisions/007-sorting-one-date.md.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import as_doubles, as_unsigned, float_bits, helper, inlined
from fama_fast.backends.numba_vm.simd import LANES, load, select, splat, store

SMALL_UNIVERSE = 1024
RAISE = 1.0 + 2.0**-20  # what is added to a distance exceeds the largest one: the sum stays below twice of it
NEAR = 2.0**-14  # of the range: distances of values nearer to 0 than this differ in few digits


@inlined
def order_key(x):
    """Unsigned integer that orders as x does; both zeros are one."""
    bits = float_bits(x + 0.0)
    # Negative numbers: all bits flipped; others: the sign bit set. Everything stays uint64: mixed signs would be float.
    return np.uint64(bits) ^ (np.uint64(bits >> 63) | np.uint64(1 << 63))


@inlined
def scratch_size(columns):
    """Doubles of scratch that `order_row` needs: keys twice, two histograms."""
    return 2 * columns + 2048 + 64


@inlined
def _digit_bits(columns):
    """Bits of a radix digit: histograms must stay smaller than the data they sort."""
    return 9 if columns < SMALL_UNIVERSE else 11


@helper
def lowest_and_highest(x, count, lanes):
    """(lowest, highest) of x[0..count), none of which is missing; lanes: eight doubles to write to."""
    whole = count - count % LANES
    low, high = splat(np.inf), splat(-np.inf)
    for i in range(0, whole, LANES):
        v = load(x, i)
        low, high = select(v < low, v, low), select(v > high, v, high)
    store(lanes, 0, low)
    least = np.inf
    for k in range(LANES):
        least = lanes[k] if lanes[k] < least else least
    store(lanes, 0, high)
    most = -np.inf
    for k in range(LANES):
        most = lanes[k] if lanes[k] > most else most
    for i in range(whole, count):
        least = x[i] if x[i] < least else least
        most = x[i] if x[i] > most else most
    return least, most


@helper
def order_row(x, columns, scratch):
    """Order the present values of x[0..columns): returns (n, address of n uint64, mask).

    The column of the i-th smallest value is entry i & mask; ties stand by column. A value's highest bits and its column
    share one integer, so a pass moves one word a value, and two passes over the highest bits that differ
    leave short runs to an insertion sort. Bits that found no room beside the column decide only between neighbours that
    agree in all others: there the values themselves are compared.
    """
    index_bits = 1
    while (1 << index_bits) < columns:
        index_bits += 1
    low_bits = np.uint64(index_bits)
    mask = np.uint64((1 << index_bits) - 1)
    digit = _digit_bits(columns)
    buckets = 1 << digit
    a, b = as_unsigned(scratch), as_unsigned(scratch + 8 * columns)
    counts = as_unsigned(scratch + 16 * columns)  # of both digits: the higher one's in the upper halves
    one_high, lower_half = np.uint64(1 << 32), np.uint64((1 << 32) - 1)
    values = as_doubles(scratch + 8 * columns)  # until entries move there
    n = 0
    for c in range(columns):
        v = x[c]
        # Always written, counted only when present: no branch to predict.
        values[n] = v
        a[n] = np.uint64(c)
        n += 1 if v == v else 0
    low, high = lowest_and_highest(values, n, as_doubles(scratch + 16 * columns))
    if n < 2 or low == high:
        return n, scratch, mask
    # Values on both sides of 0 have every exponent between them. Their distance from the lowest, raised into one
    # binade, is a key without exponents; it may round two values to one, which are then compared themselves.
    raised = (high - low) * RAISE
    around = low < 0.0 and high > 0.0 and raised + raised < np.inf
    if around:
        # A few values far out leave the distances of all others few bits: exponents tell those apart.
        near, bound = 0, raised * NEAR
        for i in range(n):
            size = abs(values[i])
            near += 1 if 0.0 < size and size < bound else 0
        around = 4 * near <= n
    first = float_bits(raised) if around else np.int64(order_key(low))
    last = float_bits((high - low) + raised) if around else np.int64(order_key(high))
    differ = np.uint64(last) - np.uint64(first)
    lead = 0
    while (differ >> np.uint64(63 - lead)) == np.uint64(0):
        lead += 1
    shift = np.uint64(lead)
    low_at, high_at = np.uint64(64 - 2 * digit), np.uint64(64 - digit)
    digit_mask = np.uint64(buckets - 1)
    for k in range(buckets):
        counts[k] = np.uint64(0)
    # Keys first, digits then: the first loop has no counts in it, so it runs on vectors.
    if around:
        for i in range(n):
            key = (np.uint64(float_bits((values[i] - low) + raised)) - np.uint64(first)) << shift
            a[i] |= (key >> low_bits) << low_bits
    else:
        for i in range(n):
            key = (order_key(values[i]) - np.uint64(first)) << shift
            a[i] |= (key >> low_bits) << low_bits
    for i in range(n):
        key = a[i]
        counts[np.int64((key >> low_at) & digit_mask)] += np.uint64(1)
        counts[np.int64(key >> high_at)] += one_high
    total = np.uint64(0)
    for k in range(buckets):
        here = counts[k]
        counts[k] = total
        total += here
    for i in range(n):
        key = a[i]
        d = np.int64((key >> low_at) & digit_mask)
        at = counts[d]
        counts[d] = at + np.uint64(1)
        b[np.int64(at & lower_half)] = key
    for i in range(n):
        key = b[i]
        d = np.int64(key >> high_at)
        at = counts[d]
        counts[d] = at + one_high
        a[np.int64(at >> np.uint64(32))] = key
    _settle_packed(x, a, n, low_at, low_bits, mask, lead >= index_bits and not around)
    return n, scratch, mask


@inlined
def tie_end(x, order, start, n, mask):
    """Past the last entry whose value is that of entry `start`, of entries that `order_row` put in order.

    Equal values agree in all bits above the column, and few others do: values are read for those alone.
    """
    entry = order[start]
    end = start + 1
    if end < n and (order[end] ^ entry) <= mask:
        value = x[np.int64(entry & mask)]
        while end < n and x[np.int64(order[end] & mask)] == value:
            end += 1
    return end


@inlined
def _comes_after(x, p, q, low_bits, mask, exact):
    """Whether packed p orders after packed q."""
    if exact or (p >> low_bits) != (q >> low_bits):
        return p > q
    u, v = x[np.int64(p & mask)], x[np.int64(q & mask)]
    return u > v or (u == v and p > q)


@helper
def _sift_packed(x, a, start, root, n, low_bits, mask, exact):
    while True:
        child = 2 * root + 1
        if child >= n:
            return
        if child + 1 < n and _comes_after(x, a[start + child + 1], a[start + child], low_bits, mask, exact):
            child += 1
        if not _comes_after(x, a[start + child], a[start + root], low_bits, mask, exact):
            return
        a[start + root], a[start + child] = a[start + child], a[start + root]
        root = child


@helper
def _settle_packed(x, a, n, low_at, low_bits, mask, exact):
    """Order the runs that agree in the bits from `low_at` up: insertion where that is short, else a heap."""
    start = 0
    while start < n - 1:
        head = a[start] >> low_at
        end = start + 1
        if a[end] >> low_at != head:
            start = end
            continue
        budget = 16
        done = start + 1
        while done < n and a[done] >> low_at == head:
            key = a[done]
            k = done - 1
            while k >= start and _comes_after(x, a[k], key, low_bits, mask, exact):
                a[k + 1] = a[k]
                k -= 1
            a[k + 1] = key
            budget += 16 - (done - 1 - k)
            done += 1
            if budget < 0:
                break
        end = done
        while end < n and a[end] >> low_at == head:
            end += 1
        if done < end:
            length = end - start
            for root in range(length // 2 - 1, -1, -1):
                _sift_packed(x, a, start, root, length, low_bits, mask, exact)
            for last in range(length - 1, 0, -1):
                a[start], a[start + last] = a[start + last], a[start]
                _sift_packed(x, a, start, 0, last, low_bits, mask, exact)
        start = end

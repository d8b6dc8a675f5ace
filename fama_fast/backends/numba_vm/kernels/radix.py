"""Sorting one date's values: radix passes over order-preserving integer keys, then a short insertion sort.

A float64's bits, with the sign handled, order like the number as an unsigned integer. Only the bits in which a date's
keys differ matter; three passes of 11 bits (four of 8 on small universes, whose histograms must stay smaller than the
data) sort by the highest 33 (32) of them, and the insertion sort settles the rest, which is almost sorted: prices and
returns seldom share that many bits. Where many do, a heap sort of the equal run keeps the cost bounded.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import as_small, as_unsigned, float_bits, helper, inlined

SMALL_UNIVERSE = 1024
_RUN_LIMIT = 24


@inlined
def order_key(x):
    """Unsigned integer that orders as x does; both zeros are one."""
    bits = float_bits(x + 0.0)
    # Negative numbers: all bits flipped; others: the sign bit set. Everything stays uint64: mixed signs would be float.
    return np.uint64(bits) ^ (np.uint64(bits >> 63) | np.uint64(1 << 63))


@inlined
def scratch_size(columns):
    """Doubles of scratch that `sort_row` needs."""
    return 3 * columns + 2048 + 64


@helper
def _sift(keys, index, start, root, n):
    while True:
        child = 2 * root + 1
        if child >= n:
            return
        if child + 1 < n and keys[start + child] < keys[start + child + 1]:
            child += 1
        if keys[start + root] >= keys[start + child]:
            return
        keys[start + root], keys[start + child] = keys[start + child], keys[start + root]
        index[start + root], index[start + child] = index[start + child], index[start + root]
        root = child


@helper
def _heap_sort(keys, index, start, n):
    for root in range(n // 2 - 1, -1, -1):
        _sift(keys, index, start, root, n)
    for end in range(n - 1, 0, -1):
        keys[start], keys[start + end] = keys[start + end], keys[start]
        index[start], index[start + end] = index[start + end], index[start]
        _sift(keys, index, start, 0, end)


@helper
def sort_row(x, columns, scratch):
    """Sort the present values of x[0..columns): returns (n, address of keys, address of indices).

    Keys are uint64 ascending, indices int32; both lie in `scratch` (see `scratch_size`). Equal keys come in no
    particular order, which no rank depends on.
    """
    half = columns + (columns & 1)
    keys_a, keys_b = as_unsigned(scratch), as_unsigned(scratch + 8 * half)
    index_a = as_small(scratch + 16 * half)
    index_b = as_small(scratch + 16 * half + 4 * half)
    counts = as_small(scratch + 24 * half)
    n = 0
    every, some = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    for c in range(columns):
        v = x[c]
        if v == v:
            key = order_key(v)
            keys_a[n] = key
            index_a[n] = c
            every &= key
            some |= key
            n += 1
    from_a = True
    differ = every ^ some
    if n > 1 and differ != np.uint64(0):
        top = 0
        rest = differ >> np.uint64(1)
        while rest != np.uint64(0):
            rest >>= np.uint64(1)
            top += 1
        bits = 8 if columns < SMALL_UNIVERSE else 11
        passes = 4 if columns < SMALL_UNIVERSE else 3
        low = max(0, top + 1 - bits * passes)
        buckets = 1 << bits
        mask = np.uint64(buckets - 1)
        for p in range(passes):
            if low + p * bits > top:
                break
            shift = np.uint64(low + p * bits)
            for b in range(buckets):
                counts[b] = 0
            source, target = (keys_a, keys_b) if from_a else (keys_b, keys_a)
            index_from, index_to = (index_a, index_b) if from_a else (index_b, index_a)
            for i in range(n):
                counts[np.int64((source[i] >> shift) & mask)] += 1
            total = 0
            for b in range(buckets):
                here = counts[b]
                counts[b] = total
                total += here
            for i in range(n):
                key = source[i]
                digit = np.int64((key >> shift) & mask)
                at = counts[digit]
                counts[digit] = at + 1
                target[at] = key
                index_to[at] = index_from[i]
            from_a = not from_a
        if low > 0:
            keys, index = (keys_a, index_a) if from_a else (keys_b, index_b)
            _settle(keys, index, n, np.uint64(low))
    if from_a:
        return n, scratch, scratch + 16 * half
    return n, scratch + 8 * half, scratch + 16 * half + 4 * half


@helper
def _settle(keys, index, n, low):
    """Order runs that agree in all bits from `low` up."""
    start = 0
    while start < n - 1:
        head = keys[start] >> low
        end = start + 1
        while end < n and keys[end] >> low == head:
            end += 1
        length = end - start
        if length > _RUN_LIMIT:
            _heap_sort(keys, index, start, length)
        elif length > 1:
            for i in range(start + 1, end):
                key, place = keys[i], index[i]
                k = i - 1
                while k >= start and keys[k] > key:
                    keys[k + 1] = keys[k]
                    index[k + 1] = index[k]
                    k -= 1
                keys[k + 1] = key
                index[k + 1] = place
        start = end


@inlined
def _digit_bits(columns):
    """Bits of a radix digit: histograms must stay smaller than the data they sort."""
    return 9 if columns < SMALL_UNIVERSE else 11


@helper
def order_row(x, columns, scratch):
    """Order the present values of x[0..columns): returns (n, address of n uint64, mask).

    The column of the i-th smallest value is entry i & mask; ties stand by column. A value's highest bits and its column
    share one integer, so a pass moves half the memory of `sort_row`, and two passes over the highest bits that differ
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
    counts_low = as_small(scratch + 16 * columns)
    counts_high = as_small(scratch + 16 * columns + 4 * buckets)
    n = 0
    every, some = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    for c in range(columns):
        v = x[c]
        key = order_key(v)
        # Always written, counted only when present: no branch to predict.
        b[n] = key
        a[n] = np.uint64(c)
        if v == v:
            every &= key
            some |= key
            n += 1
    if n < 2:
        return n, scratch, mask
    differ = every ^ some
    if differ == np.uint64(0):
        return n, scratch, mask
    lead = 0
    while (differ >> np.uint64(63 - lead)) == np.uint64(0):
        lead += 1
    shift = np.uint64(lead)
    low_at, high_at = np.uint64(64 - 2 * digit), np.uint64(64 - digit)
    digit_mask = np.uint64(buckets - 1)
    for k in range(buckets):
        counts_low[k] = 0
        counts_high[k] = 0
    for i in range(n):
        key = b[i] << shift
        counts_low[np.int64((key >> low_at) & digit_mask)] += 1
        counts_high[np.int64(key >> high_at)] += 1
        a[i] |= (key >> low_bits) << low_bits
    total_low, total_high = 0, 0
    for k in range(buckets):
        here = counts_low[k]
        counts_low[k] = total_low
        total_low += here
        here = counts_high[k]
        counts_high[k] = total_high
        total_high += here
    for i in range(n):
        key = a[i]
        d = np.int64((key >> low_at) & digit_mask)
        at = counts_low[d]
        counts_low[d] = at + 1
        b[at] = key
    for i in range(n):
        key = b[i]
        d = np.int64(key >> high_at)
        at = counts_high[d]
        counts_high[d] = at + 1
        a[at] = key
    _settle_packed(x, a, n, low_at, low_bits, mask, lead >= index_bits)
    return n, scratch, mask


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

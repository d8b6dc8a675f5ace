"""Kernels over the sorted members of one group on one date; group codes are whole numbers from 0."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import COLUMNS, ROWS, SCRATCH, WIDTH, address_of, as_doubles, as_unsigned
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size


def percentile(slots, dims, params):
    """The params[0]-quantile of each group (type 7): one sort serves all groups, counts deal its order out to them."""
    out, x, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row = as_doubles(address_of(x) + 8 * r * width)
        code = as_doubles(address_of(codes) + 8 * r * width)
        result = as_doubles(address_of(out) + 8 * r * width)
        groups = 0
        for c in range(columns):
            if code[c] == code[c]:
                groups = max(groups, int(code[c]) + 1)
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        order = as_unsigned(order_at)
        dealt = as_doubles(dims[SCRATCH] + 8 * scratch_size(columns))
        first = as_doubles(dims[SCRATCH] + 8 * (scratch_size(columns) + columns))
        size = as_doubles(dims[SCRATCH] + 8 * (scratch_size(columns) + columns + groups))
        for g in range(groups):
            size[g] = 0.0
        for i in range(n):
            c = np.int64(order[i] & mask)
            g = code[c]
            if g == g:
                size[int(g)] += 1.0
        total = 0.0
        for g in range(groups):
            first[g] = total
            total += size[g]
            size[g] = 0.0
        for i in range(n):
            c = np.int64(order[i] & mask)
            g = code[c]
            if g == g:
                dealt[int(first[int(g)] + size[int(g)])] = row[c]
                size[int(g)] += 1.0
        for c in range(width):
            result[c] = np.nan
        for c in range(columns):
            if row[c] == row[c] and code[c] == code[c]:
                g = int(code[c])
                place = params[0] * (size[g] - 1.0)
                low = int(place)
                share = place - low
                at = int(first[g]) + low
                value = dealt[at]
                if share > 0.0 and low + 1.0 < size[g]:
                    value = value + (dealt[at + 1] - value) * share
                result[c] = value if value - value == 0.0 else np.nan

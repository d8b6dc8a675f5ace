"""The rolling correlation of ranks.

Ranks within a window are kept rather than computed: when a pair enters or leaves, every other rank moves by one or a
half. Halves are exact, so nothing drifts.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined
from fama_fast.backends.numba_vm.kernels.blocks import finite
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, sqrt, store

PERFECT = 1.0 - 1e-14


@inlined
def _ahead(v, other):
    """What `other` adds to the rank of v: 1 when smaller, a half when equal, 0 when larger or missing."""
    return select(other < v, splat(1.0), select(other == v, splat(0.5), splat(0.0)))


def rank_corr(slots, dims, params):
    """The correlation of average ranks of the complete pairs of a window (Spearman)."""
    out, x, y = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    # Per day of the window, at its row modulo d: x, y, and their average ranks less a half.
    ring = as_doubles(dims[SCRATCH])
    zero, nothing = splat(0.0), splat(np.nan)
    need = splat(max(least, 2.0))
    for i in range(0, 4 * d * LANES, LANES):
        store(ring, i, nothing)
    count = zero
    for t in range(rows):
        here = (t % d) * 4 * LANES
        old_x, old_y = load(ring, here), load(ring, here + LANES)
        a, b = load(x, t * LANES), load(y, t * LANES)
        gone = missing(a) | missing(b)
        a, b = select(gone, nothing, a), select(gone, nothing, b)
        count = count + select(gone, zero, splat(1.0)) - select(missing(old_x), zero, splat(1.0))
        store(ring, here, nothing)
        store(ring, here + LANES, nothing)
        rank_a, rank_b = splat(0.5), splat(0.5)
        sxx, syy, sxy = zero, zero, zero
        for i in range(0, 4 * d * LANES, 4 * LANES):
            v, w = load(ring, i), load(ring, i + LANES)
            rank_a, rank_b = rank_a + _ahead(a, v), rank_b + _ahead(b, w)
            rank_v = load(ring, i + 2 * LANES) + _ahead(v, a) - _ahead(v, old_x)
            rank_w = load(ring, i + 3 * LANES) + _ahead(w, b) - _ahead(w, old_y)
            store(ring, i + 2 * LANES, rank_v)
            store(ring, i + 3 * LANES, rank_w)
            gone_v = missing(v)
            sxx = sxx + select(gone_v, zero, rank_v * rank_v)
            syy = syy + select(gone_v, zero, rank_w * rank_w)
            sxy = sxy + select(gone_v, zero, rank_v * rank_w)
        store(ring, here, a)
        store(ring, here + LANES, b)
        store(ring, here + 2 * LANES, rank_a)
        store(ring, here + 3 * LANES, rank_b)
        sxx = sxx + select(gone, zero, rank_a * rank_a)
        syy = syy + select(gone, zero, rank_b * rank_b)
        sxy = sxy + select(gone, zero, rank_a * rank_b)
        if least >= d and t < d - 1:
            store(out, t * LANES, nothing)
            continue
        # The ranks average n / 2; all are whole or half numbers, so the differences below are exact.
        middle = count * count * count * 0.25
        value = finite((sxy - middle) / (sqrt(sxx - middle) * sqrt(syy - middle)))
        value = select(value > PERFECT, splat(1.0), value)
        value = select(value < -PERFECT, splat(-1.0), value)
        store(out, t * LANES, select(count >= need, value, nothing))

"""Weighted windows, on half-blocks: constant cost in the window, and weights cancel nothing.

For linear weights 1..d the older half needs the sum of its suffix sums, the newer half its own weighted sum plus its
plain sum times the older half's length. For exponential weights the older half is scaled by the decay over the newer.
Windows are shifted by the block's first row as in `ts_moments`, so a constant window gives that constant exactly.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.gaps import roll
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store

LINEAR, EXPONENTIAL = 0, 1


@inlined
def _all_weights(d, what, decay):
    if what == LINEAR:
        return 0.5 * d * (d + 1.0)
    norm, power = 0.0, 1.0
    for _ in range(d):
        norm += power
        power *= decay
    return norm


@inlined
def _complete_block(out, x, suffix, block, rows, d, what, decay, share):
    """The windows that end in a block and have all their days."""
    zero = splat(0.0)
    shift = load(x, block * LANES)
    value, plain, scale = zero, zero, 1.0
    for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
        e = load(x, t * LANES) - shift
        if what == LINEAR:
            plain = plain + e
            value = value + plain
        else:
            value = value + e * scale
            scale *= decay
        store(suffix, (t - block + d) * LANES, value)
    value, plain, power = zero, zero, 1.0
    for t in range(block, min(block + d, rows)):
        e = load(x, t * LANES) - shift
        power *= decay
        if what == LINEAR:
            value = value + e * float(t - block + 1)
            plain = plain + e
        else:
            value = value * decay + e
        begin = t - d + 1
        if begin >= 0:
            total = value
            if begin < block:
                older = load(suffix, (begin - block + d) * LANES)
                if what == LINEAR:
                    total = total + plain * float(block - begin) + older
                else:
                    total = total + older * power
            store(out, t * LANES, finite(total * share + shift))


@inlined
def _weighted_strict(slots, dims, params, what, decay):
    """The same where all days must be present: a missing one makes every half that holds it missing by itself."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    nothing = splat(np.nan)
    share = 1.0 / _all_weights(d, what, decay)
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, nothing)
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
            _complete_block(out, x, suffix, block, rows, d, what, decay, share)
        block += d


@inlined
def _weighted(slots, dims, params, what, decay, dense, least):
    if least >= params[0]:
        _weighted_strict(slots, dims, params, what, decay)
    else:
        _weighted_relaxed(slots, dims, params, what, decay, dense, least)


@inlined
def _weighted_relaxed(slots, dims, params, what, decay, dense, least):
    """sum(w * x) / sum(w) over the present days of the window, or over all of its days where not dense.

    Two loops over each block, values and then weights, so that each keeps its sums in registers.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    share = 1.0 / _all_weights(d, what, decay)
    suffix = as_doubles(dims[SCRATCH])
    older_weights = as_doubles(dims[SCRATCH] + 8 * LANES * (d + 1))
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    # The window's present days and their linear weights: whole numbers, exact from row to row (see `gaps`).
    present, weight = zero, zero
    block = first_block(dims, d)
    while block < rows:
        start, end = clip_low(block), min(block + d, rows)
        shift = load(x, start * LANES)
        shift = select(missing(shift), zero, shift)
        if block < 0:
            shift = zero
        _value_sums(out, x, suffix, older_weights, block, rows, d, what, decay, shift)
        if what == EXPONENTIAL:
            # By halves, as the values: rounded weights that leave the window must leave no trace.
            weight = zero
        power = 1.0
        for t in range(start, end):
            gone = missing(load(x, t * LANES))
            if what == LINEAR:
                # Every day of the window weighs one less than the day before; today weighs d.
                weight = weight - present + select(gone, zero, splat(float(d)))
                norm = weight
            else:
                power *= decay
                weight = weight * decay + select(gone, zero, one)
                norm = weight
                first = clip_low(t - d + 1)
                if first < block:
                    norm = norm + load(older_weights, (first - block + d) * LANES) * power
            present = roll(present, gone, x, t, d)
            total = load(out, t * LANES)
            some = total / norm + shift
            if not dense:
                some = some * (norm * share)
            mean = select(present < float(d), some, total * share + shift)
            store(out, t * LANES, select(present >= least, finite(mean), nothing))
        block += d


@inlined
def _value_sums(out, x, suffix, older_weights, block, rows, d, what, decay, shift):
    """Weighted sums, less `shift`, of the windows that end in a block, and the weights present in the older half."""
    zero = splat(0.0)
    value, plain, weight = zero, zero, zero
    scale = 1.0
    for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
        e = load(x, t * LANES) - shift
        gone = missing(e)
        e = select(gone, zero, e)
        at = (t - block + d) * LANES
        if what == LINEAR:
            plain = plain + e
            value = value + plain
        else:
            # Row block-1 has weight 1, each older one `decay` times less.
            value = value + e * scale
            weight = weight + select(gone, zero, splat(scale))
            scale *= decay
            store(older_weights, at, weight)
        store(suffix, at, value)
    value, plain, power = zero, zero, 1.0
    for t in range(clip_low(block), min(block + d, rows)):
        e = load(x, t * LANES) - shift
        e = select(missing(e), zero, e)
        power *= decay
        if what == LINEAR:
            value = value + e * float(t - block + 1)
            plain = plain + e
        else:
            value = value * decay + e
        begin = t - d + 1
        total = value
        if begin < block:
            first = clip_low(begin)
            at = (first - block + d) * LANES
            if what == LINEAR:
                # Rows of the older half: the weights of the newer one start after them.
                total = total + plain * float(block - begin)
                if block > 0:
                    total = total + load(suffix, at)
                    if begin < 0:
                        # Rows before the panel's first push every row's weight up by as many.
                        total = total + _plain_sum(x, first, block, shift) * float(-begin)
            elif block > 0:
                total = total + load(suffix, at) * power
        store(out, t * LANES, total)


@inlined
def _plain_sum(x, begin, end, shift):
    total = splat(0.0)
    for k in range(begin, end):
        e = load(x, k * LANES) - shift
        total = total + select(missing(e), splat(0.0), e)
    return total


def decay_linear(slots, dims, params):
    _weighted(slots, dims, params, LINEAR, 1.0, params[1] != 0.0, params[2])


def ema(slots, dims, params):
    _weighted(slots, dims, params, EXPONENTIAL, 1.0 - 2.0 / (params[0] + 1.0), True, params[1])


def decay_exp(slots, dims, params):
    _weighted(slots, dims, params, EXPONENTIAL, params[1], True, params[2])

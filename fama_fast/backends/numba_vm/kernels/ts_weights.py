"""Weighted windows, on half-blocks: constant cost in the window, and weights cancel nothing.

For linear weights 1..d the older half needs the sum of its suffix sums, the newer half its own weighted sum plus its
plain sum times the older half's length. For exponential weights the older half is scaled by the decay over the newer.
Windows are shifted by the block's first row as in `ts_moments`, so a constant window gives that constant exactly.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.simd import LANES, any_lane, load, missing, select, splat, store

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
def _complete(x, begin, end):
    """No lane misses a day of these rows."""
    total = splat(0.0)
    for t in range(begin, end):
        total = total + load(x, t * LANES)
    return not any_lane(missing(total))


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
    """sum(w * x) / sum(w) over the present days of the window, or over all of its days where not dense."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    all_weights = _all_weights(d, what, decay)
    share = 1.0 / all_weights
    suffix = as_doubles(dims[SCRATCH])
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    block = first_block(dims, d)
    complete_before = False
    while block < rows:
        start = clip_low(block)
        complete = block >= 0 and _complete(x, block, min(block + d, rows))
        if complete and complete_before:
            # Most data miss little. Lane by lane this gives the bits of the loops below, in half the time.
            _complete_block(out, x, suffix, block, rows, d, what, decay, share)
            block += d
            continue
        complete_before = complete
        anchor = load(x, start * LANES)
        shift = select(missing(anchor), zero, anchor)
        if block < 0:
            shift = zero
        # Per half: values (weighted, plain), weights (weighted; plain ones are the count), count.
        value, plain, weight, count = zero, zero, zero, zero
        scale = 1.0
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            v = load(x, t * LANES)
            gone = missing(v)
            e, w = select(gone, zero, v - shift), select(gone, zero, one)
            count = count + w
            if what == LINEAR:
                plain = plain + e
                value = value + plain
                weight = weight + count
            else:
                # Row block-1 has weight 1, each older one `decay` times less.
                value = value + e * scale
                weight = weight + w * scale
                scale *= decay
            at = (t - block + d) * 3 * LANES
            store(suffix, at, value)
            store(suffix, at + LANES, weight)
            store(suffix, at + 2 * LANES, count)
        value, plain, weight, count = zero, zero, zero, zero
        power = 1.0
        for t in range(start, min(block + d, rows)):
            v = load(x, t * LANES)
            gone = missing(v)
            e, w = select(gone, zero, v - shift), select(gone, zero, one)
            count = count + w
            power *= decay
            if what == LINEAR:
                age = float(t - block + 1)
                value = value + e * age
                weight = weight + w * age
                plain = plain + e
            else:
                value = value * decay + e
                weight = weight * decay + w
            begin = t - d + 1
            total, norm, n = value, weight, count
            if what == LINEAR:
                # Rows of the older half: the weights of the newer one start after them.
                older = float(block - begin) if begin < block else 0.0
                total = total + plain * older
                norm = norm + count * older
            if begin < block and block > 0:
                first = clip_low(begin)
                at = (first - block + d) * 3 * LANES
                older_value, older_weight = load(suffix, at), load(suffix, at + LANES)
                older_count = load(suffix, at + 2 * LANES)
                if what == LINEAR:
                    # Rows before the panel's first push every present row's weight up by as many.
                    before = float(first - begin)
                    if before > 0.0:
                        total = total + _pushed(x, first, block, shift, before, False)
                        norm = norm + _pushed(x, first, block, shift, before, True)
                    total = total + older_value
                    norm = norm + older_weight
                else:
                    total = total + older_value * power
                    norm = norm + older_weight * power
                n = n + older_count
            mean = total * share + shift
            partial = n < d
            if any_lane(partial):
                some = total / norm + shift
                if not dense:
                    some = some * (norm / all_weights)
                mean = select(partial, some, mean)
            store(out, t * LANES, select(n >= least, finite(mean), nothing))
        block += d


@inlined
def _pushed(x, first, block, shift, before, weights):
    total = splat(0.0)
    for k in range(first, block):
        v = load(x, k * LANES)
        gone = missing(v)
        part = splat(1.0) if weights else v - shift
        total = total + select(gone, splat(0.0), part)
    return total * before


def decay_linear(slots, dims, params):
    _weighted(slots, dims, params, LINEAR, 1.0, params[1] != 0.0, params[2])


def ema(slots, dims, params):
    _weighted(slots, dims, params, EXPONENTIAL, 1.0 - 2.0 / (params[0] + 1.0), True, params[1])


def decay_exp(slots, dims, params):
    _weighted(slots, dims, params, EXPONENTIAL, params[1], True, params[2])

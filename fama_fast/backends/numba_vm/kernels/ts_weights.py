"""Weighted windows, on half-blocks: constant cost in the window, and weights cancel nothing.

For linear weights 1..d the older half needs the sum of its suffix sums, the newer half its own weighted sum plus its
plain sum times the older half's length. For exponential weights the older half is scaled by the decay over the newer.
Windows are shifted by the block's first row as in `ts_moments`, so a constant window gives that constant exactly.

The loops are functions of their own, with flags for their variants: written out for each variant, DECAY_LINEAR took 13
seconds to compile, and now takes 3, at the same speed.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, helper, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.gaps import roll
from fama_fast.backends.numba_vm.simd import LANES, any_lane, fused, load, missing, select, splat, store, tallied, tally

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
    """sum(w * x) / sum(w) over the present days of the window, or over all of its days where not dense.

    What a missing day costs a row decides the speed, hence: sums of `shift - x` (one instruction with its load), fused
    roundings, loops that keep their sums in registers and have no branch where the older half is whole (`inner`, which
    the compiler takes out of them). Windows with too few present days or an infinite sum are rare: they are looked for
    only where the missing days of both halves together would do, or a sum `odd` of all results times 0 is missing.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    share, most = 1.0 / _all_weights(d, what, decay), float(d) - least
    suffix = as_doubles(dims[SCRATCH])
    older_weights = as_doubles(dims[SCRATCH] + 8 * LANES * (d + 1))
    zero = splat(0.0)
    missed_before, present, weight = zero, zero, zero
    block = first_block(dims, d)
    while block < rows:
        start, end = clip_low(block), min(block + d, rows)
        shift = load(x, start * LANES)
        shift = select(missing(shift), zero, shift)
        if block < 0:
            shift = zero
        _older_half(x, suffix, older_weights, block, d, what, decay, dense, shift)
        inner = block >= d
        if what == EXPONENTIAL:
            missed, odd = _exponential(out, x, suffix, older_weights, block, start, end, d, decay, shift, inner)
        else:
            missed, odd = _linear(out, x, suffix, block, start, end, d, dense, share, shift, inner)
            if dense:
                present, weight, odd = _linear_means(out, x, start, end, d, shift, present, weight, inner)
        if not inner or any_lane(tallied(missed_before) + tallied(missed) > most) or any_lane(missing(odd)):
            _blank(out, x, start, end, d, least)
        missed_before = missed
        block += d


@inlined
def _less_shift(v, shift, what, dense):
    """`shift` less v, and whether v is missing: such a day is 0 where all days count, else the difference is."""
    zero = splat(0.0)
    if what == LINEAR and not dense:
        gone = missing(v)
        return shift - select(gone, zero, v), gone
    e = shift - v
    gone = missing(e)
    return select(gone, zero, e), gone


@helper
def _older_half(x, suffix, older_weights, block, d, what, decay, dense, shift):
    """Weighted sums from each row to the last of the block before; exponential: the weights present too."""
    zero = splat(0.0)
    value, plain, weight, scale = zero, zero, zero, 1.0
    for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
        e, gone = _less_shift(load(x, t * LANES), shift, what, dense)
        at = (t - block + d) * LANES
        if what == LINEAR:
            plain = plain + e
            value = value + plain
        else:
            # Row block-1 has weight 1, each older one `decay` times less.
            value = fused(e, splat(scale), value)
            weight = weight + select(gone, zero, splat(scale))
            scale *= decay
            store(older_weights, at, weight)
        store(suffix, at, value)
    # A block's last window has nothing of the older half.
    store(suffix, d * LANES, zero)
    store(older_weights, d * LANES, zero)


@helper
def _linear(out, x, suffix, block, start, end, d, dense, share, shift, inner):
    """Windows that end in a block: their weighted sums where dense, else their means. Its missing days, and `odd`."""
    zero = splat(0.0)
    value, plain, missed, odd = zero, zero, zero, zero
    for t in range(start, end):
        e, gone = _less_shift(load(x, t * LANES), shift, LINEAR, dense)
        missed = tally(missed, gone)
        value = fused(e, splat(float(t - block + 1)), value)
        plain = plain + e
        begin = t - d + 1
        # Rows of the older half: the weights of the newer one start after them.
        total = fused(plain, splat(float(block - begin)), value)
        if inner:
            total = total + load(suffix, (begin - block + d) * LANES)
        else:
            if block > 0:
                total = total + load(suffix, (clip_low(begin) - block + d) * LANES)
            # Rows before the panel's first push every row's weight up by as many; undense, they count as 0.
            if begin < 0:
                for k in range(block):
                    older, _ = _less_shift(load(x, k * LANES), shift, LINEAR, dense)
                    total = total + older * float(-begin)
                if not dense:
                    total = total + shift * (0.5 * float(begin) * float(begin - 1))
        if dense:
            store(out, t * LANES, total)
        else:
            total = shift - total * share
            odd = fused(total, zero, odd)
            store(out, t * LANES, total)
    return missed, odd


@helper
def _linear_means(out, x, start, end, d, shift, present, weight, inner):
    """From sums to means. Present days and their weights are whole numbers, exact from row to row (see `gaps`)."""
    zero, one = splat(0.0), splat(1.0)
    odd = zero
    for t in range(start, end):
        gone = missing(load(x, t * LANES))
        # Every day of the window weighs one less than the day before; today weighs d.
        weight = weight - present + select(gone, zero, splat(float(d)))
        present = present + select(gone, zero, one)
        if inner or t >= d:
            present = present - select(missing(load(x, (t - d) * LANES)), zero, one)
        mean = shift - load(out, t * LANES) / weight
        odd = fused(mean, zero, odd)
        store(out, t * LANES, mean)
    return present, weight, odd


@helper
def _exponential(out, x, suffix, older_weights, block, start, end, d, decay, shift, inner):
    """Means of the windows that end in a block; returns its missing days, and `odd`.

    Weights go by halves, as the values: rounded ones that leave the window must leave no trace.
    """
    zero, one = splat(0.0), splat(1.0)
    value, weight, missed, odd, power = zero, zero, zero, zero, 1.0
    for t in range(start, end):
        e, gone = _less_shift(load(x, t * LANES), shift, EXPONENTIAL, True)
        missed = tally(missed, gone)
        power *= decay
        value = fused(value, splat(decay), e)
        weight = fused(weight, splat(decay), select(gone, zero, one))
        total, norm = value, weight
        if inner or block > 0:
            begin = t - d + 1
            at = (begin - block + d) * LANES if inner else (clip_low(begin) - block + d) * LANES
            total = fused(load(suffix, at), splat(power), value)
            norm = fused(load(older_weights, at), splat(power), weight)
        mean = shift - total / norm
        odd = fused(mean, zero, odd)
        store(out, t * LANES, mean)
    return missed, odd


@helper
def _blank(out, x, start, end, d, least):
    """Take away infinite values, and those of windows with fewer than `least` present days."""
    present = splat(0.0)
    for t in range(clip_low(start - d), start):
        present = present + select(missing(load(x, t * LANES)), splat(0.0), splat(1.0))
    for t in range(start, end):
        present = roll(present, missing(load(x, t * LANES)), x, t, d)
        store(out, t * LANES, select(present >= least, finite(load(out, t * LANES)), splat(np.nan)))


def decay_linear(slots, dims, params):
    if params[2] >= params[0]:
        _weighted_strict(slots, dims, params, LINEAR, 1.0)
    elif params[1] != 0.0:
        _weighted(slots, dims, params, LINEAR, 1.0, True, params[2])
    else:
        _weighted(slots, dims, params, LINEAR, 1.0, False, params[2])


def ema(slots, dims, params):
    _exponentially(slots, dims, params, 1.0 - 2.0 / (params[0] + 1.0), params[1])


def decay_exp(slots, dims, params):
    _exponentially(slots, dims, params, params[1], params[2])


@inlined
def _exponentially(slots, dims, params, decay, least):
    if least >= params[0]:
        _weighted_strict(slots, dims, params, EXPONENTIAL, decay)
    else:
        _weighted(slots, dims, params, EXPONENTIAL, decay, True, least)

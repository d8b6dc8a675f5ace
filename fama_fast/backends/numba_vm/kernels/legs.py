"""The outer tenths of one date's values: which symbols they are, what their labels come to, how they change.

A leg is a set of columns, kept as bits, 64 a word: a date of a thousand symbols takes 256 bytes. Of n values that have
a label, the one with average rank r (1..n) is in the bottom leg where 10 (2r - 1) <= 2n, and in the top leg where the
value that is as far from the other end would be in the bottom one. In doubled, centred ranks 2r - n - 1, which are
whole, that is 5 rank <= -4n and 5 rank >= 4n: turning a factor round exchanges its legs, whatever its ties.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import bits_set, first_bit, inlined


@inlined
def leg_words(columns):
    """Words that hold one bit a column."""
    return (columns + 63) // 64


@inlined
def in_bottom(rank, pairs):
    """Whether a doubled, centred rank among so many pairs lies in the lowest tenth."""
    return 5 * rank <= -4 * pairs


@inlined
def in_top(rank, pairs):
    """Whether it lies in the highest tenth."""
    return 5 * rank >= 4 * pairs


@inlined
def mark(leg, column):
    """Put a column into a leg."""
    leg[column >> 6] |= np.uint64(1) << np.uint64(column & 63)


@inlined
def _mean_of(leg, words, label):
    """Mean label of a leg's columns, added in the order of the columns: the bits do not depend on how it was found."""
    total, count = 0.0, 0
    for w in range(words):
        left = leg[w]
        while left != np.uint64(0):
            total += label[64 * w + first_bit(left)]
            count += 1
            left &= left - np.uint64(1)
    return total / count if count else np.nan


@inlined
def spread_of(top, bottom, words, label):
    """Mean label of the top leg less that of the bottom leg; missing where one of them is empty."""
    difference = _mean_of(top, words, label) - _mean_of(bottom, words, label)
    return difference if difference - difference == 0.0 else np.nan


@inlined
def traded_between(top, bottom, top_before, bottom_before, words):
    """Sum over columns of |w - w before|, where w is +1 / size in the top leg and -1 / size in the bottom leg.

    Missing where one of the four legs is empty. It follows from how many columns each pair of legs shares, and from
    sums whose order is the same when the legs change places, so it is the same either way round.
    """
    n_top = n_bottom = n_top_before = n_bottom_before = 0
    tops = bottoms = fallen = risen = 0
    for w in range(words):
        t, b, t_before, b_before = top[w], bottom[w], top_before[w], bottom_before[w]
        n_top += bits_set(t)
        n_bottom += bits_set(b)
        n_top_before += bits_set(t_before)
        n_bottom_before += bits_set(b_before)
        tops += bits_set(t & t_before)
        bottoms += bits_set(b & b_before)
        fallen += bits_set(b & t_before)
        risen += bits_set(t & b_before)
    if n_top == 0 or n_bottom == 0 or n_top_before == 0 or n_bottom_before == 0:
        return np.nan
    in_t, in_b = 1.0 / n_top, 1.0 / n_bottom
    was_t, was_b = 1.0 / n_top_before, 1.0 / n_bottom_before
    kept = tops * abs(in_t - was_t) + bottoms * abs(in_b - was_b)
    crossed = risen * (in_t + was_b) + fallen * (in_b + was_t)
    entered = (n_top - tops - risen) * in_t + (n_bottom - bottoms - fallen) * in_b
    left = (n_top_before - tops - fallen) * was_t + (n_bottom_before - bottoms - risen) * was_b
    return kept + crossed + entered + left

"""A forecast as the sum of oriented ranks times weights, added up formula by formula.

Whoever computes a combined signal, all dates at once, some of them, or one as it comes, adds up here, so that the bits
are the same.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.arguments import frozen
from fama_fast.evaluation.ranks import oriented_ranks
from fama_fast.evaluation.rows import over_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fama_fast.evaluation.ranks import Ranks
    from fama_fast.types import FloatArray


def weighted_ranks(
    shares: Iterable[FloatArray],
    signs: Sequence[int],
    weights: FloatArray,
    shape: tuple[int, int],
    *,
    threads: int | None = None,
) -> FloatArray:
    """(T, N) the sum of weights times oriented centred ranks, where a missing rank counts as the middle.

    A symbol without any rank on a date is missing.

    Args:
        shares: RANK values (T, N) of K formulas, in the order in which they are added up. signs: (K,) 1 or -1.
        weights: (K, T) of each date. shape: (T, N).
    """
    sums = [np.zeros(shape) for _ in range(3)]
    for values, sign, own in zip(shares, signs, weights, strict=True):
        ranks = frozen(oriented_ranks(values, sign, threads))
        over_rows(functools.partial(add_ranks, ranks, np.ascontiguousarray(own), sums), shape, threads)
    return np.where(sums[2] > 0.0, sums[0], np.nan)


def add_ranks(ranks: Ranks, weight: FloatArray, sums: Sequence[FloatArray], start: int, stop: int) -> None:
    """Add a factor's ranks to the rows [start, stop) of a forecast; sums: total, mean and count, (T, N) each."""
    from fama_fast.backends.numba_vm.stats import blend_rows

    blend_rows(ranks, weight, start, stop, *sums)

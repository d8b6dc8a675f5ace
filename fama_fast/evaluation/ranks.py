"""Cross-sectional ranks: centred, oriented, and as the unit vector of a factor on a fixed sample of dates.

Two factors that order the symbols alike have unit vectors that point alike, whatever their scales. The inner product of
two such vectors is their pooled rank correlation over the sample. This module knows arrays only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fama_fast.arguments import frozen, numbers, shown, truths
from fama_fast.errors import DataError
from fama_fast.evaluation.rows import SortedRows, over_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fama_fast.types import BoolArray, FloatArray, IntArray


Ranks = NDArray[np.float32]
"""Centred ranks (T, N), NaN where missing."""

_RANKED_AT_ONCE = 256  # rows that are ranked in one go


def centred_ranks(values: FloatArray, universe: BoolArray | None) -> FloatArray:
    """Ranks of each row (T, N) among its present members, average ties, r/n - (n + 1)/2n; missing stays missing."""
    out = np.full(values.shape, np.nan)
    for start in range(0, len(values), _RANKED_AT_ONCE):
        rows = slice(start, start + _RANKED_AT_ONCE)
        there = np.isfinite(values[rows])
        if universe is not None:
            there &= universe[rows]
        filled = np.where(there, values[rows], np.inf)  # what is missing comes last
        order = np.argsort(filled, axis=1)
        ordered = np.take_along_axis(filled, order, axis=1)
        # Ties get the mean of the places that they take: the first and the last place of each run of equals.
        begins = np.ones(ordered.shape, dtype=np.bool_)
        begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        ends = np.ones(ordered.shape, dtype=np.bool_)
        ends[:, :-1] = begins[:, 1:]
        places = np.arange(1.0, ordered.shape[1] + 1.0)
        first = np.maximum.accumulate(np.where(begins, places, 0.0), axis=1)
        last = np.minimum.accumulate(np.where(ends, places, np.inf)[:, ::-1], axis=1)[:, ::-1]
        ranks = np.empty(ordered.shape)
        np.put_along_axis(ranks, order, (first + last) / 2.0, axis=1)
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        out[rows] = np.where(there, ranks / count - (0.5 + 0.5 / count), np.nan)
    return out


def oriented_ranks(shares: FloatArray, sign: int, threads: int | None = None) -> Ranks:
    """Centred ranks (T, N) of `sign` times the factor whose RANK values (r / n) are given."""
    from fama_fast.backends.numba_vm.stats import centre_ranks

    out = np.empty(shares.shape, dtype=np.float32)
    rows = frozen(np.ascontiguousarray(shares))
    over_rows(lambda a, b: centre_ranks(rows, sign, a, b, out), out.shape, threads)
    return out


def unit_vector(ranks: FloatArray) -> NDArray[np.float32]:
    """Ranks (rows, N), NaN where missing, centred by row, as one vector of length 1 (zeros where nothing varies)."""
    there = np.isfinite(ranks)
    count = np.maximum(there.sum(axis=1), 1)[:, None]
    filled = np.where(there, ranks, 0.0)
    centred = np.where(there, filled - filled.sum(axis=1, keepdims=True) / count, 0.0)
    centred[np.abs(centred) < 1e-12] = 0.0  # one value on a date, or the same everywhere
    flat = centred.ravel()
    length = float(np.sqrt(np.add.reduce(flat * flat)))
    return (flat / length if length > 0.0 else flat).astype(np.float32)


def sample_rows(rows: slice | int | ArrayLike, count: int = 60, seed: int = 0) -> IntArray:
    """A fixed sample of dates: ascending row numbers, all of them when there are no more than `count`.

    Args:
        rows: the mining window: a slice with both ends, the number of rows (from 0), or row numbers.
        count: dates to sample. seed: equal seeds, equal samples.

    Raises:
        DataError: the window is empty or open-ended, or `count` is below 1.
    """
    if isinstance(rows, slice):
        if rows.stop is None or rows.stop < 0 or (rows.start or 0) < 0:
            raise DataError(f"the rows to sample need a start and a stop counted from 0, not {rows}")
        window = np.arange(rows.start or 0, rows.stop, rows.step or 1, dtype=np.int64)
    elif isinstance(rows, (int, np.integer)):
        window = np.arange(int(rows), dtype=np.int64)
    else:
        window = np.unique(np.asarray(rows, dtype=np.int64))
    if window.size == 0:
        raise DataError("there are no dates to sample: the mining window is empty")
    if not isinstance(count, int | np.integer) or count < 1:
        raise DataError(f"the number of dates to sample must be at least 1, not {shown(count)}")
    if window.size <= count:
        return window
    return np.sort(np.random.default_rng(seed).choice(window, size=count, replace=False))


def rank_vectors(
    values: Iterable[ArrayLike],
    *,
    universe: BoolArray | None = None,
    rows: ArrayLike | None = None,
    signs: Sequence[int] | None = None,
    dtype: type[np.float32] | type[np.float64] = np.float32,
) -> NDArray[np.floating[Any]]:
    """Unit vectors of centred cross-sectional ranks, one row a factor.

    On each sampled date the present members of the universe are ranked (average ties, r/n), centred on their
    mean, and everything else is 0; the dates are laid end to end, turned by the sign and scaled to unit
    length. A factor without any cross-sectional order (constant or missing everywhere) has the zero vector.

    Args:
        values: factors' values, each (T, N); consumed one at a time, so a generator keeps memory low.
        universe: (T, N) bool, members; None means all.
        rows: row numbers of the sampled dates (see `sample_rows`); None means all.
        signs: +1 or -1 a factor; None means +1.

    Returns:
        (factors, dates * N) of `dtype`.

    Raises:
        DataError: shapes that differ, a row out of range, or a sign that is not +1 or -1.
    """
    vectors: list[NDArray[np.floating[Any]]] = []
    shape: tuple[int, ...] | None = None
    picked: IntArray | None = None
    members: BoolArray | None = None
    for number, item in enumerate(values):
        matrix = numbers(item, f"values {number}")
        if shape is None or picked is None:
            shape = matrix.shape
            picked = _checked_rows(rows, shape)
            members = _checked_universe(universe, shape, picked)
        if matrix.shape != shape:
            raise DataError(f"values {number} have shape {matrix.shape}, not {shape} like the first")
        sign = 1 if signs is None else _sign(signs, number)
        block = matrix[picked]
        present = np.isfinite(block) if members is None else np.isfinite(block) & members
        ranks = _exactly_centred(block, present)
        flat = ranks.ravel()
        # Squares of small rationals sum well in any order, but a fixed order keeps the bits the same
        # everywhere.
        length = float(np.sqrt(np.add.reduce(flat * flat)))
        vectors.append((flat * (sign / length) if length > 0 else flat).astype(dtype))
    if signs is not None and len(signs) != len(vectors):
        raise DataError(f"there are {len(signs)} signs for {len(vectors)} factors")
    return np.stack(vectors) if vectors else np.empty((0, 0), dtype=dtype)


def _sign(signs: Sequence[int], number: int) -> int:
    if number >= len(signs):
        raise DataError(f"there are {len(signs)} signs for more factors than that")
    if signs[number] not in (1, -1):
        raise DataError(f"the sign of factor {number} must be 1 or -1, not {signs[number]!r}")
    return int(signs[number])


def _checked_rows(rows: ArrayLike | None, shape: tuple[int, ...]) -> IntArray:
    if len(shape) != 2:
        raise DataError(f"values must be (dates, symbols), not of shape {shape}")
    if rows is None:
        return np.arange(shape[0], dtype=np.int64)
    try:
        picked = np.asarray(rows)
    except ValueError:
        picked = np.empty(())
    if picked.ndim != 1 or not np.issubdtype(picked.dtype, np.integer):
        raise DataError("rows must be a list of row numbers")
    if picked.size and (picked.min() < 0 or picked.max() >= shape[0]):
        raise DataError(f"rows must lie in 0..{shape[0] - 1}, found {picked.min()}..{picked.max()}")
    return picked.astype(np.int64)


def _checked_universe(universe: BoolArray | None, shape: tuple[int, ...], picked: IntArray) -> BoolArray | None:
    if universe is None:
        return None
    mask = truths(universe, "the universe")
    if mask.shape != shape:
        raise DataError(f"the universe has shape {mask.shape}, not {shape} like the values")
    members: BoolArray = mask[picked]
    return members


def _exactly_centred(block: FloatArray, present: BoolArray) -> FloatArray:
    """Per row: average rank / n less its mean, (2r - n - 1) / 2n, for present cells; 0 elsewhere.

    With r a whole or half number this is exact but for one division, so a factor and its negative are exact
    opposites.
    """
    dates, symbols = block.shape
    # Absent cells sort last as +inf: NumPy sorts rows without NaN several times faster. Ties are averaged
    # below, so stability does not matter.
    filled = np.where(present, block, np.inf)
    order = np.argsort(filled, axis=1)
    ordered = np.take_along_axis(filled, order, axis=1)
    n = present.sum(axis=1)[:, None]
    position = np.broadcast_to(np.arange(1.0, symbols + 1.0), (dates, symbols))
    absent = position > n
    ranks = position
    tied = ((ordered[:, 1:] == ordered[:, :-1]) & ~absent[:, 1:]).any(axis=1)
    if tied.any():
        ranks = position.copy()
        ranks[tied] = _average_ties(ordered[tied])
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = (2.0 * ranks - n - 1.0) / (2.0 * n)
    centred[absent] = 0.0
    out: FloatArray = np.empty_like(centred)
    np.put_along_axis(out, order, centred, axis=1)
    return out


def _average_ties(ordered: FloatArray) -> FloatArray:
    """Ranks 1.. of ascending rows, equal values sharing the mean of their places."""
    dates, symbols = ordered.shape
    first = np.ones((dates, symbols), dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = np.cumsum(first.ravel()) - 1  # a row always starts a run
    starts = np.flatnonzero(first.ravel())
    ends = np.append(starts[1:], dates * symbols)
    mean_place = (starts % symbols) + (ends - starts + 1) / 2.0
    ranks: FloatArray = mean_place[run].reshape(dates, symbols)
    return ranks


def tamed_labels(labels: FloatArray, universe: BoolArray | None, scale: float, tail: float = 0.01) -> FloatArray:
    """Labels as a regression can bear them: less the mean of their date, with its tails cut, over `scale`.

    Args:
        labels: (T, N). universe: (T, N) bool, only members count; None for everyone. scale: one number for all dates.
        tail: share of a date's labels at either end that are drawn in to the first one inside.

    Returns:
        (T, N) float64; NaN where there is no label, or no member.
    """
    rows = SortedRows.of(labels, universe)
    out = np.full(labels.shape, np.nan)
    for t, count in enumerate(rows.count):
        if not count:
            continue
        ascending = rows.order[t, :count]
        members = np.sort(ascending)
        own = rows.values[t, members]
        middle = np.add.reduce(own) / count
        cut = int(tail * (count - 1))
        low, high = (rows.values[t, ascending[i]] - middle for i in (cut, count - 1 - cut))
        out[t, members] = np.clip(own - middle, low, high) / (scale if scale > 0.0 else 1.0)
    return out

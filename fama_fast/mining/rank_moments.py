"""Sums over dates of products of ranks, factor by factor and factor by label: what ridge weights are made of.

Doubled, centred ranks 2 r - n - 1 are whole numbers, so a date's sum of products over symbols is exact in float64
whatever adds it up: BLAS may multiply matrices, on any machine and any number of threads, and a factor that comes
late gives the bits that it would have given early. Dates are then added in their order.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fama_fast.types import BoolArray, FloatArray

    Ranks = NDArray[np.float32]

_DATES_AT_ONCE = 4  # matrices of 200 factors x 3000 symbols then take 20 MB


def whole_ranks(ranks: Ranks, known: BoolArray | None = None) -> tuple[Ranks, FloatArray]:
    """(2 r - n - 1 where present and known, else 0; (T,) the 1 / (2 n) that makes them centred ranks again).

    Args:
        ranks: (T, N) centred ranks r / n - (n + 1) / (2 n), missing where not present, either sign.
        known: (T, N) cells that count; the others are 0, but n is that of the present ones.
    """
    there = np.isfinite(ranks)
    doubled = 2.0 * np.maximum(there.sum(axis=1), 1)
    if known is not None:
        there &= known
    whole = np.rint(ranks * doubled[:, None].astype(np.float32))
    return np.where(there, whole, np.float32(0.0)), 1.0 / doubled


class RankMoments:
    """Running sums of products of ranks, at some dates.

    Args:
        stops: rows, ascending: the sums over the dates before each are kept, and no others.
    """

    def __init__(self, stops: Iterable[int]) -> None:
        self._stops = sorted(set(stops))
        self._names: list[str] = []
        # Sums between neighbouring stops: of factor with factor (stops, K, K), with the label (stops, K).
        self._pairs = np.zeros((len(self._stops), 0, 0))
        self._label = np.zeros((len(self._stops), 0))

    @property
    def names(self) -> tuple[str, ...]:
        """The factors whose sums are held."""
        return tuple(self._names)

    def forget(self, wanted: Iterable[str]) -> None:
        """Drop the sums of all but these factors."""
        kept = set(wanted)
        places = [i for i, name in enumerate(self._names) if name in kept]
        if len(places) < len(self._names):
            self._names = [self._names[i] for i in places]
            self._pairs = self._pairs[:, places][:, :, places]
            self._label = self._label[:, places]

    def begin(self, names: Sequence[str]) -> list[str]:
        """Make room for those of these factors that have no sums yet; returns them."""
        new = [name for name in dict.fromkeys(names) if name not in self._names]
        self._names += new
        more = (0, len(new))
        self._pairs = np.pad(self._pairs, ((0, 0), more, more))
        self._label = np.pad(self._label, ((0, 0), more))
        return new

    def add(
        self,
        start: int,
        new: Sequence[str],
        ranks: Mapping[str, tuple[Ranks, FloatArray]],
        label: tuple[Ranks, FloatArray],
    ) -> None:
        """Products of the new factors with all, and with the label, over the rows from `start` on.

        Args:
            ranks: of every factor held, as `whole_ranks` gives them, over the same rows. label: the label's.
        """
        if not new:
            return
        places = [self._names.index(name) for name in new]
        label_ranks, label_scale = label
        for first in range(0, len(label_ranks), _DATES_AT_ONCE):
            part = slice(first, first + _DATES_AT_ONCE)
            everyone = np.stack([ranks[n][0][part] for n in self._names], axis=1).astype(np.float64)
            scales = np.stack([ranks[n][1][part] for n in self._names], axis=1)
            target = label_ranks[part].astype(np.float64)
            own, own_scales = everyone[:, places], scales[:, places]
            # Exact: whole numbers. The scales come after, in a form that is the same for (a, b) and (b, a).
            pairs = own @ everyone.transpose(0, 2, 1) * (own_scales[:, :, None] * scales[:, None, :])
            labels = (own @ target[:, :, None])[:, :, 0]
            labels *= own_scales * label_scale[part, None]
            for at in range(len(target)):
                stretch = bisect.bisect_right(self._stops, start + first + at)
                if stretch < len(self._stops):
                    self._pairs[stretch, places] += pairs[at]
                    self._label[stretch, places] += labels[at]
        # What a new factor has with the others they have with it.
        self._pairs[:, :, places] = self._pairs[:, places].transpose(0, 2, 1)

    def until(self, row: int, names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """(K, K) and (K,) sums over the dates before a stop, in the order of these names."""
        upto = self._stops.index(row) + 1
        places = [self._names.index(name) for name in names]
        pairs, label = (np.add.accumulate(sums[:upto])[-1] for sums in (self._pairs, self._label))
        return pairs[np.ix_(places, places)], label[places]

"""Ranks in 8 bits of many formulas over all dates, measured once: on disk, resumable, shared by all origins.

A level is a formula's centred rank among the members of a date that have a value, as a whole number from -63 to 63.
What pools are fitted on comes from levels alone, so that no target needs the values again.
"""

from __future__ import annotations

import fcntl
import json
import random
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama_fast.atomic import atomic_write
from fama_fast.engine import ranks_on
from fama_fast.evaluation.ranks import centred_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

    Levels = NDArray[np.int8]


class LevelRows(Protocol):
    """Levels (K, C), read a block of cells at a time as `levels[:, cells]`: an array, or what chooses from several."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...


SCALE = 126.0  # of a centred rank, which is inside -.5 .. .5
MISSING = -128
_BATCH = 56  # formulas measured between two commits
_DATES = 32  # dates whose figures are taken at once


@dataclass(frozen=True)
class Cells:
    """The cells of a panel that have a level: members date by date.

    Attributes:
        flat: (C,) number of each cell in the (T, N) grid, ascending. start: (T + 1,) of each date's first one.
    """

    flat: NDArray[np.int64]
    start: NDArray[np.int64]
    shape: tuple[int, int]

    @classmethod
    def of(cls, panel: Panel) -> Cells:
        """Those of a panel: members, or everyone where it has no universe."""
        members = panel.universe
        there = np.ones(panel.shape, dtype=bool) if members is None else np.asarray(members)
        start = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
        return cls(np.flatnonzero(there.ravel()), start.astype(np.int64), panel.shape)

    def __len__(self) -> int:
        return int(self.start[-1])

    def rows(self, first: int, stop: int) -> slice:
        """The cells of the dates [first, stop)."""
        return slice(int(self.start[first]), int(self.start[stop]))

    def on(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The cells of some dates."""
        parts = [np.arange(self.start[t], self.start[t + 1]) for t in rows]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def until(self, stop: int) -> Cells:
        """Those of the dates before row `stop`."""
        last = int(self.start[stop])
        return Cells(self.flat[:last], self.start[: stop + 1], (stop, self.shape[1]))

    def shares(self, values: FloatArray) -> FloatArray:
        """RANK values (T, N) of values (T, N) among these cells, r / n in (0, 1], NaN where missing."""
        members = np.zeros(self.shape, dtype=bool)
        members.ravel()[self.flat] = True
        centred = centred_ranks(values, members)
        count = np.maximum(np.isfinite(centred).sum(axis=1, keepdims=True), 1)
        return np.asarray(centred + (0.5 + 0.5 / count))

    def grid(self, values: FloatArray, first: int, stop: int) -> FloatArray:
        """Values of the cells of the dates [first, stop) as (stop - first, N), NaN elsewhere."""
        out = np.full((stop - first) * self.shape[1], np.nan)
        out[self.flat[self.rows(first, stop)] - first * self.shape[1]] = values
        return out.reshape(stop - first, self.shape[1])

    def levels(self, shares: FloatArray) -> Levels:
        """(C,) levels from RANK values (T, N), r / n in (0, 1], NaN where missing."""
        found = shares.ravel()[self.flat]
        there = np.isfinite(found)
        date = np.repeat(np.arange(self.shape[0]), np.diff(self.start))
        count = np.maximum(np.bincount(date[there], minlength=self.shape[0]), 1)
        # 2 r - n - 1 is whole, so a formula and its negative have opposite levels.
        doubled = np.rint(2.0 * count[date] * np.where(there, found, 0.0)) - count[date] - 1.0
        return np.where(there, np.rint(SCALE / 2.0 * doubled / count[date]), MISSING).astype(np.int8)


class Bank:
    """Levels of a list of formulas in a folder: row i of the file is formula i.

    Args:
        folder: made where it is not there. Formulas are appended; what is there already must be the same ones.
    """

    def __init__(self, folder: Path, cells: Cells) -> None:
        self.folder, self.cells = folder, cells
        folder.mkdir(parents=True, exist_ok=True)
        self._names, self._file = folder / "formulas.json", folder / "levels.i8"
        self.texts: list[str] = self._known()

    def _known(self) -> list[str]:
        known = json.loads(self._names.read_text(encoding="utf-8")) if self._names.exists() else {}
        if known and known["cells"] != len(self.cells):
            raise SystemExit(
                f"error: {self.folder} is of {known['cells']} cells, the data have {len(self.cells)}: remove it"
            )
        texts: list[str] = known.get("texts", [])
        return texts

    def __len__(self) -> int:
        return len(self.texts)

    def levels(self, count: int | None = None) -> Levels:
        """(count, C) of the first formulas, on disk."""
        shape = (len(self) if count is None else count, len(self.cells))
        if not shape[0]:
            return np.empty(shape, dtype=np.int8)
        return np.memmap(self._file, dtype=np.int8, mode="r", shape=shape)

    def extend(
        self,
        texts: Sequence[str],
        compiled: Callable[[Sequence[str]], Sequence[Alpha]],
        panel: Panel,
        threads: int,
        said: Callable[[str], None] | None = None,
    ) -> None:
        """Measure what of these formulas is not there yet, in batches that stay.

        Raises:
            SystemExit: the folder has other formulas.
        """
        if self.texts[: len(texts)] != list(texts[: len(self.texts)]):
            raise SystemExit(f"error: {self.folder} holds other formulas: remove it")
        for at in range(len(self), len(texts), _BATCH):
            some = list(texts[at : at + _BATCH])
            self.append(some, self._measured(compiled(some), panel, threads))
            if said is not None:
                said(f"{len(self):,} of {len(texts):,} formulas measured")

    def hold(
        self,
        texts: Sequence[str],
        compiled: Callable[[Sequence[str]], Sequence[Alpha]],
        panel: Panel,
        threads: int,
        said: Callable[[str], None] | None = None,
    ) -> list[int]:
        """The numbers of these formulas, after measuring those that are not there yet; several processes may do so."""
        there = set(self.texts)
        left = [t for t in texts if t not in there]
        parts = [left[at : at + _BATCH] for at in range(0, len(left), _BATCH)]
        random.shuffle(parts)  # what another process measures meanwhile is not measured twice
        for part in parts:
            there = set(self._known())
            some = [t for t in part if t not in there]
            if not some:
                continue
            found = self._measured(compiled(some), panel, threads)
            with self._locked():
                self.texts = self._known()
                there = set(self.texts)
                new = [i for i, t in enumerate(some) if t not in there]
                self.append([some[i] for i in new], [found[i] for i in new])
            if said is not None:
                said(f"{len(self):,} formulas measured, {len(left):,} were missing")
        self.texts = self._known()
        place = {t: i for i, t in enumerate(self.texts)}
        return [place[t] for t in texts]

    def _measured(self, alphas: Sequence[Alpha], panel: Panel, threads: int) -> list[Levels]:
        rows = np.arange(panel.shape[0])
        return [self.cells.levels(x) for x in ranks_on(alphas, panel, rows, threads=threads)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield

    def append(self, texts: Sequence[str], levels: Sequence[Levels]) -> None:
        """Add formulas with their levels; they count once all of it is on disk."""
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.truncate(len(self) * len(self.cells))  # what a crash left
            file.seek(0, 2)
            for found in levels:
                file.write(np.ascontiguousarray(found).tobytes())
        self.texts = [*self.texts, *texts]
        with atomic_write(self._names) as place:
            place.write_text(json.dumps({"cells": len(self.cells), "texts": self.texts}), encoding="utf-8")


class Chosen:
    """Some formulas of several banks, one after another or in another order, read like an array of levels.

    Args:
        parts: levels, and which rows of them. order: (K,) which of all these rows comes at each place.
    """

    def __init__(self, *parts: tuple[LevelRows, NDArray[np.int64]], order: NDArray[np.int64] | None = None) -> None:
        self.parts, self.order = parts, order

    def __len__(self) -> int:
        return sum(len(picks) for _, picks in self.parts)

    def __getitem__(self, key: tuple[slice, Any]) -> Levels:
        found = np.concatenate([np.asarray(levels[:, key[1]])[picks] for levels, picks in self.parts])
        return found if self.order is None else found[self.order]


def label_ranks(labels: FloatArray, cells: Cells, universe: Any) -> NDArray[np.float32]:
    """(C,) centred ranks of labels (T, N) among members, NaN where there is none."""
    return centred_ranks(labels, universe).ravel()[cells.flat].astype(np.float32)


def daily_figures(
    levels: LevelRows, labels: Sequence[NDArray[np.float32]], cells: Cells, rows: slice
) -> NDArray[np.float32]:
    """(labels, K, dates) of K formulas with some labels on the dates `rows`: means over the members of products of
    centred ranks, times 12, which is the RankIC of a formula that every member has another value of.

    A missing rank counts as the middle, as it does in a forecast; so the figure of a formula that half of the members
    have is half as large. Labels: (C,) centred ranks; a date without any label is NaN.
    """
    out = np.full((len(labels), len(levels), rows.stop - rows.start), np.nan, dtype=np.float32)
    y = np.stack(labels)
    known = np.isfinite(y)
    y = np.where(known, y, 0.0).astype(np.float32)
    for first in range(rows.start, rows.stop, _DATES):
        last = min(rows.stop, first + _DATES)
        own = cells.rows(first, last)
        x = taken(levels, own)
        for t in range(first, last):
            at = slice(int(cells.start[t]), int(cells.start[t + 1]))
            there = known[:, at].any(axis=1)
            if there.any():
                found = x[:, at.start - own.start : at.stop - own.start] @ y[there, at].T
                out[there, :, t - rows.start] = found.T * np.float32(12.0 / SCALE / (at.stop - at.start))
    return out


def products(levels: LevelRows, at: NDArray[np.int64], most: int = 4096) -> FloatArray:
    """(K, K) sums of products of levels over some cells, missing ones as 0: exact whole numbers.

    Blocks of at most 4,096 cells are exact in float32, for a product is at most 63 * 63.
    """
    total = np.zeros((len(levels), len(levels)))
    for first in range(0, len(at), most):
        x = taken(levels, at[first : first + most])
        total += x @ x.T
    return total


def taken(levels: LevelRows, at: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """(K, cells) levels of some cells as float32, missing ones as 0."""
    block = np.asarray(levels[:, at])
    return np.where(block == MISSING, 0, block).astype(np.float32)

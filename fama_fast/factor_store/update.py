"""Makes a factor store, or updates one with new dates and factors.

1. Expressions are compiled and compared with the stored factors (`Factors`); what cannot be continued is refused.
2. History is compared with what the stored values were computed from (`history`).
3. New dates are computed for the stored factors, all dates for new ones (`values`), into new files (`segments`).
4. One manifest makes all of it the store's state (`manifest.commit`); files that no state needs are removed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.engine.alpha import Alpha, compile
from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes
from fama_fast.errors import ConfigError, OutputError, StoreError
from fama_fast.factor_store.factors import Factors
from fama_fast.factor_store.history import (
    Change,
    align,
    check_names,
    compare,
    data_columns,
    data_files,
    moments_of,
    read_sums,
    unproven,
)
from fama_fast.factor_store.lock import writer_lock
from fama_fast.factor_store.manifest import (
    ENGINE,
    Manifest,
    Settings,
    StoredFactor,
    clean,
    commit,
    discard,
    generations,
    new_stamp,
    overtaken,
    read_manifest,
)
from fama_fast.factor_store.partitions import Written, made_partitions, merged, month_spans
from fama_fast.factor_store.reading import FactorStore
from fama_fast.factor_store.segments import MonthFiles
from fama_fast.factor_store.values import values_from
from fama_fast.panel.labelled import long_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.factor_store.checks import Checks
    from fama_fast.factor_store.combination import Combination
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

_PROBED = 5  # stored dates that another version of the engine computes again
_SAME = 1e-9
_OURS = frozenset({"manifests", "values", "checks", "writer.lock"})


@dataclass(frozen=True)
class Update:
    """The outcome of an update.

    Attributes:
        path: the store. generation: its state now. changed: whether that is a new one.
        dates_added: dates that were not there before. dates_rebuilt: stored dates that were computed again.
        factors_added: names. rows: written, in files of new values. first, last: dates of the store.
        reason: why stored dates were computed again, "" where they were not.
    """

    path: Path
    generation: int
    first: Any
    last: Any
    changed: bool
    dates_added: int = 0
    dates_rebuilt: int = 0
    factors_added: tuple[str, ...] = ()
    rows: int = 0
    reason: str = ""


def update_store(
    path: str | Path,
    data: Panel | Dataset,
    expressions: Sequence[str | Alpha] = (),
    *,
    names: Sequence[str | None] | None = None,
    signal: tuple[str, Combination] | None = None,
    dialect: str = "fama",
    append: bool = False,
    rebuild: bool = False,
    min_coverage: float | None = None,
    memory_budget: int | float | str | None = None,
    threads: int | None = None,
    verify: bool = False,
) -> Update:
    """Compute the values of expressions into a new factor store, or update one; values are bit-identical to
    `ff.evaluate`.

    Going on (`append`) computes the dates that the store lacks for all its factors, and all dates for expressions that
    it lacks. Nothing to do is no change at all. The new state appears whole or not at all.

    Args:
        path: a folder; it must be new or empty unless a store is to be updated.
        data: from the first date of the store on; to append dates alone, as much as the longest window needs will do.
        names: of the expressions, None for the canonical text; a stored factor keeps its name.
        signal: a combined signal and its name. Of one that is stored, weights for dates that are not may be new.
        append: update the store that is there.
        rebuild: go on, and where history has changed compute again from its first changed month on; where settings or
            the engine have changed, everything.
        min_coverage: as of `ff.evaluate`; default when going on: the store's.
        memory_budget: for one chunk of dates, default 1 GiB; the panel is extra.
        verify: read all stored dates' data, also of files whose size and time have not changed.

    Raises:
        StoreError: no store to update, or an unexpected one; history, settings or engine that have changed;
            another writer. ConfigError: names that clash. ExpressionError, DataError, OutputError: as `ff.evaluate`.
    """
    if isinstance(expressions, str | Alpha):
        raise TypeError("update_store takes a list of expressions; for one, use [expression]")
    given_names = list(names) if names is not None else [None] * len(expressions)
    if len(given_names) != len(expressions):
        raise ConfigError(f"names has {len(given_names)} names for {len(expressions)} expressions")
    alphas = [
        e if isinstance(e, Alpha) else compile(e, dialect=dialect, fields=data.fields, groups=data.groups)
        for e in expressions
    ]
    root = Path(path).expanduser()
    going_on = append or rebuild
    if not going_on and not alphas and signal is None:
        raise ConfigError("there is no expression to store the values of")
    budget = DEFAULT_BUDGET if memory_budget is None else parse_bytes(memory_budget)
    new_folder = _make_folder(root, going_on)
    with writer_lock(root):
        old = read_manifest(root)
        if old is None and going_on:
            raise StoreError(f"{root}: nothing was ever stored there: leave out append (--append) to make a store")
        if old is not None and not going_on:
            raise StoreError(f"{root} is a factor store: append to it (--append), or give another folder")
        run = _Run(root, data, old, budget, threads)
        try:
            return run.update(list(zip(given_names, alphas, strict=True)), signal, min_coverage, rebuild, verify)
        except BaseException as error:
            discard(root, run.stamp)
            if new_folder and read_manifest(root) is None:
                shutil.rmtree(root, ignore_errors=True)
            if isinstance(error, StoreError | OutputError) and max(generations(root), default=0) >= run.generation:
                # Where locks are not honoured: the other writer has removed what no state of its own needs.
                raise StoreError(overtaken(root)) from error
            raise


def _make_folder(root: Path, going_on: bool) -> bool:
    """Check that a store may be in this folder, and make it; returns whether it was made.

    Raises:
        StoreError: no store to update. OutputError: the folder holds other things, or cannot be made.
    """
    if root.exists() and not root.is_dir():
        raise OutputError(f"cannot write {root}: it is a file, and a store is a folder")
    there = {p.name for p in root.iterdir()} if root.is_dir() else set()
    if going_on and "manifests" not in there:
        raise StoreError(f"{root} is no factor store: leave out append (--append) to make one")
    if there - _OURS:
        raise OutputError(f"cannot write {root}: the folder holds other things than a factor store")
    new = not root.exists()
    try:
        if new:
            root.mkdir()
        for name in ("manifests", "values", "checks"):
            (root / name).mkdir(exist_ok=True)
    except FileNotFoundError:
        raise OutputError(f"cannot write {root}: the folder {root.parent} does not exist") from None
    except OSError as error:
        raise OutputError(f"cannot write {root}: {error.strerror or error}") from error
    return new


@dataclass
class _Run:
    """One update of one store."""

    root: Path
    source: Panel | Dataset
    old: Manifest | None
    budget: int
    threads: int | None

    def __post_init__(self) -> None:
        self.generation = 1 if self.old is None else self.old.generation + 1
        self.stamp = new_stamp(self.generation)
        # As they are before they are read: what is written to them meanwhile shows next time.
        self.files = data_files(self.source)

    def update(
        self,
        given: Sequence[tuple[str | None, Alpha]],
        signal: tuple[str, Combination] | None,
        min_coverage: float | None,
        rebuild: bool,
        verify: bool,
    ) -> Update:
        coverage = self.old.settings.min_coverage if self.old and min_coverage is None else min_coverage
        days = bool((self.source.dates.astype("datetime64[D]") == self.source.dates).all())
        settings = Settings(coverage, self.source.dtype.name, self.source.has_universe, days)
        base = self.old or Manifest(0, ENGINE, self.source.source, settings)
        factors = Factors(self.source, settings)
        kept, reason = factors.stored(base)
        block = f"b{self.generation:06}"
        new = factors.new(base, given, block)
        if signal is not None:
            kept, more = factors.with_signal(base, kept, *signal, block)
            new += more

        offset, keep, change = 0, len(base.moments), None
        extra: dict[str, Checks] = {}
        if not reason:
            offset, keep, change, extra = self._history(base, factors, kept, new, verify)
        if not reason and change is None and self.old is not None and base.engine != ENGINE:
            reason = self._probe(base, factors, kept, offset)
        if (reason or change) and not rebuild:
            raise StoreError(self._refusal(base, reason, keep, change))
        keep = 0 if reason else keep
        if self.old is not None and keep == 0:
            # All is computed again, and lies together.
            if moments_of(self.source)[0] > base.moments[0]:
                raise StoreError(self._too_late("everything must be computed again, which needs", base))
            new, kept, offset = [*(replace(f, block=block) for f in kept), *new], [], 0
        if new and offset:
            names = ", ".join(f.name for f in new)
            raise StoreError(self._too_late(f"the new factors ({names}) need", base))
        moments = np.concatenate([base.moments[:keep], moments_of(self.source)[keep - offset :]])
        total = len(moments)
        if self.old is not None and keep == total == len(base.moments) and not new:
            clean(self.root, base)  # of a writer that was killed between its commit and this
            return self._report(base, changed=False)

        written = self._compute(kept, factors, keep, total, offset) | self._compute(new, factors, 0, total, offset)
        every = (*kept, *new)
        names_of_all = factors.names(every)
        spans = [(m, max(a, keep) - offset, b - offset) for m, a, b in month_spans(moments, days) if b > keep]
        sums = dict(read_sums(self.source, *names_of_all, spans))
        months = list(made_partitions(self.root, base, moments, keep, extra, sums, written, self.stamp, days))
        after = Manifest(
            self.generation,
            ENGINE,
            self.source.source,
            settings,
            every,
            tuple(merged(self.root, months, self.stamp, days)),
            self.files,
            data_columns(self.source, check_names(*names_of_all, self.source)),
        )
        commit(self.root, after, base.files)
        clean(self.root, after)
        before = {f.fingerprint for f in base.factors}
        rebuilt = len(base.moments) - keep
        return self._report(
            after,
            changed=True,
            dates_added=max(0, total - len(base.moments)),
            dates_rebuilt=rebuilt,
            factors_added=tuple(f.name for f in every if f.fingerprint not in before),
            rows=sum(s.rows for segments in written.values() for s in segments.values()),
            reason="" if not rebuilt else reason or (change.text if change else ""),
        )

    def _report(self, state: Manifest, **done: Any) -> Update:
        first, last = state.dates[[0, -1]]
        return Update(self.root, state.generation, first=first, last=last, **done)

    def _too_late(self, need: str, base: Manifest) -> str:
        return (
            f"{self.source.source} begins on {self.source.dates[0]}: {need} data from the first stored date on, "
            f"{base.dates[0]}"
        )

    def _refusal(self, base: Manifest, reason: str, keep: int, change: Change | None) -> str:
        if change is None:
            return f"{self.root}: {reason}; nothing was done; rebuild (--rebuild) computes everything again"
        return (
            f"{self.source.source}: history has changed under {self.root}: {change.text}; nothing was done; "
            f"rebuild (--rebuild) computes again from {base.dates[keep]} on"
        )

    def _history(
        self, base: Manifest, factors: Factors, kept: list[StoredFactor], new: list[StoredFactor], verify: bool
    ) -> tuple[int, int, Change | None, dict[str, Checks]]:
        """Compare the data with the stored history: how many stored dates lie before the data's first; how many stay;
        what has changed; and, where new factors read fields that none was read of yet, sums of the stored months that
        stay."""
        offset, change = align(base, self.source)
        keep = _kept_dates(base, change)
        stored = check_names(*factors.names(kept), self.source) if kept else []
        more = bool(kept) and not set(check_names(*factors.names([*kept, *new]), self.source)) <= set(stored)
        read = base.partitions if verify or more else unproven(base, self.source, self.files, stored)
        wanted = {p.month for p in read}
        months = [
            (m, max(0, a - offset), b - offset)
            for m, a, b in month_spans(base.moments[:keep], base.settings.days)
            if m in wanted and b > offset
        ]
        names = factors.names([*kept, *new] if more else kept) if months else ([], [])
        sums = dict(read_sums(self.source, *names, months))
        earlier = compare(self.root, base, offset, sums)
        if earlier is not None:
            text = earlier.text if change is None else f"{earlier.text}; {change.text}"
            change = Change(earlier.first, text)
            keep = _kept_dates(base, change)
        if change is not None:
            offset = int(np.searchsorted(base.moments[:keep], moments_of(self.source)[0]))
        return offset, keep, change, sums if more else {}

    def _probe(self, base: Manifest, factors: Factors, kept: list[StoredFactor], offset: int) -> str:
        """Compute the last stored dates with this version of the engine, and return which factors differ."""
        last = len(base.moments)
        first = max(0, last - _PROBED)
        store = FactorStore(self.root, base)
        other: list[StoredFactor] = []
        for block in dict.fromkeys(f.block for f in kept):
            here = [f for f in kept if f.block == block]
            columns = [f.fingerprint for f in here]
            parts = []
            for dates, values, present in self._values(here, factors, first, last, offset):
                named = dict(zip(columns, values, strict=True))
                parts.append(long_frame(dates, list(self.source.symbols), named, present, days=base.settings.days))
            now = pl.concat(parts)
            before = store.scan(columns, start=base.dates[first].item()).collect()
            if not now.select("date", "symbol").equals(before.select("date", "symbol")):
                other += here
            else:
                other += [f for f in here if not _close(now[f.fingerprint], before[f.fingerprint])]
        if not other:
            return ""
        shown = ", ".join(f.name for f in other[:5]) + (", ..." if len(other) > 5 else "")
        return (
            f"it was written by fama_fast {base.engine}, and {ENGINE} gives other values of "
            f"{len(other)} of {len(kept)} factors ({shown})"
        )

    def _values(
        self, these: Sequence[StoredFactor], factors: Factors, first: int, last: int, offset: int
    ) -> Iterator[Any]:
        options: dict[str, Any] = {"offset": offset, "budget": self.budget, "threads": self.threads}
        for dates, values, present in values_from(factors.of(these), self.source, first, last, **options):
            yield dates, list(factors.columns(these, dates, values, self.threads)), present

    def _compute(self, these: Sequence[StoredFactor], factors: Factors, first: int, last: int, offset: int) -> Written:
        """Write files of values on the dates [first, last)."""
        out: Written = {}
        for block in dict.fromkeys(f.block for f in these if first < last):
            here = [f for f in these if f.block == block]
            columns = [f.fingerprint for f in here]
            with MonthFiles(self.root, block, columns, self.stamp, ENGINE, factors.settings.days) as files:
                for dates, values, present in self._values(here, factors, first, last, offset):
                    files.put(dates, self.source.symbols, values, present)
            out[block] = files.segments
        return out


def _close(now: pl.Series, before: pl.Series) -> bool:
    """Whether values are equal but for the last digits, which the order of a sum decides."""
    return bool(np.allclose(now.to_numpy(), before.to_numpy(), rtol=_SAME, atol=0.0, equal_nan=True))


def _kept_dates(base: Manifest, change: Change | None) -> int:
    """The number of stored dates that stay: all, or those of the months before the first that has changed."""
    at = 0
    for partition in base.partitions:
        if change is not None and at + len(partition.dates) > change.first:
            break
        at += len(partition.dates)
    return at

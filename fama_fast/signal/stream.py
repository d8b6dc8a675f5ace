"""The combined signal of one new date at a time, with the bits of the whole panel and none of its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.engine.alpha import compile_recorded
from fama_fast.errors import DataError, UnknownName, listed, nearest_name
from fama_fast.evaluation.blend import weighted_ranks
from fama_fast.factor_store.combination import weights_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.panel import Panel
    from fama_fast.signal.pool import SignalPool
    from fama_fast.types import FloatArray


class SignalStream:
    """Computes the signal of a new date from that date's rows; the time that takes does not grow with the history.

    Attributes:
        pool: what is computed. symbols: (N,) the order of every row. required_fields, required_groups: what it reads.
    """

    def __init__(self, pool: SignalPool, panel: Panel, *, threads: int = 1) -> None:
        """`panel` is the history so far, of which the rows that windows need are kept.

        Raises:
            UnknownName: the panel lacks what a formula reads. ConfigError: threads that are no number of them.
        """
        order = pool.order(panel)
        known: dict[str, Any] = {"fields": panel.fields, "groups": panel.groups}
        alphas = [compile_recorded(f"RANK({pool.forms[i][0]})", **known) for i in order]
        self.pool, self.symbols, self.threads = pool, panel.symbols, threads
        self._signs = [pool.forms[i][1] for i in order]
        self._order = list(order)
        options: dict[str, Any] = {"min_coverage": pool.min_coverage, "threads": threads}
        self._streams = [alpha.stream(panel, **options) for alpha in alphas]
        self.required_fields = tuple(dict.fromkeys(name for s in self._streams for name in s.required_fields))
        self.required_groups = tuple(dict.fromkeys(name for s in self._streams for name in s.required_groups))

    @property
    def date(self) -> np.datetime64:
        """The date taken last."""
        return self._streams[0].date

    def push(
        self,
        date: Any,
        fields: Mapping[str, Any],
        *,
        universe: Any = None,
        groups: Mapping[str, Sequence[str | None]] | None = None,
    ) -> FloatArray:
        """Add one more market date; returns its signal (N,), NaN for a symbol without any rank.

        Args:
            date: after the last one. fields: a row of N numbers for each of `required_fields`, in the order of
                `symbols`; NaN is missing. universe: N booleans; None: the members of the date before.
            groups: N labels by group field; one that is not given keeps the labels of the date before.

        Raises:
            DataError: a date that is not later, a field that is absent, a row of another length. UnknownName: a name
                that the history did not have. Nothing is taken then.
        """
        given = {name.upper(): labels for name, labels in (groups or {}).items()}
        for name in given:
            if name not in self.required_groups:
                near = nearest_name(name, self.required_groups)
                raise UnknownName(f"no formula of the pool reads the group field {name!r}", suggestion=near)
        own = [{g: given[g] for g in s.required_groups if g in given} for s in self._streams]
        # Each looks at the rows before any takes them.
        for stream, labels in zip(self._streams, own, strict=True):
            stream.check(date, fields, universe=universe, groups=labels)
        found = [
            stream.push(date, fields, universe=universe, groups=labels)[None, :]
            for stream, labels in zip(self._streams, own, strict=True)
        ]
        weights = weights_at(self.pool.fits, np.array([self.date]))[self._order]
        shape = (1, len(self.symbols))
        return weighted_ranks(found, self._signs, weights, shape, threads=self.threads).ravel()

    def push_bars(self, bars: Any) -> FloatArray:
        """The same of a table with one row a symbol, in any order; a symbol without a row has no bar that date.

        Args:
            bars: a Polars or pandas frame, or whatever `load_market_data` reads, of one date.

        Raises:
            DataError: not one date, or symbols that the history does not have. Others: as `push`.
        """
        from fama_fast.data import load_market_data

        day = load_market_data(bars)
        if day.shape[0] != 1:
            raise DataError(f"the bars of one date are due, not of {day.shape[0]}")
        place = {symbol: i for i, symbol in enumerate(self.symbols.tolist())}
        new = [s for s in day.symbols.tolist() if s not in place]
        if new:
            raise DataError(
                f"{listed(new)}: not among the history's symbols; begin a stream again with a history that has them"
            )
        at = np.array([place[s] for s in day.symbols.tolist()], dtype=np.intp)
        rows = {}
        for name in self.required_fields:
            if name not in day:
                raise DataError(f"the bars of {day.dates[0]} lack {name}")
            rows[name] = np.full(len(self.symbols), np.nan)
            rows[name][at] = day[name][0]
        labels: dict[str, list[str | None]] = {}
        for name in self.required_groups:
            if name not in day.groups:
                continue
            group = day.group(name)
            labels[name] = [None] * len(self.symbols)
            for i, code in zip(at.tolist(), group.codes[0].tolist(), strict=True):
                labels[name][i] = None if np.isnan(code) else group.labels[int(code)]
        mask = None
        if day.universe is not None:
            mask = np.zeros(len(self.symbols), dtype=bool)
            mask[at] = day.universe[0]
        return self.push(day.dates[0], rows, universe=mask, groups=labels)
